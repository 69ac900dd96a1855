//! Passwords of local users: Argon2id (RFC 9106).

use std::hint::black_box;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use sallyport_core::capability::{PasswordError, Passwords};
use sallyport_core::{Random, Secret};
use zeroize::Zeroizing;

/// The longest password that is hashed, in bytes: a longer one is refused before any work is done.
pub const MAX_PASSWORD: usize = 1024;

/// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane. About 20 ms of a core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What an unknown user's password is hashed with; what it gives is thrown away.
const NOBODYS_SALT: &[u8; 16] = b"nobody's salt...";

/// Argon2id with m = 19456 KiB, t = 2, p = 1, a random salt of 16 bytes and 32 bytes of output, in PHC string form.
pub struct Argon2id {
    random: Arc<dyn Random>,
    argon2: Argon2<'static>,
}

impl Argon2id {
    /// With the source of salts.
    ///
    /// # Errors
    /// [`PasswordError`] if the hash function refuses its parameters; they are constants.
    pub fn new(random: Arc<dyn Random>) -> Result<Self, PasswordError> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError)?;
        Ok(Self {
            random,
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        })
    }
}

impl Passwords for Argon2id {
    /// # Errors
    /// [`PasswordError`] for a password of more than [`MAX_PASSWORD`] bytes too.
    fn hash(&self, password: &Secret<String>) -> Result<Secret<String>, PasswordError> {
        let password = password.expose().as_bytes();
        if password.len() > MAX_PASSWORD {
            return Err(PasswordError);
        }
        let mut salt = [0u8; 16];
        self.random.fill(&mut salt);
        let hash = self
            .argon2
            .hash_password_with_salt(password, &salt)
            .map_err(|_| PasswordError)?;
        Ok(Secret::new(hash.to_string()))
    }

    fn verify(&self, password: &Secret<String>, hash: Option<&Secret<String>>) -> bool {
        let password = password.expose().as_bytes();
        if password.len() > MAX_PASSWORD {
            return false;
        }
        if let Some(hash) = hash {
            return self
                .argon2
                .verify_password(password, hash.expose().as_str())
                .is_ok();
        }
        let mut out = Zeroizing::new([0u8; 32]);
        let done = self
            .argon2
            .hash_password_into(password, NOBODYS_SALT, out.as_mut_slice());
        // Without this the optimiser could drop the work that makes an unknown user as slow as a known one.
        black_box((done.is_ok(), &out));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    fn passwords() -> Argon2id {
        Argon2id::new(Arc::new(SystemRandom)).unwrap()
    }

    #[test]
    fn a_hash_verifies_its_own_password_only() {
        let p = passwords();
        let hash = p.hash(&"correct horse".into()).unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(p.verify(&"correct horse".into(), Some(&hash)));
        assert!(!p.verify(&"correct horsf".into(), Some(&hash)));
        assert!(!p.verify(&"".into(), Some(&hash)));
        assert!(!p.verify(&"correct horse".into(), Some(&"not a hash".into())));
        assert!(!p.verify(&"correct horse".into(), None));
        assert_ne!(hash.expose(), p.hash(&"correct horse".into()).unwrap().expose());
    }

    #[test]
    fn passwords_at_the_limit_and_past_it() {
        let p = passwords();
        let at = Secret::new("x".repeat(MAX_PASSWORD));
        let past = Secret::new("x".repeat(MAX_PASSWORD + 1));
        let hash = p.hash(&at).unwrap();
        assert!(p.verify(&at, Some(&hash)));
        assert!(p.hash(&past).is_err());
        assert!(!p.verify(&past, Some(&hash)));
    }
}
