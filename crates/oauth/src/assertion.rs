//! `private_key_jwt`: a client proves who it is by signing a statement about itself (RFC 7523 §3, OpenID Connect Core §9).

use std::time::Duration;

use sallyport_core::{ClientId, Timestamp};
use serde::Deserialize;
use thiserror::Error;

use crate::client_auth::{AuthenticatedClient, ClientAuthError};
use crate::jws::{Keys, Unverified};
use crate::model::{AuthMethod, Client};

/// The one `client_assertion_type` (RFC 7523 §2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead a statement may end: it is made for one request.
pub const MAX_LIFE: Duration = Duration::from_secs(300);

/// How far the client's clock may be off.
pub const SKEW: Duration = Duration::from_secs(60);

/// The longest `jti` that is taken, in bytes.
pub const MAX_ID: usize = 256;

/// Why a statement proves nothing. All of it is the sender's own, so it may be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AssertionError {
    /// No compact JWS with an object of the needed claims.
    #[error("`client_assertion` must be a signed JWT with iss, sub, aud, exp and jti")]
    Form,
    /// Another `client_assertion_type`.
    #[error("`client_assertion_type` must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
    Type,
    /// `iss`, `sub` and the client are not one and the same.
    #[error("`iss` and `sub` of the client assertion must be the client_id")]
    Subject,
    /// It was made for somebody else.
    #[error("`aud` of the client assertion must be the issuer or the endpoint, alone")]
    Audience,
    /// Over, not yet valid, or good for too long.
    #[error("the client assertion must be valid now and end within 5 minutes")]
    Time,
    /// `jti` is empty or too long.
    #[error("`jti` of the client assertion must have 1 to 256 characters")]
    Id,
    /// It was shown before.
    #[error("the client assertion was used before")]
    Replayed,
}

/// A statement that was sent; nothing of it is believed yet.
pub struct Assertion {
    text: String,
    claims: Claims,
}

/// RFC 7523 §3. A claim that stands twice makes it unreadable.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    jti: String,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    iat: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    /// A list of more than one could be replayed at another of them.
    List([String; 1]),
}

impl Assertion {
    /// Reads a statement.
    ///
    /// # Errors
    /// [`AssertionError::Form`].
    pub fn read(text: &str) -> Result<Self, AssertionError> {
        let jws = Unverified::read(text).ok_or(AssertionError::Form)?;
        // Typed statements of another kind are no authentication (RFC 8725 §3.11).
        let typed = jws.kind().is_none_or(|kind| {
            ["jwt", "client-authentication+jwt"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known))
        });
        let claims = serde_json::from_slice(jws.claimed()).map_err(|_| AssertionError::Form)?;
        typed.then_some(()).ok_or(AssertionError::Form)?;
        Ok(Self {
            text: text.to_owned(),
            claims,
        })
    }

    /// The client that it claims to be.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId::new(self.claims.sub.as_str())
    }

    /// The id of the key that it says to be signed with.
    #[must_use]
    pub fn key_id(&self) -> Option<String> {
        Unverified::read(&self.text)?.key_id().map(ToOwned::to_owned)
    }

    /// Checks signature and claims. `audiences` are our issuer and our endpoints that clients authenticate at.
    ///
    /// # Errors
    /// [`ClientAuthError::Refused`] for another method and for the signature, before anything is said about the claims.
    pub fn verify<'a>(
        &self,
        client: Option<&'a Client>,
        keys: &Keys,
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<Single<'a>, ClientAuthError> {
        let client = client.filter(|client| client.auth_method == AuthMethod::PrivateKeyJwt);
        let client = client.ok_or(ClientAuthError::Refused)?;
        if !Unverified::read(&self.text).is_some_and(|jws| jws.is_signed_by(keys)) {
            return Err(ClientAuthError::Refused);
        }
        let claims = &self.claims;
        if claims.iss != client.id.as_str() || claims.sub != client.id.as_str() {
            return Err(AssertionError::Subject.into());
        }
        let (Audience::One(audience) | Audience::List([audience])) = &claims.aud;
        if !audiences.contains(&audience.as_str()) {
            return Err(AssertionError::Audience.into());
        }
        let begins = claims.nbf.into_iter().chain(claims.iat).max();
        let (ends, latest) = (Timestamp::from_secs(claims.exp), now.plus(SKEW));
        let is_early = begins.is_some_and(|begins| Timestamp::from_secs(begins) > latest);
        if is_early || ends.plus(SKEW) <= now || ends > latest.plus(MAX_LIFE) {
            return Err(AssertionError::Time.into());
        }
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID {
            return Err(AssertionError::Id.into());
        }
        Ok(Single {
            client,
            id: claims.jti.clone(),
            until: ends.plus(SKEW),
        })
    }
}

/// A good statement, which counts once.
pub struct Single<'a> {
    client: &'a Client,
    /// Its `jti`, unique for the client.
    pub id: String,
    /// How long it has to be remembered.
    pub until: Timestamp,
}

impl<'a> Single<'a> {
    /// The client, if the store has not seen the statement before.
    ///
    /// # Errors
    /// [`AssertionError::Replayed`].
    pub fn counted(self, is_first: bool) -> Result<AuthenticatedClient<'a>, ClientAuthError> {
        if is_first {
            Ok(AuthenticatedClient::new(self.client))
        } else {
            Err(AssertionError::Replayed.into())
        }
    }
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
