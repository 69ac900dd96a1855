//! Keys that sign.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sallyport_core::{Secret, Timestamp};
use zeroize::Zeroizing;

use super::verifying::VerifyingKey;
use crate::KeyError;

/// The length of a shared secret for HS256 in bytes: that of its hash (RFC 7518 §3.2).
const SHARED: usize = 32;

/// The signature algorithm of a key; the key decides it, never a token's header (RFC 8725 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Alg {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519 (RFC 8037 §3.1).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits.
    Rs256,
    /// HMAC with SHA-256: who can verify it can sign it, so that nothing of it is ever published.
    Hs256,
}

impl Alg {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Hs256];

    /// The name in headers and key sets (RFC 7518 §3.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    verifying: VerifyingKey,
    secret: Secret<Vec<u8>>,
    created: Timestamp,
}

impl SigningKey {
    /// A fresh key, drawn by aws-lc. One for RS256 takes up to a second of a core.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the library fails.
    pub fn generate(alg: Alg, now: Timestamp) -> Result<Self, KeyError> {
        let secret = match alg {
            Alg::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
                pair.and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec()))
            }
            Alg::EdDsa => {
                let pair = Ed25519KeyPair::generate();
                pair.and_then(|pair| Ok(pair.to_pkcs8()?.as_ref().to_vec()))
            }
            Alg::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048);
                let der = pair.and_then(|pair| pair.as_der());
                der.map(|der: Pkcs8V1Der<'_>| der.as_ref().to_vec())
            }
            Alg::Hs256 => {
                let mut secret = vec![0; SHARED];
                aws_lc_rs::rand::fill(&mut secret).map(|()| secret)
            }
        };
        let secret = secret.map_err(|_| KeyError::Library)?;
        Self::from_stored(alg, Secret::new(secret), now)
    }

    /// A key as it was stored.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] for anything but a private key of the algorithm in PKCS#8 form (RFC 5208), or 32 bytes for
    /// HS256.
    pub fn from_stored(alg: Alg, secret: Secret<Vec<u8>>, created: Timestamp) -> Result<Self, KeyError> {
        let verifying = match Pair::new(alg, &secret)? {
            Pair::Es256(pair) => VerifyingKey::p256(pair.public_key().as_ref()),
            Pair::EdDsa(pair) => VerifyingKey::ed25519(pair.public_key().as_ref()),
            Pair::Rs256(pair) => VerifyingKey::rsa(pair.public_key().as_ref()),
            Pair::Hs256(_) => Some(VerifyingKey::shared(&secret)),
        };
        Ok(Self {
            verifying: verifying.ok_or(KeyError::SigningKey)?,
            secret,
            created,
        })
    }

    /// Its id, which the headers of its tokens name.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    /// The algorithm that it signs with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.verifying.alg()
    }

    /// What [`SigningKey::from_stored`] takes, to be sealed and stored.
    #[must_use]
    pub fn secret(&self) -> &Secret<Vec<u8>> {
        &self.secret
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The key as the library uses it.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] never, once it was made.
    pub(crate) fn pair(&self) -> Result<Pair, KeyError> {
        Pair::new(self.alg(), &self.secret)
    }
}

/// A key as the library uses it.
pub(crate) enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
    /// In a box: it is much larger than the others.
    Hs256(Box<hmac::Key>),
}

impl Pair {
    /// A private key of the algorithm in PKCS#8 form.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] for anything else.
    pub(super) fn new(alg: Alg, secret: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let secret = secret.expose();
        let pair = match alg {
            Alg::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret).map(Self::Es256),
            Alg::EdDsa => Ed25519KeyPair::from_pkcs8(secret).map(Self::EdDsa),
            // The library takes nothing below 2048 bits.
            Alg::Rs256 => RsaKeyPair::from_pkcs8(secret).map(Self::Rs256),
            Alg::Hs256 if secret.len() == SHARED => {
                let key = hmac::Key::new(HMAC_SHA256, secret);
                Ok(Self::Hs256(Box::new(key)))
            }
            Alg::Hs256 => return Err(KeyError::SigningKey),
        };
        pair.map_err(|_| KeyError::SigningKey)
    }

    /// The signature over a message; `None` if the library fails.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let random = SystemRandom::new();
        let signature = match self {
            Self::Es256(pair) => pair.sign(&random, message).ok()?.as_ref().to_vec(),
            Self::EdDsa(pair) => pair.try_sign(message).ok()?.as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .ok()?;
                signature
            }
            Self::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
        };
        Some(Zeroizing::new(signature))
    }
}
