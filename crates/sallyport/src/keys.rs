//! The signing keys: made at the first start, kept sealed, published and rotated as a ring.
//!
//! One key signs. The next one is published already, so that everybody knows it before it signs anything; those that have
//! signed stay published until the last token of theirs has ended.

use std::time::Duration;

use sallyport_core::capability::{OpenSecret as _, SealSecret as _};
use sallyport_core::{Secret, Timestamp};
use sallyport_store::{StoredKey, place};
use sallyport_vault::KeyError;
use sallyport_vault::signing::{Alg, Signer, SigningKey};

use crate::base::{Base, StartError};
use crate::config::auth::{Algorithm, Tokens};

/// How long a key has to be published before it signs: running gateways follow the store within a second.
pub const PUBLISHED: Duration = Duration::from_secs(2);

/// How long a key stays after its last token has ended: the clocks of those who verify may differ that much.
pub const SKEW: Duration = Duration::from_secs(60);

/// What the operator wants of the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The algorithm of the next key; if the one that signs has another, it is replaced soon.
    pub alg: Alg,
    /// How old the signing key may become, if it may not become any age.
    pub rotate_every: Option<Duration>,
    /// The longest life of a token that clients get.
    pub longest: Duration,
}

impl From<&Tokens> for Policy {
    fn from(tokens: &Tokens) -> Self {
        Self {
            alg: match tokens.alg {
                Algorithm::Es256 => Alg::Es256,
                Algorithm::EdDsa => Alg::EdDsa,
                Algorithm::Rs256 => Alg::Rs256,
                Algorithm::Hs256 => Alg::Hs256,
            },
            rotate_every: Some(tokens.rotate_every.value.0).filter(|every| !every.is_zero()),
            longest: tokens.access_ttl.0,
        }
    }
}

/// The policy of the configuration that a command runs under.
#[must_use]
pub fn policy(base: &Base) -> Policy {
    Policy::from(&base.config.root.auth.tokens)
}

/// A key of the ring.
#[derive(Clone)]
pub struct Held {
    /// The key.
    pub key: SigningKey,
    /// As it is kept.
    pub stored: StoredKey,
}

/// The ring as it is in the store.
#[derive(Clone)]
pub struct Keys {
    /// The key that signs.
    pub active: Held,
    /// The one that signs next.
    pub next: Option<Held>,
    /// Those that still verify, the newest first.
    pub retiring: Vec<Held>,
}

impl Keys {
    /// All but the one that signs.
    #[must_use]
    pub fn others(&self) -> Vec<SigningKey> {
        let others = self.next.iter().chain(&self.retiring);
        others.map(|held| held.key.clone()).collect()
    }

    /// The ids of all, in the order in which they are published.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        let others = self.next.iter().chain(&self.retiring);
        std::iter::once(&self.active)
            .chain(others)
            .map(|held| held.key.kid())
    }

    /// When there is something to do about the ring; `None` for never.
    #[must_use]
    pub fn due(&self, policy: &Policy) -> Option<Timestamp> {
        let next = self.next.as_ref().filter(|next| next.key.alg() == policy.alg);
        let Some(next) = next else {
            return Some(Timestamp::EPOCH);
        };
        let rotation = self.rotation(policy);
        let published = next.stored.created.plus(PUBLISHED);
        let endings = self.retiring.iter().map(|held| held.stored.until.plus(SKEW));
        endings.chain(rotation.map(|at| at.max(published))).min()
    }

    /// When the key that signs is to be replaced.
    fn rotation(&self, policy: &Policy) -> Option<Timestamp> {
        if self.active.key.alg() != policy.alg {
            return Some(Timestamp::EPOCH);
        }
        let since = self.active.stored.signs.unwrap_or(self.active.stored.created);
        policy.rotate_every.map(|every| since.plus(every))
    }
}

/// The ring of the store, with a first key made where there is none.
///
/// # Errors
/// [`StartError::Sealed`] if a key was sealed with another master key.
pub async fn load(base: &Base) -> Result<Keys, StartError> {
    if let Some(keys) = read(base).await? {
        return Ok(keys);
    }
    let policy = policy(base);
    let mut first = make(base, &policy).await?;
    first.signs = Some(first.created);
    // Another process may have been first; then its key is read.
    base.store.insert_first_signing_key(&first).await?;
    let none = || StartError::Other("there is no signing key in force".to_owned());
    read(base).await?.ok_or_else(none)
}

/// What signs for the issuer, and the ring.
///
/// # Errors
/// As [`load`].
pub async fn signer(base: &Base, issuer: &str) -> Result<(Signer, Keys), StartError> {
    let keys = load(base).await?;
    let signer = Signer::new(issuer, &keys.active.key, &keys.others())?;
    Ok((signer, keys))
}

/// How a rotation went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rotated {
    /// The key of this id signs from now on.
    Done(String),
    /// The next key is not known everywhere yet; it is after this time.
    Wait(Duration),
}

/// Replaces the key that signs by the next one, and makes another next one.
///
/// # Errors
/// [`StartError`] if the store failed; then the ring is as it was, or as it should be.
pub async fn rotate(base: &Base, policy: &Policy) -> Result<Rotated, StartError> {
    let keys = with_next(base, load(base).await?, policy).await?;
    let Some(next) = &keys.next else {
        return Ok(Rotated::Wait(PUBLISHED));
    };
    let published = next.stored.created.plus(PUBLISHED);
    let now = base.clock.now();
    if now < published {
        return Ok(Rotated::Wait(published.since(now)));
    }
    let (old, new) = (keys.active.key.kid(), next.key.kid().to_owned());
    let done = base.store.rotate_signing_keys(old, &new, now).await?;
    if !done {
        // Another process was faster, and its next key is young.
        return Ok(Rotated::Wait(PUBLISHED));
    }
    with_next(base, load(base).await?, policy).await?;
    Ok(Rotated::Done(new))
}

/// Does what is due: makes the next key, replaces one that is too old or of another algorithm, removes those whose last
/// token has ended. Says which key signs now, if it is another one.
///
/// # Errors
/// [`StartError`] if the store failed.
pub async fn tend(base: &Base, policy: &Policy) -> Result<Option<String>, StartError> {
    let now = base.clock.now();
    base.store.remove_ended_signing_keys(now.minus(SKEW)).await?;
    let keys = with_next(base, load(base).await?, policy).await?;
    if keys.rotation(policy).is_none_or(|at| now < at) {
        return Ok(None);
    }
    Ok(match rotate(base, policy).await? {
        Rotated::Done(kid) => Some(kid),
        Rotated::Wait(_) => None,
    })
}

/// The ring with a next key of the right algorithm.
async fn with_next(base: &Base, keys: Keys, policy: &Policy) -> Result<Keys, StartError> {
    if keys
        .next
        .as_ref()
        .is_some_and(|next| next.key.alg() == policy.alg)
    {
        return Ok(keys);
    }
    let next = make(base, policy).await?;
    base.store.insert_next_signing_key(&next).await?;
    load(base).await
}

async fn make(base: &Base, policy: &Policy) -> Result<StoredKey, StartError> {
    let (alg, now) = (policy.alg, base.clock.now());
    // A large number takes its time to be found.
    let made = tokio::task::spawn_blocking(move || SigningKey::generate(alg, now));
    let key = made.await.map_err(|_| KeyError::Library)??;
    Ok(StoredKey {
        kid: key.kid().to_owned(),
        alg: alg.as_str().to_owned(),
        sealed: base
            .vault
            .seal_secret(&place::signing_key(key.kid()), key.secret().expose()),
        created: now,
        signs: None,
        retired: None,
        longest: policy.longest,
        until: Timestamp::EPOCH,
    })
}

/// The ring, if it has been begun.
async fn read(base: &Base) -> Result<Option<Keys>, StartError> {
    let (mut active, mut next, mut retiring) = (None, None, Vec::new());
    for stored in base.store.signing_keys().await? {
        let held = Held {
            key: open(base, &stored)?,
            stored,
        };
        match (held.stored.signs, held.stored.retired) {
            (None, _) if next.is_none() => next = Some(held),
            (Some(_), None) if active.is_none() => active = Some(held),
            _ => retiring.push(held),
        }
    }
    Ok(active.map(|active| Keys {
        active,
        next,
        retiring,
    }))
}

fn open(base: &Base, stored: &StoredKey) -> Result<SigningKey, StartError> {
    let plain: Secret<Vec<u8>> = base
        .vault
        .open_secret(&place::signing_key(&stored.kid), &stored.sealed)
        .map_err(|_| StartError::Sealed("the signing key".to_owned()))?;
    let alg = Alg::parse(&stored.alg).ok_or(KeyError::SigningKey)?;
    Ok(SigningKey::from_stored(alg, plain, stored.created)?)
}
