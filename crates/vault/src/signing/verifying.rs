//! Keys that verify, and how those are written that may be seen (RFC 7517).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use sallyport_core::Secret;
use serde::Serialize;

use super::key::Alg;
use crate::KeyError;

/// The fewest bytes of an RSA modulus: 2048 bits.
const MIN_MODULUS: usize = 256;

/// A key that verifies access tokens.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: String,
    material: Material,
}

/// Base64url, as key sets have it.
#[derive(Clone)]
enum Material {
    P256 { x: String, y: String },
    Ed25519 { x: String },
    Rsa { n: String, e: String },
    Shared(Secret<Vec<u8>>),
}

impl VerifyingKey {
    /// From an uncompressed P-256 point: 4, x, y (SEC 1 §2.3.3).
    pub(super) fn p256(point: &[u8]) -> Option<Self> {
        let (4, coordinates) = point.split_first()? else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(32).filter(|(_, y)| y.len() == 32)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3.2: the required members in lexical order, without white space.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Some(Self::new(&members, Material::P256 { x, y }))
    }

    /// From a public key of Ed25519.
    pub(super) fn ed25519(point: &[u8]) -> Option<Self> {
        let x = (point.len() == 32).then(|| URL_SAFE_NO_PAD.encode(point))?;
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Some(Self::new(&members, Material::Ed25519 { x }))
    }

    /// From a public key of RSA as PKCS #1 writes it (RFC 8017 §A.1.1).
    pub(super) fn rsa(der: &[u8]) -> Option<Self> {
        let (sequence, []) = element(der, 0x30)? else {
            return None;
        };
        let (n, rest) = element(sequence, 2)?;
        let (e, []) = element(rest, 2)? else {
            return None;
        };
        // A leading zero keeps the number positive there; here it has none.
        let plain = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            number.get(zeros..).map(<[u8]>::to_vec)
        };
        let n = plain(n).filter(|n| n.len() >= MIN_MODULUS)?;
        let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(plain(e)?));
        let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        Some(Self::new(&members, Material::Rsa { n, e }))
    }

    /// From the secret of HS256. The id is a hash of it with a prefix of our own, and tells nothing of 32 random bytes.
    pub(super) fn shared(secret: &Secret<Vec<u8>>) -> Self {
        let named = [b"sallyport/hs256/kid:".as_slice(), secret.expose()].concat();
        Self {
            kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, &named)),
            material: Material::Shared(secret.clone()),
        }
    }

    fn new(members: &str, material: Material) -> Self {
        Self {
            kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes())),
            material,
        }
    }

    /// Its id: the RFC 7638 thumbprint of a public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The one algorithm that it is used with.
    #[must_use]
    pub fn alg(&self) -> Alg {
        match self.material {
            Material::P256 { .. } => Alg::Es256,
            Material::Ed25519 { .. } => Alg::EdDsa,
            Material::Rsa { .. } => Alg::Rs256,
            Material::Shared(_) => Alg::Hs256,
        }
    }

    /// The key as the library uses it.
    ///
    /// # Errors
    /// [`KeyError::SigningKey`] never, once it was made.
    pub(crate) fn decoding(&self) -> Result<DecodingKey, KeyError> {
        let key = match &self.material {
            Material::P256 { x, y } => DecodingKey::from_ec_components(x, y),
            Material::Ed25519 { x } => DecodingKey::from_ed_components(x),
            Material::Rsa { n, e } => DecodingKey::from_rsa_components(n, e),
            Material::Shared(secret) => return Ok(DecodingKey::from_secret(secret.expose())),
        };
        key.map_err(|_| KeyError::SigningKey)
    }

    /// How it is published; a shared secret is not.
    pub(super) fn jwk(&self) -> Option<Jwk<'_>> {
        let mut jwk = Jwk {
            kid: &self.kid,
            alg: self.alg().as_str(),
            r#use: "sig",
            ..Jwk::default()
        };
        match &self.material {
            Material::P256 { x, y } => {
                (jwk.kty, jwk.crv) = ("EC", Some("P-256"));
                (jwk.x, jwk.y) = (Some(x), Some(y));
            }
            Material::Ed25519 { x } => {
                (jwk.kty, jwk.crv, jwk.x) = ("OKP", Some("Ed25519"), Some(x));
            }
            Material::Rsa { n, e } => {
                (jwk.kty, jwk.n, jwk.e) = ("RSA", Some(n), Some(e));
            }
            Material::Shared(_) => return None,
        }
        Some(jwk)
    }
}

impl PartialEq for VerifyingKey {
    /// The id is a hash of all the rest.
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("alg", &self.alg())
            .finish_non_exhaustive()
    }
}

/// A key in a set (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Serialize, Default)]
pub(super) struct Jwk<'a> {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<&'a String>,
    kid: &'a str,
    alg: &'static str,
    r#use: &'static str,
}

/// The content of one DER element of this tag, and what follows it (X.690 §8.1).
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (long, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}
