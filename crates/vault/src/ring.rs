//! The master keys of an installation, and what they open.

use sallyport_core::capability::{Purpose, Tampered};
use sallyport_core::{Random, Secret};
use zeroize::Zeroizing;

use crate::envelope;
use crate::keys::{KeyId, Keys, StateKeys};
use crate::{KeyError, MasterKey};

/// The master keys: one seals, all open.
#[derive(Clone)]
pub struct MasterKeys {
    /// The key that seals.
    pub active: MasterKey,
    /// The key that seals next: running gateways learn of it before anything is sealed by it.
    pub next: Option<MasterKey>,
    /// Those that sealed before, the newest first.
    pub retired: Vec<MasterKey>,
}

impl MasterKeys {
    /// The most retired keys: each is left behind by a rotation that did not come to its end.
    pub const MAX_RETIRED: usize = 8;

    /// One key and no other.
    #[must_use]
    pub fn one(active: MasterKey) -> Self {
        Self {
            active,
            next: None,
            retired: Vec::new(),
        }
    }

    /// One key, and others that open, separated by commas or white space.
    ///
    /// # Errors
    /// [`KeyError`] as for [`MasterKey::parse`]; also for a key that stands there twice, or for too many.
    pub fn parse(active: &str, retired: &str) -> Result<Self, KeyError> {
        let texts = retired.split(|c: char| c == ',' || c.is_whitespace());
        let others = texts.filter(|text| !text.is_empty()).enumerate();
        let retired = others.map(|(at, text)| other(at + 1, text));
        let keys = Self {
            active: MasterKey::parse(active)?,
            next: None,
            retired: retired.collect::<Result<_, _>>()?,
        };
        keys.checked()
    }

    /// What a rotation goes on with: the next key seals, the one that sealed is retired.
    #[must_use]
    pub fn promoted(&self) -> Self {
        let Some(next) = &self.next else {
            return self.clone();
        };
        let before = std::iter::once(&self.active).chain(&self.retired);
        Self {
            active: next.clone(),
            next: None,
            retired: before.cloned().collect(),
        }
    }

    /// All of them, the one that seals first.
    pub fn all(&self) -> impl Iterator<Item = &MasterKey> {
        let others = self.next.iter().chain(&self.retired);
        std::iter::once(&self.active).chain(others)
    }

    /// Whether they are the same keys in the same places.
    #[must_use]
    pub fn are(&self, other: &Self) -> bool {
        self.next.is_some() == other.next.is_some()
            && self.all().count() == other.all().count()
            && self.all().zip(other.all()).all(|(a, b)| a.is(b))
    }

    pub(crate) fn checked(self) -> Result<Self, KeyError> {
        if self.retired.len() > Self::MAX_RETIRED {
            return Err(KeyError::TooMany {
                max: Self::MAX_RETIRED,
            });
        }
        let twice = |(at, key): (usize, &MasterKey)| self.all().skip(at + 1).any(|other| other.is(key));
        if self.all().enumerate().any(twice) {
            return Err(KeyError::Twice);
        }
        Ok(self)
    }

    /// The text of a key file.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        // Large enough that nothing is left behind where it grew.
        let mut out = Zeroizing::new(String::with_capacity(80 * (2 + self.retired.len())));
        out.push_str(self.active.to_hex().expose());
        out.push('\n');
        let retired = self.retired.iter().map(|key| ("retired ", key));
        for (what, key) in self.next.iter().map(|key| ("next ", key)).chain(retired) {
            out.push_str(what);
            out.push_str(key.to_hex().expose());
            out.push('\n');
        }
        out
    }
}

/// A key that does not seal; the error says which.
pub(crate) fn other(number: usize, text: &str) -> Result<MasterKey, KeyError> {
    MasterKey::parse(text).map_err(|source| KeyError::Other {
        number,
        source: Box::new(source),
    })
}

/// What is left of a master key that was given up: it opens what clients still carry.
pub struct FormerKey {
    /// The key's name.
    pub id: KeyId,
    /// What [`MasterKey::state_keys`] gave.
    pub state: Secret<Vec<u8>>,
}

/// The keys in use: seals with the active one, opens with all.
pub struct Ring {
    active: Keys,
    others: Vec<Keys>,
    former: Vec<(KeyId, StateKeys)>,
}

impl Ring {
    /// Of these keys.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn new(keys: &MasterKeys) -> Result<Self, KeyError> {
        let others = keys.next.iter().chain(&keys.retired);
        Ok(Self {
            active: Keys::draw(&keys.active)?,
            others: others.map(Keys::draw).collect::<Result<_, _>>()?,
            former: Vec::new(),
        })
    }

    /// With what is left of keys that were given up.
    ///
    /// # Errors
    /// [`KeyError::Library`] for what [`MasterKey::state_keys`] did not give.
    pub fn with_former(mut self, former: &[FormerKey]) -> Result<Self, KeyError> {
        for key in former {
            self.former.push((key.id, StateKeys::read(key.state.expose())?));
        }
        Ok(self)
    }

    /// The key that seals.
    #[must_use]
    pub fn active(&self) -> KeyId {
        self.active.id
    }

    /// All keys that open secrets, the one that seals first.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys().map(|keys| keys.id).collect()
    }

    /// The key that a sealed value names, if it has the form of one.
    #[must_use]
    pub fn named(sealed: &[u8]) -> Option<KeyId> {
        envelope::key_id(sealed)
    }

    /// Seals a secret for its place in the store.
    pub fn seal_secret(&self, random: &dyn Random, record: &str, plain: &[u8]) -> Vec<u8> {
        let keys = &self.active;
        let sealed = envelope::seal(&keys.secrets, keys.id, random, &["secret", record], plain);
        // Nothing is what a message past the cipher's 64 GiB becomes; it opens for nobody.
        sealed.unwrap_or_default()
    }

    /// Opens a secret in its place in the store.
    ///
    /// # Errors
    /// [`Tampered`] for every failure alike.
    pub fn open_secret(&self, record: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Tampered> {
        let id = envelope::key_id(sealed).ok_or(Tampered)?;
        let keys = self.keys().find(|keys| keys.id == id).ok_or(Tampered)?;
        envelope::open(&keys.secrets, &["secret", record], sealed)
            .map(Secret::new)
            .ok_or(Tampered)
    }

    pub(crate) fn seal_state(
        &self,
        random: &dyn Random,
        purpose: Purpose,
        bound_to: &str,
        plain: &[u8],
    ) -> Vec<u8> {
        let keys = &self.active;
        let context = [purpose.label(), bound_to];
        let key = keys.state.of(purpose);
        let sealed = key.and_then(|key| envelope::seal(key, keys.id, random, &context, plain));
        sealed.unwrap_or_default()
    }

    pub(crate) fn open_state(&self, purpose: Purpose, bound_to: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let id = envelope::key_id(sealed)?;
        let here = self.keys().map(|keys| (keys.id, &keys.state));
        let former = self.former.iter().map(|(id, state)| (*id, state));
        let (_, state) = here.chain(former).find(|(known, _)| *known == id)?;
        envelope::open(state.of(purpose)?, &[purpose.label(), bound_to], sealed)
    }

    fn keys(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.active).chain(&self.others)
    }
}
