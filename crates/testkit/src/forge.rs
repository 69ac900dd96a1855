//! Access tokens as a forger makes them: whatever header and claims, with a true signature.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Timestamp;
use sallyport_vault::signing::{Alg, SigningKey};
use serde_json::{Value, json};

/// Signs what no gateway would.
pub struct Forger {
    kid: String,
    pair: EcdsaKeyPair,
}

impl Forger {
    /// A forger with a key of his own.
    ///
    /// # Errors
    /// When the library fails.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(&SigningKey::generate(Alg::Es256, Timestamp::EPOCH)?)
    }

    /// A forger who has got hold of `key`.
    ///
    /// # Errors
    /// When the library fails.
    pub fn with(key: &SigningKey) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret().expose())?;
        Ok(Self {
            kid: key.kid().to_owned(),
            pair,
        })
    }

    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The header that a gateway would write.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.kid })
    }

    /// A token of this header and these claims, signed with ES256 whatever the header says.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
