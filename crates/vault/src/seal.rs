//! The vault: seals and opens secrets and state, and makes keyed hashes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{DeriveKeyed, OpenSecret, Purpose, SealSecret, SealState, Tampered};
use sallyport_core::map::Map;
use sallyport_core::{Random, Secret};

use crate::ring::{MasterKeys, Ring};
use crate::{HashRoot, KeyError, MasterKey};

/// Seals with the active master key of its ring, opens with all of them, and hashes under the root.
///
/// Every sealed value names its key, so that a key can be retired while values under it remain. The ring can be replaced
/// while everybody works.
pub struct Vault {
    ring: RwLock<Arc<Ring>>,
    root: hmac::Key,
    random: Arc<dyn Random>,
    /// One key for each label; labels are constants of the program, so this does not grow with use.
    derived: RwLock<Map<&'static str, hmac::Key>>,
}

impl Vault {
    /// A vault with one key, from which the root of its hashes is drawn too.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn new(master: &MasterKey, random: Arc<dyn Random>) -> Result<Self, KeyError> {
        let ring = Ring::new(&MasterKeys::one(master.clone()))?;
        Ok(Self::of(ring, &HashRoot::drawn(master)?, random))
    }

    /// A vault of a ring and a root.
    #[must_use]
    pub fn of(ring: Ring, root: &HashRoot, random: Arc<dyn Random>) -> Self {
        Self {
            ring: RwLock::new(Arc::new(ring)),
            root: root.key(),
            random,
            derived: RwLock::default(),
        }
    }

    /// The keys in use.
    #[must_use]
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses other keys from now on.
    pub fn replace(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

impl SealSecret for Vault {
    fn seal_secret(&self, record: &str, plain: &[u8]) -> Vec<u8> {
        self.ring().seal_secret(&*self.random, record, plain)
    }
}

impl OpenSecret for Vault {
    fn open_secret(&self, record: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Tampered> {
        self.ring().open_secret(record, sealed)
    }
}

impl SealState for Vault {
    fn seal(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> String {
        let sealed = self.ring().seal_state(&*self.random, purpose, bound_to, plain);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open(&self, purpose: Purpose, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        self.ring().open_state(purpose, bound_to, &sealed)
    }
}

impl DeriveKeyed for Vault {
    fn derive(&self, label: &'static str, input: &[u8]) -> [u8; 32] {
        let known = self.derived.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(label) {
            return mac(key, input);
        }
        drop(known);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &mac(&self.root, label.as_bytes()));
        let out = mac(&key, input);
        self.derived
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(label, key);
        out
    }
}

fn mac(key: &hmac::Key, input: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (to, from) in out.iter_mut().zip(hmac::sign(key, input).as_ref()) {
        *to = *from;
    }
    out
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
