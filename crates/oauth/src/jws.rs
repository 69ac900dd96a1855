//! Signatures of clients: compact JWS (RFC 7515 §7.1) under the public keys of a registration (RFC 7517).
//!
//! The key decides how a signature is checked; the header has to agree with it. Nothing that a header names is fetched
//! or believed (RFC 8725 §3.1, §3.10).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Thumbprint;
use serde::Deserialize;
use serde_json::Value;

/// The algorithms that are checked (RFC 7518 §3.1, RFC 8037 §3.1), as metadata lists them.
pub const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];

/// The most keys of one client: enough to rotate, few enough that a signature without `kid` is cheap to refuse.
pub const MAX_KEYS: usize = 16;

/// The longest signed text that is looked at, in bytes: as much as a form may hold.
pub const MAX_BYTES: usize = 8 * 1024;

/// A signed text whose signature has not been checked.
pub struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that have to be understood; none is (RFC 7515 §4.1.11).
    #[serde(default)]
    crit: Option<Value>,
    /// The key of a signature that proves nothing but that its maker holds it (RFC 9449 §4.2); for all others it is nothing.
    #[serde(default)]
    jwk: Option<Value>,
}

impl<'a> Unverified<'a> {
    /// Takes a signed text apart; `None` if it is none, or asks for something that is not understood.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        Self::read_within(text, MAX_BYTES)
    }

    /// The same with another bound on the length, in bytes.
    #[must_use]
    pub fn read_within(text: &'a str, limit: usize) -> Option<Self> {
        if text.len() > limit {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.crit.is_some() || !ALGORITHMS.contains(&header.alg.as_str()) {
            return None;
        }
        Some(Self {
            header,
            signed,
            payload: URL_SAFE_NO_PAD.decode(payload).ok()?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// The algorithm that the header names: one of [`ALGORITHMS`].
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The `typ` of the header.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    /// The key that the header brings, alone, and its thumbprint (RFC 7638).
    #[must_use]
    pub fn own_key(&self) -> Option<(Keys, Thumbprint)> {
        let jwk = Jwk::deserialize(self.header.jwk.as_ref()?).ok()?;
        if jwk.d.is_some() || jwk.k.is_some() {
            return None;
        }
        // What `kid` says is nothing: there is one key.
        let key = Key {
            id: None,
            ..Key::read(jwk)?
        };
        let thumbprint = key.material.thumbprint();
        Some((Keys(vec![key]), thumbprint))
    }

    /// The key that the header names.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What is said, by whomever.
    #[must_use]
    pub fn claimed(&self) -> &[u8] {
        &self.payload
    }

    /// Whether one of the keys has signed it.
    #[must_use]
    pub fn is_signed_by(&self, keys: &Keys) -> bool {
        let named = |key: &&Key| match (&self.header.kid, &key.id) {
            (Some(asked), Some(id)) => asked == id,
            // A set of one key often has no id for it.
            (Some(_), None) => keys.0.len() == 1,
            (None, _) => true,
        };
        keys.0
            .iter()
            .filter(named)
            .any(|key| key.verifies(&self.header.alg, self.signed.as_bytes(), &self.signature))
    }
}

/// The public keys of a client.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that the key is for, if it says so.
    alg: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    /// An uncompressed P-256 point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl Material {
    /// RFC 7638 §3: the SHA-256 of the required members in their order, without blanks.
    fn thumbprint(&self) -> Thumbprint {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let canonical = match self {
            Self::P256(point) => {
                let (x, y) = point
                    .get(1..)
                    .unwrap_or_default()
                    .split_at_checked(32)
                    .unwrap_or_default();
                format!(
                    r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                    text(x),
                    text(y)
                )
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
        };
        Thumbprint::new(text(digest(&SHA256, canonical.as_bytes()).as_ref()))
    }
}

/// A key as it is written (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    d: Option<Value>,
    #[serde(default)]
    k: Option<Value>,
}

impl Keys {
    /// The usable signature keys of a JWK Set (RFC 7517 §5). Keys of other kinds are passed over, as §5 wants it.
    ///
    /// # Errors
    /// What is wrong, in words: no set, more than [`MAX_KEYS`], a private or secret key in it, no usable key.
    pub fn parse(set: &Value) -> Result<Self, &'static str> {
        let members = set.get("keys").and_then(Value::as_array);
        let members = members.ok_or("must be a JWK Set: an object with the list `keys`")?;
        if members.len() > MAX_KEYS {
            return Err("must not hold more than 16 keys");
        }
        let mut keys = Vec::new();
        for member in members {
            let jwk = Jwk::deserialize(member).map_err(|_| "must hold JSON Web Keys")?;
            if jwk.d.is_some() || jwk.k.is_some() {
                return Err("must hold public keys only; the private one has to stay with the client");
            }
            keys.extend(Key::read(jwk));
        }
        if keys.is_empty() {
            return Err("must hold a signature key for ES256, EdDSA, RS256 or PS256");
        }
        Ok(Self(keys))
    }
}

impl Keys {
    /// Whether a signature by the key of this id can be checked.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        let named = |key: &Key| key.id.as_deref() == Some(id);
        // A set of one key often has no id for it.
        self.0.iter().any(named) || matches!(&*self.0, [only] if only.id.is_none())
    }
}

impl Keys {
    /// Whether one of the keys can verify a signature under one of these algorithms.
    #[must_use]
    pub fn serve(&self, algorithms: &[&str]) -> bool {
        let served = |alg: &&str| self.0.iter().any(|key| key.takes(alg));
        algorithms.iter().any(served)
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Material::P256([&[4][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&jwk.x).filter(|x| x.len() == 32)?),
            ("RSA", _) => Material::Rsa {
                n: bytes(&jwk.n).filter(|n| (256..=512).contains(&n.len()))?,
                e: bytes(&jwk.e)?,
            },
            _ => return None,
        };
        Some(Self {
            id: jwk.kid,
            alg: jwk.alg,
            material,
        })
    }

    fn takes(&self, alg: &str) -> bool {
        self.alg.as_ref().is_none_or(|own| own == alg)
            && matches!(
                (&self.material, alg),
                (Material::P256(_), "ES256")
                    | (Material::Ed25519(_), "EdDSA")
                    | (Material::Rsa { .. }, "RS256" | "PS256")
            )
    }

    fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        if self.alg.as_ref().is_some_and(|own| own != alg) {
            return false;
        }
        match (&self.material, alg) {
            (Material::P256(point), "ES256") => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(message, signature)
                .is_ok(),
            (Material::Ed25519(point), "EdDSA") => UnparsedPublicKey::new(&ED25519, point)
                .verify(message, signature)
                .is_ok(),
            (Material::Rsa { n, e }, "RS256" | "PS256") => {
                let padding = if alg == "RS256" {
                    &RSA_PKCS1_2048_8192_SHA256
                } else {
                    &RSA_PSS_2048_8192_SHA256
                };
                RsaPublicKeyComponents { n, e }
                    .verify(padding, message, signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
