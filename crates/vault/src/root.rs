//! What keyed hashes are made under.

use aws_lc_rs::hmac;
use sallyport_core::{Random, Secret};

use crate::keys::expand;
use crate::{KeyError, MasterKey};

/// The secret that every keyed hash of an installation begins with: of codes, tokens, client secrets, API keys, and of the
/// audit trail. It stays when the master key changes, because a hash cannot be made anew without what was hashed; it is
/// kept sealed under the master key.
#[derive(Clone)]
pub struct HashRoot(Secret<[u8; Self::LEN]>);

impl HashRoot {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// One that has nothing to do with any master key.
    #[must_use]
    pub fn make(random: &dyn Random) -> Self {
        let mut bytes = [0u8; Self::LEN];
        random.fill(&mut bytes);
        Self(Secret::new(bytes))
    }

    /// That of an installation which has made hashes before the root was kept.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the cryptographic library fails; no key causes it.
    pub fn drawn(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self(Secret::new(*expand(&master.root(), "derive")?)))
    }

    /// Reads [`HashRoot::expose`].
    ///
    /// # Errors
    /// [`KeyError::Library`] for another length.
    pub fn read(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.try_into().map_err(|_| KeyError::Library)?;
        Ok(Self(Secret::new(bytes)))
    }

    /// The bytes, to be sealed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    pub(crate) fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.expose())
    }
}
