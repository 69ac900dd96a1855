//! A client that proves with each request that it holds a key (RFC 9449), one proof at a time, so that a test can make each
//! of them wrong.

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Timestamp;
use sallyport_core::random::token;
use sallyport_vault::SystemRandom as Chance;
use serde_json::{Value, json};

/// The key that tokens are bound to.
pub struct Holder(EcdsaKeyPair);

impl Holder {
    /// A new key.
    ///
    /// # Errors
    /// When the library makes none.
    pub fn new() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Ok(Self(pair.ok().context("a key")?))
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let (x, y) = self.coordinates();
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// Its thumbprint (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
    }

    fn coordinates(&self) -> (String, String) {
        let point = self.0.public_key().as_ref();
        let (x, y) = point
            .get(1..)
            .unwrap_or_default()
            .split_at_checked(32)
            .unwrap_or_default();
        (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y))
    }

    /// What a right proof of a request claims, with the access token's hash where there is one.
    #[must_use]
    pub fn claims(
        &self,
        (method, url): (&str, &str),
        access: Option<&str>,
        nonce: &str,
        now: Timestamp,
    ) -> Value {
        let mut claims = json!({
            "jti": token::<16>(&Chance), "htm": method, "htu": url, "iat": now.as_secs(), "nonce": nonce,
        });
        if let (Some(access), Some(members)) = (access, claims.as_object_mut()) {
            let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, access.as_bytes()));
            members.insert("ath".to_owned(), hash.into());
        }
        claims
    }

    /// A proof with these claims.
    ///
    /// # Errors
    /// When the library does not sign.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.ok().context("a signature")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
