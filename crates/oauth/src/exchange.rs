//! Token exchange (RFC 8693): a client of the operator shows an access token of ours and gets a narrower one, in which it
//! stands that the client acts for the person.
//!
//! Only what the operator has named is exchanged: both the resource that the token was for and the one that it shall be for
//! are among the client's own. Nothing gets wider by it: not the scopes, not the time, not the people of a resource.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{Actor, Verified};
use sallyport_core::policy::Selection;
use sallyport_core::{Resource, ScopeSet, Secret, Thumbprint};
use serde::Deserialize;
use thiserror::Error;

use crate::client_auth::AuthenticatedClient;
use crate::error::ErrorCode;
use crate::model::AuthMethod;
use crate::narrowed::narrowed;
use crate::params::Params;
use crate::resources::{InvalidTarget, Resources};
use crate::{own_name, registration};

/// `grant_type` and the member of `grant_types`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The one type of token that is taken and given (RFC 8693 §3).
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// How many may act for one another: a person's client, its agent, and two more.
pub const MAX_ACTORS: usize = 4;

/// What is exchanged.
pub struct ExchangeRequest {
    /// `subject_token`: whose rights.
    pub subject: Secret<String>,
    /// `actor_token`: who acts.
    pub actor: Option<Secret<String>>,
    /// `scope`; without it, as many as the subject has.
    pub scope: Option<String>,
}

/// Why nothing is exchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ExchangeError {
    /// The operator has not registered the client for it, or it does not prove who it is.
    #[error("the client may not use this grant type")]
    GrantType,
    /// The subject token is not ours, not alive, or not for a resource that was named to the client: all alike, so that
    /// nobody finds out about a token by showing it.
    #[error("`subject_token` is not an access token of this server that the client may exchange")]
    Subject,
    /// The actor token is not the client's own.
    #[error("`actor_token` must be a live access token that the client has got in its own name")]
    Actor,
    /// One of the tokens is bound to a key that the sender has not proved to hold (RFC 9449 §5).
    #[error("the token is bound to a key: a DPoP proof with it is needed")]
    Key,
    /// Too many act for one another already.
    #[error("the token was exchanged too often")]
    Depth,
    /// A resource that was not named to the client, or that does not admit the person.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// More than the subject token or the registration allows.
    #[error("`scope` holds more than the subject token allows")]
    Scope,
}

impl ExchangeError {
    /// The `error` value of the answer (RFC 8693 §2.2.2).
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::GrantType => ErrorCode::UnauthorizedClient,
            Self::Subject | Self::Actor | Self::Key | Self::Depth => ErrorCode::InvalidRequest,
            Self::Target(_) => ErrorCode::InvalidTarget,
            Self::Scope => ErrorCode::InvalidScope,
        }
    }
}

/// One resource that there is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its path.
    pub path: &'a str,
    /// The resource.
    pub resource: &'a Resource,
    /// Whom it admits.
    pub users: &'a Selection,
}

/// A token that was shown, verified, and who acts by it already.
pub struct Shown {
    /// What the verifier has found.
    pub verified: Verified,
    /// `act`.
    pub actor: Option<Actor>,
}

/// What is issued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchanged {
    /// For what.
    pub resource: Resource,
    /// With which scopes.
    pub scopes: ScopeSet,
    /// Who acts.
    pub actor: Actor,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    #[serde(default)]
    act: Option<Actor>,
}

/// Who acts by a token that was verified; `None` if it is of another issuer, or no JWT.
#[must_use]
pub fn actor_of(token: &str, issuer: &str) -> Option<Option<Actor>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    (claims.iss == issuer).then_some(claims.act)
}

/// Whether the client may exchange tokens.
///
/// # Errors
/// [`ExchangeError::GrantType`].
pub fn check_client(client: AuthenticatedClient<'_>) -> Result<(), ExchangeError> {
    let client = client.client();
    let may = client.auth_method != AuthMethod::None && registration::allows_grant(client, GRANT_TYPE);
    may.then_some(()).ok_or(ExchangeError::GrantType)
}

/// What the client gets for the subject token. `key` is the one that the sender has proved to hold.
///
/// # Errors
/// [`ExchangeError`].
pub fn decide(
    client: AuthenticatedClient<'_>,
    (request, params): (&ExchangeRequest, &Params),
    (subject, actor): (&Shown, Option<&Shown>),
    key: Option<&Thumbprint>,
    places: &[Place<'_>],
) -> Result<Exchanged, ExchangeError> {
    check_client(client)?;
    let client = client.client();
    let principal = &subject.verified.principal;
    let own = own_name::resources(client, places.iter().map(|place| (place.path, place.resource)));
    if !own.contains(&principal.audience) {
        return Err(ExchangeError::Subject);
    }
    let unproved = |shown: &Shown| shown.verified.key.is_some() && shown.verified.key.as_ref() != key;
    if unproved(subject) || actor.is_some_and(unproved) {
        return Err(ExchangeError::Key);
    }
    let acting = own_name::user(&client.id);
    if actor.is_some_and(|actor| {
        let shown = &actor.verified.principal;
        shown.client != client.id || shown.user != acting || actor.actor.is_some()
    }) {
        return Err(ExchangeError::Actor);
    }
    let actor = Actor {
        sub: acting,
        act: subject.actor.clone().map(Box::new),
    };
    if actor.depth() > MAX_ACTORS {
        return Err(ExchangeError::Depth);
    }
    let asked = params.all("resource").chain(params.all("audience"));
    let resource = Resources::new(principal.audience.clone(), own).resolve(asked)?;
    let place = places.iter().find(|place| *place.resource == resource);
    if !place.is_some_and(|place| place.users.admits(principal.user.as_str())) {
        return Err(InvalidTarget.into());
    }
    let most = client.scopes.intersection(&principal.scopes);
    let scopes = narrowed(request.scope.as_deref(), &most);
    let scopes = scopes
        .filter(|scopes| !scopes.is_empty())
        .ok_or(ExchangeError::Scope)?;
    Ok(Exchanged {
        resource,
        scopes,
        actor,
    })
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
