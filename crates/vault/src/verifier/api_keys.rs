//! API keys: random bearer secrets that stand for a grant. They are known by their keyed hashes alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sallyport_core::capability::DeriveKeyed;
use sallyport_core::random::token;
use sallyport_core::{Principal, Random, Secret, Timestamp};

/// What an API key begins with, so that people and scanners for secrets know one when they see it.
pub const PREFIX: &str = "sp_";

/// Under which label keys are hashed.
const LABEL: &str = "api-key";

/// The keyed hash of an API key.
pub type KeyDigest = [u8; 32];

/// A fresh API key of 256 random bits, and what is kept of it.
#[must_use]
pub fn new_key(derive: &dyn DeriveKeyed, random: &dyn Random) -> (Secret<String>, KeyDigest) {
    let key = Secret::new(format!("{PREFIX}{}", token::<32>(random)));
    let digest = derive.derive(LABEL, key.expose().as_bytes());
    (key, digest)
}

/// The keys that are good.
pub(super) struct ApiKeys {
    derive: Arc<dyn DeriveKeyed>,
    known: RwLock<HashMap<KeyDigest, Known>>,
}

/// Whom a key stands for, and since when.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) principal: Arc<Principal>,
    pub(super) since: Timestamp,
}

impl ApiKeys {
    pub(super) fn new(derive: Arc<dyn DeriveKeyed>) -> Self {
        Self {
            derive,
            known: RwLock::default(),
        }
    }

    /// Replaces all; says whether anything is different now.
    pub(super) fn replace(&self, keys: impl IntoIterator<Item = (KeyDigest, Principal, Timestamp)>) -> bool {
        let keys = keys.into_iter().map(|(digest, principal, since)| {
            let principal = Arc::new(principal);
            (digest, Known { principal, since })
        });
        let keys: HashMap<_, _> = keys.collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != keys;
        *known = keys;
        changed
    }

    /// Whom a key stands for. Hashed first, so that how long the search takes tells nothing of a key.
    pub(super) fn find(&self, key: &str) -> Option<Known> {
        let digest = self.derive.derive(LABEL, key.as_bytes());
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&digest).cloned()
    }
}
