//! Header and claims of an access token, each member with its one right type (RFC 9068 §2, RFC 8725 §3).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use sallyport_core::capability::TokenError;
use sallyport_core::{
    ClientId, GrantId, Principal, Resource, ScopeSet, Thumbprint, Timestamp, TokenId, UserId,
};
use serde::{Deserialize, Deserializer};

use crate::signing::{ACCESS_TOKEN, Alg};

/// The members that our own tokens have, and no other: `crit`, `b64`, `jku`, `jwk`, `x5u` and whatever else might ask the
/// reader for something make a token foreign (RFC 7515 §4.1.11, RFC 8725 §3.10).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

/// Which key a token says it was signed with, and how, once the form of the token and its header are right.
pub(super) fn read_header(token: &str) -> Result<(Box<str>, Alg), TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let header = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| TokenError::Malformed)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    let alg = Alg::parse(&header.alg).filter(|_| header.typ == ACCESS_TOKEN);
    Ok((header.kid.as_ref().into(), alg.ok_or(TokenError::Malformed)?))
}

/// Checks the signature with the key's own algorithm and reads the claims.
///
/// The library checks `exp`, `iss` and `aud` by the ambient clock and only where they are present, and knows nothing of
/// `iat`; so it is asked for the signature and the form, and [`Claims`] has members that cannot be absent.
pub(super) fn verify(token: &str, kid: &str, alg: Alg, key: &DecodingKey) -> Result<Claims, TokenError> {
    let mut validation = Validation::new(match alg {
        Alg::Es256 => Algorithm::ES256,
        Alg::EdDsa => Algorithm::EdDSA,
        Alg::Rs256 => Algorithm::RS256,
        Alg::Hs256 => Algorithm::HS256,
    });
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let token = decode::<Claims>(token, key, &validation).map_err(|_| TokenError::Malformed)?;
    if token.header.kid.as_deref() != Some(kid) {
        return Err(TokenError::Malformed);
    }
    Ok(token.claims)
}

/// The claims of RFC 9068 §2.2. Times are whole seconds: a fraction or a text is not a time here.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    scope: String,
    jti: String,
    grant: String,
    iat: i64,
    exp: i64,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "confirmation")]
    cnf: Option<Confirmation>,
}

/// What the token is bound to. A binding of another kind cannot be checked, so that a token with one is none here
/// (RFC 7800 §3.1).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    jkt: String,
}

fn confirmation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Confirmation>, D::Error> {
    Confirmation::deserialize(deserializer).map(Some)
}

/// A member that may be absent but not null or of another type (CVE-2026-25537 was that confusion).
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

impl Claims {
    /// The key that the token is bound to.
    pub(super) fn key(&self) -> Option<Thumbprint> {
        let bound = self.cnf.as_ref();
        bound.map(|confirmation| Thumbprint::new(confirmation.jkt.as_str()))
    }

    /// The principal, and the time from which the token is valid by the letter of its claims.
    pub(super) fn into_principal(self, issuer: &str) -> Result<(Principal, Timestamp), TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Audience);
        }
        let named = [&self.sub, &self.client_id, &self.jti, &self.grant];
        if named.iter().any(|name| name.is_empty()) || self.exp < 0 {
            return Err(TokenError::Malformed);
        }
        let audience = Resource::parse(&self.aud)
            .ok()
            .filter(|audience| audience.as_str() == self.aud)
            .ok_or(TokenError::Audience)?;
        let not_before = Timestamp::from_secs(self.nbf.unwrap_or(self.iat).max(self.iat));
        let principal = Principal {
            user: UserId::new(self.sub),
            client: ClientId::new(self.client_id),
            grant: GrantId::new(self.grant),
            token: TokenId::new(self.jti),
            scopes: ScopeSet::parse(&self.scope),
            audience,
            expires: Timestamp::from_secs(self.exp),
        };
        Ok((principal, not_before))
    }
}
