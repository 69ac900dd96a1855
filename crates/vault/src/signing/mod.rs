//! Signing keys and the access tokens that they sign (RFC 9068, RFC 7518 §3).

mod key;
mod statement;
#[cfg(test)]
mod tests;
mod verifying;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Secret;
use sallyport_core::capability::{AccessClaims, Actor, SignError, SignToken};
use serde::Serialize;

use crate::KeyError;
#[cfg(test)]
pub(crate) use key::Pair;
pub use key::{Alg, SigningKey};
pub use statement::StatementKey;
pub use verifying::VerifyingKey;

/// The `typ` of an access token (RFC 9068 §2.1).
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: Vec<verifying::Jwk<'a>>,
}

/// RFC 9068 §2.2, and the grant that ends the token when it is revoked.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    scope: String,
    jti: &'a str,
    grant: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
}

/// RFC 7800 §3.1, RFC 9449 §6.1.
#[derive(Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

/// Signs with one key and publishes it together with the next one and those that are being retired.
pub struct Signer {
    issuer: String,
    ring: RwLock<Arc<Ring>>,
}

struct Ring {
    pair: key::Pair,
    header: String,
    verifying: Vec<VerifyingKey>,
    jwks: String,
}

impl Signer {
    /// A signer for `issuer`, which becomes `iss` as it is.
    ///
    /// # Errors
    /// [`KeyError`] if a key cannot be used.
    pub fn new(issuer: &str, active: &SigningKey, others: &[SigningKey]) -> Result<Self, KeyError> {
        let ring = Ring::new(active, others)?;
        Ok(Self {
            issuer: issuer.to_owned(),
            ring: RwLock::new(Arc::new(ring)),
        })
    }

    /// Signs with another key from now on; the old one belongs into `others` until its last token has ended.
    ///
    /// # Errors
    /// [`KeyError`] if a key cannot be used; then nothing changes.
    pub fn replace(&self, active: &SigningKey, others: &[SigningKey]) -> Result<(), KeyError> {
        let ring = Arc::new(Ring::new(active, others)?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// The keys that verify its live tokens and those of its next key, the active one first.
    #[must_use]
    pub fn verifying_keys(&self) -> Vec<VerifyingKey> {
        self.ring().verifying.clone()
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ring {
    fn new(active: &SigningKey, others: &[SigningKey]) -> Result<Self, KeyError> {
        let others = others.iter().filter(|key| key.kid() != active.kid());
        let verifying: Vec<VerifyingKey> = std::iter::once(active)
            .chain(others)
            .map(|key| key.verifying().clone())
            .collect();
        let set = JwkSet {
            keys: verifying.iter().filter_map(VerifyingKey::jwk).collect(),
        };
        let jwks = serde_json::to_string(&set).map_err(|_| KeyError::Library)?;
        let header = format!(
            r#"{{"alg":"{}","typ":"{ACCESS_TOKEN}","kid":"{}"}}"#,
            active.alg().as_str(),
            active.kid()
        );
        Ok(Self {
            pair: active.pair()?,
            header: URL_SAFE_NO_PAD.encode(header),
            verifying,
            jwks,
        })
    }
}

impl SignToken for Signer {
    fn sign(&self, claims: &AccessClaims) -> Result<Secret<String>, SignError> {
        let ring = self.ring();
        let claims = Claims {
            iss: &self.issuer,
            sub: claims.user.as_str(),
            aud: claims.audience.as_str(),
            client_id: claims.client.as_str(),
            scope: claims.scopes.to_string(),
            jti: claims.token.as_str(),
            grant: claims.grant.as_str(),
            iat: claims.issued.as_secs(),
            exp: claims.expires.as_secs(),
            cnf: claims.key.as_ref().map(|key| Confirmation { jkt: key.as_str() }),
            act: claims.actor.as_ref(),
        };
        let body = serde_json::to_vec(&claims).map_err(|_| SignError)?;
        let mut token = format!("{}.{}", ring.header, URL_SAFE_NO_PAD.encode(body));
        let signature = ring.pair.sign(token.as_bytes()).ok_or(SignError)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&*signature, &mut token);
        Ok(Secret::new(token))
    }

    fn jwks(&self) -> String {
        self.ring().jwks.clone()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}
