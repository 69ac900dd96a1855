//! ID tokens: what they must say before anybody is logged in by one (OpenID Connect Core §3.1.3.7, RFC 8725).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::jws::{Keys, Unverified};

/// How far the clocks may be apart.
const SKEW: Duration = Duration::from_secs(60);

/// The longest token that is looked at, in bytes: some hundred groups.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why an ID token does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum IdTokenError {
    /// No signed text with an algorithm that is checked; `none` and HMAC are not.
    #[error("it is no signed token, or its algorithm is not accepted")]
    Form,
    /// None of the provider's keys has signed it.
    #[error("none of the provider's keys has signed it")]
    Signature,
    /// A claim is missing, or is not of its type.
    #[error("`{0}` is missing, or is not what it should be")]
    Claim(&'static str),
    /// Another issuer's.
    #[error("`iss` is another issuer")]
    Issuer,
    /// For another client.
    #[error("`aud` or `azp` is another client")]
    Audience,
    /// Its time is over, or has not come.
    #[error("it has expired or is not yet valid")]
    Time,
    /// Made for another log-in.
    #[error("`nonce` belongs to another log-in")]
    Nonce,
    /// Made for another access token.
    #[error("`at_hash` belongs to another access token")]
    AccessToken,
}

/// What is expected of an ID token.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The issuer, as the configuration writes it.
    pub issuer: &'a str,
    /// Our id there.
    pub client: &'a str,
    /// The nonce of this log-in.
    pub nonce: &'a str,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// The claims of an ID token that counts.
#[derive(Clone, Debug)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// What a signed statement says that was verified elsewhere.
    pub(crate) fn of(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// A claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// An ID token that has been taken apart.
pub struct IdToken<'a>(Unverified<'a>);

impl<'a> IdToken<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`IdTokenError::Form`].
    pub fn read(text: &'a str) -> Result<Self, IdTokenError> {
        let token = Unverified::read_within(text, MAX_BYTES).ok_or(IdTokenError::Form)?;
        // A token that says it is something else is not taken for one that logs people in (RFC 8725 §3.11).
        match token.kind() {
            None => Ok(Self(token)),
            Some(kind) if kind.eq_ignore_ascii_case("jwt") => Ok(Self(token)),
            Some(_) => Err(IdTokenError::Form),
        }
    }

    /// Whether one of the keys has signed it. If not, the provider may have a new key.
    #[must_use]
    pub fn is_signed_by(&self, keys: &Keys) -> bool {
        self.0.is_signed_by(keys)
    }

    /// The claims, if everything is as expected.
    ///
    /// # Errors
    /// [`IdTokenError`].
    pub fn verify(&self, keys: &Keys, expected: Expected<'_>) -> Result<Claims, IdTokenError> {
        if !self.is_signed_by(keys) {
            return Err(IdTokenError::Signature);
        }
        let claims: Map<String, Value> =
            serde_json::from_slice(self.0.claimed()).map_err(|_| IdTokenError::Form)?;
        if text(&claims, "iss")? != expected.issuer {
            return Err(IdTokenError::Issuer);
        }
        check_audience(&claims, expected.client)?;
        check_time(&claims, expected.now)?;
        if !same(text(&claims, "nonce")?, expected.nonce) {
            return Err(IdTokenError::Nonce);
        }
        self.check_access_token(&claims, expected.access_token)?;
        text(&claims, "sub")?;
        Ok(Claims(claims))
    }

    fn check_access_token(
        &self,
        claims: &Map<String, Value>,
        token: Option<&str>,
    ) -> Result<(), IdTokenError> {
        let Some(hash) = claims.get("at_hash") else {
            return Ok(());
        };
        let hash = hash.as_str().ok_or(IdTokenError::Claim("at_hash"))?;
        let token = token.ok_or(IdTokenError::AccessToken)?;
        let algorithm = if self.0.algorithm() == "EdDSA" {
            &SHA512
        } else {
            &SHA256
        };
        let whole = digest(algorithm, token.as_bytes());
        let half = whole.as_ref().len() / 2;
        let left: Vec<u8> = whole.as_ref().iter().take(half).copied().collect();
        if same(hash, &URL_SAFE_NO_PAD.encode(left)) {
            Ok(())
        } else {
            Err(IdTokenError::AccessToken)
        }
    }
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn text<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<&'c str, IdTokenError> {
    let value = claims.get(name).and_then(Value::as_str);
    value
        .filter(|text| !text.is_empty())
        .ok_or(IdTokenError::Claim(name))
}

/// Ours, and where it is others' too, made out to us.
fn check_audience(claims: &Map<String, Value>, client: &str) -> Result<(), IdTokenError> {
    let audience = claims.get("aud").ok_or(IdTokenError::Claim("aud"))?;
    let several = match audience {
        Value::String(one) if one == client => false,
        Value::Array(many) if many.iter().any(|one| one == client) => many.len() > 1,
        Value::String(_) | Value::Array(_) => return Err(IdTokenError::Audience),
        _ => return Err(IdTokenError::Claim("aud")),
    };
    match claims.get("azp") {
        Some(party) if party == client => Ok(()),
        None if !several => Ok(()),
        _ => Err(IdTokenError::Audience),
    }
}

fn check_time(claims: &Map<String, Value>, now: Timestamp) -> Result<(), IdTokenError> {
    let time = |name| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.as_i64().or_else(|| whole(value.as_f64()?));
            seconds.map(Some).ok_or(IdTokenError::Claim(name))
        }
    };
    let expires = time("exp")?.ok_or(IdTokenError::Claim("exp"))?;
    let issued = time("iat")?.ok_or(IdTokenError::Claim("iat"))?;
    let (early, late) = (now.minus(SKEW).as_secs(), now.plus(SKEW).as_secs());
    if expires <= early || issued > late || time("nbf")?.is_some_and(|from| from > late) {
        return Err(IdTokenError::Time);
    }
    Ok(())
}

/// Some providers write whole seconds with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn whole(seconds: f64) -> Option<i64> {
    (0.0..1e12).contains(&seconds).then_some(seconds as i64)
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
