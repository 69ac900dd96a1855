//! The vault: seals and opens secrets and state, and makes keyed hashes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{DeriveKeyed, OpenSecret, Purpose, SealSecret, SealState, Tampered};
use sallyport_core::{Random, Secret};

use crate::envelope;
use crate::keys::Keys;
use crate::{KeyError, MasterKey};

/// The key ring: seals with the active master key, opens with the active and with retired ones.
///
/// Every sealed value names its key, so that a key can be retired while values under it remain.
pub struct Vault {
    active: Keys,
    retired: Vec<Keys>,
    random: Arc<dyn Random>,
    /// One key for each label; labels are constants of the program, so this does not grow with use.
    derived: RwLock<HashMap<&'static str, hmac::Key>>,
}

impl Vault {
    /// A vault with one key.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn new(master: &MasterKey, random: Arc<dyn Random>) -> Result<Self, KeyError> {
        Ok(Self {
            active: Keys::draw(master)?,
            retired: Vec::new(),
            random,
            derived: RwLock::default(),
        })
    }

    /// With one more key that opens but no longer seals or derives.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn with_retired(mut self, master: &MasterKey) -> Result<Self, KeyError> {
        self.retired.push(Keys::draw(master)?);
        Ok(self)
    }

    fn keys_of(&self, sealed: &[u8]) -> Option<&Keys> {
        let id = envelope::key_id(sealed)?;
        std::iter::once(&self.active)
            .chain(&self.retired)
            .find(|keys| keys.id == id)
    }
}

impl SealSecret for Vault {
    fn seal_secret(&self, record: &str, plain: &[u8]) -> Vec<u8> {
        let keys = &self.active;
        let sealed = envelope::seal(&keys.secrets, keys.id, &*self.random, &["secret", record], plain);
        // Nothing is what a message past the cipher's 64 GiB becomes; it opens for nobody.
        sealed.unwrap_or_default()
    }
}

impl OpenSecret for Vault {
    fn open_secret(&self, record: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Tampered> {
        let keys = self.keys_of(sealed).ok_or(Tampered)?;
        envelope::open(&keys.secrets, &["secret", record], sealed)
            .map(Secret::new)
            .ok_or(Tampered)
    }
}

impl SealState for Vault {
    fn seal(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> String {
        let keys = &self.active;
        let context = [purpose.label(), bound_to];
        let sealed = envelope::seal(keys.state(purpose), keys.id, &*self.random, &context, plain);
        URL_SAFE_NO_PAD.encode(sealed.unwrap_or_default())
    }

    fn open(&self, purpose: Purpose, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let keys = self.keys_of(&sealed)?;
        envelope::open(keys.state(purpose), &[purpose.label(), bound_to], &sealed)
    }
}

impl DeriveKeyed for Vault {
    fn derive(&self, label: &'static str, input: &[u8]) -> [u8; 32] {
        let known = self.derived.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(label) {
            return mac(key, input);
        }
        drop(known);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &mac(&self.active.derive, label.as_bytes()));
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
