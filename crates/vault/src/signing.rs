//! ES256 signing keys and the access tokens that they sign (RFC 9068, RFC 7518 §3.4).

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{AccessClaims, SignError, SignToken};
use sallyport_core::{Secret, Timestamp};
use serde::Serialize;

use crate::KeyError;

/// The `typ` of an access token (RFC 9068 §2.1).
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";

/// The signature algorithm of a key; the key decides it, never a token's header (RFC 8725 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Alg {
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Alg {
    /// The name in headers and key sets (RFC 7518 §3.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
        }
    }
}

/// A private signing key.
#[derive(Clone)]
pub struct SigningKey {
    public: PublicKey,
    pkcs8: Secret<Vec<u8>>,
    created: Timestamp,
}

impl SigningKey {
    /// A fresh P-256 key, drawn by aws-lc.
    ///
    /// # Errors
    /// [`KeyError::Library`] if the library fails.
    pub fn generate(now: Timestamp) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Library)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Library)?;
        Self::from_pkcs8(Secret::new(document.as_ref().to_vec()), now)
    }

    /// A key as it was stored.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] for anything but a P-256 private key in PKCS#8 form (RFC 5208).
    pub fn from_pkcs8(pkcs8: Secret<Vec<u8>>, created: Timestamp) -> Result<Self, KeyError> {
        let pair = pair(&pkcs8)?;
        let public = PublicKey::from_point(pair.public_key().as_ref()).ok_or(KeyError::SigningKey)?;
        Ok(Self {
            public,
            pkcs8,
            created,
        })
    }

    /// The RFC 7638 thumbprint of the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The algorithm that it signs with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.public.alg
    }

    /// The private key in PKCS#8 form, to be sealed and stored.
    #[must_use]
    pub fn pkcs8(&self) -> &Secret<Vec<u8>> {
        &self.pkcs8
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }
}

fn pair(pkcs8: &Secret<Vec<u8>>) -> Result<EcdsaKeyPair, KeyError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose())
        .map_err(|_| KeyError::SigningKey)
}

/// A public key that verifies access tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    kid: String,
    alg: Alg,
    x: String,
    y: String,
}

impl PublicKey {
    /// From an uncompressed P-256 point: 4, x, y (SEC 1 §2.3.3).
    fn from_point(point: &[u8]) -> Option<Self> {
        let Some((4, coordinates)) = point.split_first() else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(32).filter(|(_, y)| y.len() == 32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3.2: the required members in lexical order, without white space.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
        Some(Self {
            kid,
            alg: Alg::Es256,
            x,
            y,
        })
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it is used with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The base64url coordinates `x` and `y` (RFC 7518 §6.2.1).
    pub(crate) fn coordinates(&self) -> (&str, &str) {
        (&self.x, &self.y)
    }
}

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: Vec<Jwk<'a>>,
}

/// RFC 7517 §4, RFC 7518 §6.2.
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    x: &'a str,
    y: &'a str,
    kid: &'a str,
    alg: &'static str,
    r#use: &'static str,
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
}

/// RFC 7800 §3.1, RFC 9449 §6.1.
#[derive(Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

/// Signs with one key and publishes it together with those that are being retired.
pub struct Signer {
    issuer: String,
    ring: RwLock<Arc<Ring>>,
}

struct Ring {
    pair: EcdsaKeyPair,
    header: String,
    public: Vec<PublicKey>,
    jwks: String,
}

impl Signer {
    /// A signer for `issuer`, which becomes `iss` as it is.
    ///
    /// # Errors
    /// [`KeyError`] if a key cannot be used.
    pub fn new(issuer: &str, active: SigningKey, retiring: Vec<SigningKey>) -> Result<Self, KeyError> {
        let ring = Ring::new(&active, &retiring)?;
        Ok(Self {
            issuer: issuer.to_owned(),
            ring: RwLock::new(Arc::new(ring)),
        })
    }

    /// Signs with another key from now on; the old one belongs into `retiring` until its last token has ended.
    ///
    /// # Errors
    /// [`KeyError`] if a key cannot be used; then nothing changes.
    pub fn replace(&self, active: SigningKey, retiring: Vec<SigningKey>) -> Result<(), KeyError> {
        let ring = Arc::new(Ring::new(&active, &retiring)?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }

    /// The keys that verify its live tokens, the active one first.
    #[must_use]
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.ring().public.clone()
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ring {
    fn new(active: &SigningKey, retiring: &[SigningKey]) -> Result<Self, KeyError> {
        let others = retiring.iter().filter(|key| key.kid() != active.kid());
        let public: Vec<PublicKey> = std::iter::once(active)
            .chain(others)
            .map(|key| key.public.clone())
            .collect();
        let keys = public.iter().map(|key| Jwk {
            kty: "EC",
            crv: "P-256",
            x: &key.x,
            y: &key.y,
            kid: &key.kid,
            alg: key.alg.as_str(),
            r#use: "sig",
        });
        let jwks = serde_json::to_string(&JwkSet { keys: keys.collect() }).map_err(|_| KeyError::Library)?;
        let header = format!(
            r#"{{"alg":"{}","typ":"{ACCESS_TOKEN}","kid":"{}"}}"#,
            active.alg().as_str(),
            active.kid()
        );
        Ok(Self {
            pair: pair(&active.pkcs8)?,
            header: URL_SAFE_NO_PAD.encode(header),
            public,
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
        };
        let body = serde_json::to_vec(&claims).map_err(|_| SignError)?;
        let mut token = format!("{}.{}", ring.header, URL_SAFE_NO_PAD.encode(body));
        let signature = ring
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| SignError)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_is_the_same_key() {
        let key = SigningKey::generate(Timestamp::from_secs(1)).unwrap();
        let again = SigningKey::from_pkcs8(key.pkcs8().clone(), key.created()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(key.kid().len(), 43);
        assert!(SigningKey::from_pkcs8(Secret::new(vec![1, 2, 3]), key.created()).is_err());
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_rfc_7638() {
        let key = SigningKey::generate(Timestamp::EPOCH).unwrap();
        let (x, y) = key.public().coordinates();
        let jwk: jsonwebtoken::jwk::Jwk =
            serde_json::from_str(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)).unwrap();
        let expected = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(key.kid(), expected);
    }

    #[test]
    fn the_key_set_holds_public_members_of_every_key_once() {
        let (a, b) = (
            SigningKey::generate(Timestamp::EPOCH).unwrap(),
            SigningKey::generate(Timestamp::EPOCH).unwrap(),
        );
        let signer = Signer::new("https://i", a.clone(), vec![a.clone(), b.clone()]).unwrap();
        let set: serde_json::Value = serde_json::from_str(&signer.jwks()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        for (key, jwk) in [&a, &b].iter().zip(keys) {
            let mut names: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
            names.sort();
            assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
            assert_eq!(jwk["kid"], key.kid());
        }
    }

    #[test]
    fn replacing_the_active_key_changes_header_and_set() {
        let (a, b) = (
            SigningKey::generate(Timestamp::EPOCH).unwrap(),
            SigningKey::generate(Timestamp::EPOCH).unwrap(),
        );
        let signer = Signer::new("https://i", a.clone(), Vec::new()).unwrap();
        signer.replace(b.clone(), vec![a.clone()]).unwrap();
        let kids: Vec<_> = signer.public_keys().iter().map(|k| k.kid().to_owned()).collect();
        assert_eq!(kids, [b.kid(), a.kid()]);
    }
}
