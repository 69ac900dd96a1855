//! The one place where an access token or an API key is believed (RFC 9068 §4, RFC 8725 §3).
//!
//! A token that was verified is remembered by its SHA-256, so that the next request with it costs a hash and a look-up.
//! What is remembered dies with the token's time, with a change of the keys and with the revocation of its grant; all
//! three are looked at on every hit.

pub mod api_keys;
mod cache;
mod claims;
mod revoked;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::DecodingKey;
use sallyport_core::capability::{DeriveKeyed, RevokeTokens, TokenError, Verified, VerifyToken};
use sallyport_core::watch::WatchLogins;
use sallyport_core::{GrantId, Principal, Resource, Timestamp, TokenId};

use crate::KeyError;
use crate::signing::{Alg, VerifyingKey};
use api_keys::{ApiKeys, KeyDigest};
use cache::{Cache, Entry};
use revoked::Revoked;

/// How many verified tokens are remembered unless said otherwise.
pub const DEFAULT_CACHE: usize = 10_000;

/// The longest token that is looked at, in bytes; ours have about 700.
pub const MAX_TOKEN: usize = 8 * 1024;

/// How far `nbf` and `iat` may lie ahead of our clock. `exp` gets none: it was written by our own clock.
pub const SKEW: Duration = Duration::from_secs(60);

/// Verifies the access tokens of one issuer.
pub struct Verifier {
    issuer: String,
    keys: RwLock<KeySet>,
    /// Counts the changes of `keys`; what was verified under an older count is verified anew.
    generation: AtomicU64,
    cache: Cache,
    revoked: Revoked,
    api_keys: Option<ApiKeys>,
    watch: OnceLock<Arc<dyn WatchLogins>>,
}

/// By key id: the header names a key, and the key brings its algorithm.
type KeySet = HashMap<String, (Alg, DecodingKey)>;

impl Verifier {
    /// A verifier that takes `issuer`'s tokens when one of `keys` has signed them, and remembers up to `cache_capacity`
    /// (0 for none).
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] if a public key cannot be used.
    pub fn new(issuer: &str, keys: &[VerifyingKey], cache_capacity: usize) -> Result<Self, KeyError> {
        Ok(Self {
            issuer: issuer.to_owned(),
            keys: RwLock::new(key_set(keys)?),
            generation: AtomicU64::new(0),
            cache: Cache::new(cache_capacity),
            revoked: Revoked::default(),
            api_keys: None,
            watch: OnceLock::new(),
        })
    }

    /// Takes API keys too, whose hashes are made by `derive`.
    #[must_use]
    pub fn with_api_keys(self, derive: Arc<dyn DeriveKeyed>) -> Self {
        Self {
            api_keys: Some(ApiKeys::new(derive)),
            ..self
        }
    }

    /// Replaces the API keys: each with whom it stands for, and since when. What is no longer among them is refused from now
    /// on, remembered or not.
    pub fn replace_api_keys(&self, keys: impl IntoIterator<Item = (KeyDigest, Principal, Timestamp)>) {
        let changed = self.api_keys.as_ref().is_some_and(|known| known.replace(keys));
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Has the first use of each token told, whenever it is not remembered; the first watcher stays.
    pub fn watch(&self, watch: Arc<dyn WatchLogins>) {
        let _ = self.watch.set(watch);
    }

    /// Replaces the keys: tokens of a key that is no longer there are refused from now on, remembered ones too.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] if a public key cannot be used; then nothing changes.
    pub fn replace_keys(&self, keys: &[VerifyingKey]) -> Result<(), KeyError> {
        let keys = key_set(keys)?;
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *current = keys;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Takes over the revocations that the store knows of, at start and when another process has revoked (JW-17).
    pub fn load_revoked(&self, grants: impl IntoIterator<Item = (GrantId, Timestamp)>) {
        self.revoked.extend(grants);
    }

    /// The same for tokens that were revoked one by one, each with the time at which it ends by itself.
    pub fn load_revoked_tokens(&self, tokens: impl IntoIterator<Item = (TokenId, Timestamp)>) {
        self.revoked.insert_tokens(tokens);
    }

    /// Forgets revoked tokens that have ended at `now`.
    pub fn forget_ended(&self, now: Timestamp) {
        self.revoked.forget_ended(now);
    }

    /// Forgets grants that were revoked before `time`: the longest life of an access token ago, when none of theirs can
    /// be alive. Grants that were revoked by [`RevokeTokens::revoke_grant`] alone, without the time from the store, stay.
    pub fn forget_revoked(&self, time: Timestamp) {
        self.revoked.forget_before(time);
    }

    /// How many verified tokens are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.cache.len()
    }

    /// Everything about a verified token that changes with time and with the request.
    fn judge(&self, entry: &Entry, audiences: &[Resource], now: Timestamp) -> Result<Verified, TokenError> {
        let principal = &entry.principal;
        if now >= principal.expires || now < entry.not_before {
            return Err(TokenError::Expired);
        }
        if !audiences.contains(&principal.audience) {
            return Err(TokenError::Audience);
        }
        // The epoch is read before the set: a revocation in between is seen by the next hit.
        let epoch = self.revoked.epoch();
        if entry.checked.load(Ordering::Acquire) != epoch {
            if self.revoked.contains(principal) {
                return Err(TokenError::Revoked);
            }
            entry.checked.store(epoch, Ordering::Release);
        }
        Ok(Verified {
            principal: Arc::clone(principal),
            key: entry.key.clone(),
        })
    }

    fn find_api_key(&self, key: &str) -> Result<Entry, TokenError> {
        // Read before the keys: what is found in older ones is looked for anew.
        let generation = self.generation.load(Ordering::Acquire);
        let keys = self.api_keys.as_ref().ok_or(TokenError::Malformed)?;
        let known = keys.find(key).ok_or(TokenError::Malformed)?;
        Ok(Entry {
            key: None,
            principal: known.principal,
            not_before: known.since.minus(SKEW),
            generation,
            checked: AtomicU64::new(Revoked::UNCHECKED),
            told: AtomicBool::new(false),
        })
    }

    fn verify_anew(&self, token: &str) -> Result<Entry, TokenError> {
        if token.starts_with(api_keys::PREFIX) {
            return self.find_api_key(token);
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock that `replace_keys` holds while it counts.
        let generation = self.generation.load(Ordering::Acquire);
        let (kid, claimed) = claims::read_header(token)?;
        let found = keys.get(kid.as_ref()).filter(|(alg, _)| *alg == claimed);
        let (alg, key) = found.ok_or(TokenError::Malformed)?;
        let claims = claims::verify(token, &kid, *alg, key)?;
        drop(keys);
        let key = claims.key();
        let (principal, not_before) = claims.into_principal(&self.issuer)?;
        Ok(Entry {
            key,
            principal: Arc::new(principal),
            not_before: not_before.minus(SKEW),
            generation,
            checked: AtomicU64::new(Revoked::UNCHECKED),
            told: AtomicBool::new(false),
        })
    }
}

fn hash(token: &str) -> Option<[u8; 32]> {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
}

impl Verifier {
    /// Verifies a token. If it is used by that, and has not been before, the watcher hears of it.
    fn look(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
        is_used: impl Fn(&Entry) -> bool,
    ) -> Result<Verified, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let hash = hash(token).ok_or(TokenError::Malformed)?;
        let generation = self.generation.load(Ordering::Acquire);
        let judge = |entry: &Entry| {
            let verified = self.judge(entry, audiences, now)?;
            Ok((verified, is_used(entry) && entry.is_first_use()))
        };
        let hit = self.cache.with(&hash, |entry| {
            (entry.generation == generation).then(|| judge(entry))
        });
        let judged = match hit.flatten() {
            Some(Err(error @ (TokenError::Expired | TokenError::Revoked))) => {
                self.cache.remove(&hash);
                Err(error)
            }
            Some(judged) => judged,
            None => {
                let entry = self.verify_anew(token)?;
                let judged = judge(&entry)?;
                self.cache.insert(hash, entry);
                Ok(judged)
            }
        };
        let (verified, is_first) = judged?;
        if let (true, Some(watch)) = (is_first, self.watch.get()) {
            watch.first_use(&verified.principal);
        }
        Ok(verified)
    }
}

impl VerifyToken for Verifier {
    fn verify(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Arc<Principal>, TokenError> {
        // Whoever holds a bearer token uses it by showing it.
        let verified = self.look(token, audiences, now, |entry| entry.key.is_none())?;
        if verified.key.is_some() {
            return Err(TokenError::Bound);
        }
        Ok(verified.principal)
    }

    fn verify_any(
        &self,
        token: &str,
        audiences: &[Resource],
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        self.look(token, audiences, now, |_| false)
    }

    fn was_proved(&self, token: &str, principal: &Principal) {
        let hash = hash(token);
        let first = hash.and_then(|hash| self.cache.with(&hash, Entry::is_first_use));
        if let (true, Some(watch)) = (first.unwrap_or(true), self.watch.get()) {
            watch.first_use(principal);
        }
    }

    fn is_revoked(&self, principal: &Principal) -> bool {
        self.revoked.contains(principal)
    }

    fn revocations(&self) -> u64 {
        // Neither ever decreases, so that the sum changes whenever one of them does.
        self.generation
            .load(Ordering::Acquire)
            .wrapping_add(self.revoked.epoch())
    }

    fn stands(&self, _: &Principal) -> bool {
        true
    }
}

impl RevokeTokens for Verifier {
    fn revoke_grant(&self, grant: &GrantId) {
        self.revoked.insert(grant.clone());
    }

    fn revoke_token(&self, token: &TokenId, until: Timestamp) {
        self.revoked.insert_tokens([(token.clone(), until)]);
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

fn key_set(keys: &[VerifyingKey]) -> Result<KeySet, KeyError> {
    keys.iter()
        .map(|key| Ok((key.kid().to_owned(), (key.alg(), key.decoding()?))))
        .collect()
}
