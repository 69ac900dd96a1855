//! What every grant type ends with: an access token, signed, and recorded before anybody sees it.

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::Event;
use sallyport_core::capability::AccessClaims;
use sallyport_core::{Secret, Timestamp, TokenId};
use sallyport_oauth::model::Grant;
use sallyport_oauth::token_set;

use super::Holder;
use super::answer::{ApiError, internal, json, unsigned};
use crate::app::App;
use crate::context::Context;

/// An access token that may be given out.
pub(super) struct Signed {
    pub(super) claims: AccessClaims,
    pub(super) access: Secret<String>,
}

/// The claims of a token for all that was granted.
pub(super) fn claims(app: &App, context: &Context, grant: &Grant) -> AccessClaims {
    let token = TokenId::generate(app.parts.random.as_ref());
    let life = context.settings.access_ttl;
    token_set::access_claims(grant, grant.scopes.clone(), token, context.now, life)
}

/// Binds the token to the key of whoever asks, signs and records it: `event` is what happened, and is completed with who,
/// through which client, under which grant and for what.
pub(super) async fn sign(
    app: &App,
    context: &Context,
    holder: &Holder,
    claims: AccessClaims,
    event: Event,
) -> Result<Signed, ApiError> {
    let claims = holder.bind(app, context, claims)?;
    let access = app.parts.signer.sign(&claims).map_err(unsigned)?;
    let event = Event {
        user: Some(claims.user.clone()),
        client: Some(claims.client.clone()),
        grant: Some(claims.grant.clone()),
        ..event
    };
    app.record(event.on(claims.audience.as_str())).await?;
    Ok(Signed { claims, access })
}

impl Signed {
    /// The answer without a refresh token: whoever wants another access token asks again.
    pub(super) async fn alone(&self, app: &App, now: Timestamp) -> Result<Response, ApiError> {
        self.used(app, now).await?;
        let body = token_set::body(&self.claims, &self.access, None);
        Ok(json(StatusCode::OK, body))
    }

    /// Notes that the client is used.
    pub(super) async fn used(&self, app: &App, now: Timestamp) -> Result<(), ApiError> {
        let touched = app.parts.store.touch_client(&self.claims.client, now).await;
        touched.map_err(internal("mark the client as used"))
    }
}
