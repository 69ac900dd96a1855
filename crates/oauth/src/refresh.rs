//! The use of a refresh token: rotation, the grace for one that was just rotated, and reuse (OAuth 2.1 §4.3).
//!
//! A token that was rotated moments ago is shown again by honest clients: two requests at once, or an answer that was
//! lost. Within the grace they get the successor that there already is; later it is taken for theft.

use std::time::Duration;

use sallyport_core::{ScopeSet, Thumbprint, Timestamp};
use thiserror::Error;

use crate::client_auth::AuthenticatedClient;
use crate::error::ErrorCode;
use crate::model::RefreshState;
use crate::narrowed::narrowed;
use crate::params::Params;
use crate::registration;
use crate::resources::{self, InvalidTarget};
use crate::token_request::RefreshRequest;

/// What to do with a refresh token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Replace it; the new access token has these scopes.
    Rotate(ScopeSet),
    /// Give its successor again; the new access token has these scopes.
    Repeat(ScopeSet),
    /// It was used long after it was replaced: revoke the whole grant (RFC 9700 §4.14.2).
    Reuse,
}

/// Why a refresh token is refused. Nothing is revoked by any of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RefreshError {
    /// It belongs to another client. Clients that register anew show their old tokens, so it is no attack yet.
    #[error("the refresh token is not valid")]
    WrongClient,
    /// Its time, or the whole grant's, is over.
    #[error("the refresh token has expired")]
    Expired,
    /// The grant has been revoked.
    #[error("the refresh token is not valid")]
    Revoked,
    /// More scopes than were granted.
    #[error("`scope` holds more than was granted")]
    Scope,
    /// Another key than it is bound to, or none.
    #[error("the refresh token is bound to a key: a DPoP proof with it is needed")]
    Key,
    /// Another resource than was granted.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// The client did not register the grant type.
    #[error("the client may not use this grant type")]
    GrantType,
}

impl RefreshError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::WrongClient | Self::Expired | Self::Revoked | Self::Key => ErrorCode::InvalidGrant,
            Self::Scope => ErrorCode::InvalidScope,
            Self::Target(_) => ErrorCode::InvalidTarget,
            Self::GrantType => ErrorCode::UnauthorizedClient,
        }
    }
}

/// Decides about a refresh token that the store knows. `grace` is how long after its rotation it may be repeated,
/// `key` the key that the sender has proved to hold.
///
/// # Errors
/// [`RefreshError`].
pub fn decide(
    state: &RefreshState,
    client: AuthenticatedClient<'_>,
    request: &RefreshRequest,
    params: &Params,
    key: Option<&Thumbprint>,
    (now, grace): (Timestamp, Duration),
) -> Result<Decision, RefreshError> {
    let grant = &state.grant;
    if grant.client != client.client().id {
        return Err(RefreshError::WrongClient);
    }
    if !registration::allows_grant(client.client(), "refresh_token") {
        return Err(RefreshError::GrantType);
    }
    if grant.revoked.is_some() {
        return Err(RefreshError::Revoked);
    }
    // Before reuse is looked at: whoever has stolen the token alone can end nothing with it.
    if state.token.key.is_some() && state.token.key.as_ref() != key {
        return Err(RefreshError::Key);
    }
    let repeated = state.rotated.as_ref().map(|(at, _)| now.since(*at));
    if repeated.is_some_and(|age| age > grace) {
        return Ok(Decision::Reuse);
    }
    if now >= state.token.expires || now >= grant.expires {
        return Err(RefreshError::Expired);
    }
    resources::keep(&grant.resource, params.all("resource"))?;
    let scopes = narrowed(request.scope.as_deref(), &grant.scopes).ok_or(RefreshError::Scope)?;
    Ok(if repeated.is_some() {
        Decision::Repeat(scopes)
    } else {
        Decision::Rotate(scopes)
    })
}

#[cfg(test)]
mod tests;
