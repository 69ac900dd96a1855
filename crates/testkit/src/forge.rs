//! Access tokens as a forger makes them: whatever header and claims, with a true signature.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Timestamp;
use sallyport_vault::signing::{Alg, SigningKey};
use serde_json::{Value, json};

/// Signs what no gateway would.
pub struct Forger {
    kid: String,
    alg: Alg,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    Hs256(Box<hmac::Key>),
}

impl Forger {
    /// A forger with a key of his own.
    ///
    /// # Errors
    /// When the library fails.
    pub fn new(alg: Alg) -> anyhow::Result<Self> {
        Self::with(&SigningKey::generate(alg, Timestamp::EPOCH)?)
    }

    /// A forger who has got hold of `key`.
    ///
    /// # Errors
    /// When the library fails.
    pub fn with(key: &SigningKey) -> anyhow::Result<Self> {
        let secret = key.secret().expose();
        let pair = match key.alg() {
            Alg::Es256 => Pair::Es256(EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                secret,
            )?),
            Alg::EdDsa => Pair::EdDsa(Ed25519KeyPair::from_pkcs8(secret)?),
            Alg::Rs256 => Pair::Rs256(RsaKeyPair::from_pkcs8(secret)?),
            Alg::Hs256 => Pair::Hs256(Box::new(hmac::Key::new(HMAC_SHA256, secret))),
        };
        Ok(Self {
            kid: key.kid().to_owned(),
            alg: key.alg(),
            pair,
        })
    }

    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What he signs with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The header that a gateway would write.
    #[must_use]
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg.as_str(), "typ": "at+jwt", "kid": self.kid })
    }

    /// A token of this header and these claims, signed with the key's own algorithm whatever the header says.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message.as_bytes())?.as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.try_sign(message.as_bytes())?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)?;
                signature
            }
            Pair::Hs256(key) => hmac::sign(key, message.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
