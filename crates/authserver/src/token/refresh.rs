//! A refresh token becomes tokens (OAuth 2.1 §4.3). The access tokens before stay alive: some clients cannot recover
//! from losing one early.

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::{ScopeSet, TokenId};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::flight::{Rule, Step};
use sallyport_oauth::model::{Grant, RefreshToken};
use sallyport_oauth::refresh::{Decision, decide};
use sallyport_oauth::token_request::RefreshRequest;
use sallyport_oauth::{ErrorCode, Params, token_set};
use sallyport_store::Rotation;

use super::answer::{ApiError, internal, json};
use super::{Holder, end_grant, refuse_grant, refused as refused_for, signed};
use crate::app::App;
use crate::context::Context;
use crate::credentials::Kind;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (request, params, holder): (&RefreshRequest, &Params, &Holder),
) -> Result<Response, ApiError> {
    let digest = app.parts.digest(Kind::Refresh, request.token.expose().as_bytes());
    let state = app
        .parts
        .store
        .refresh_state(&digest)
        .await
        .map_err(internal("find the refresh token"))?;
    let Some(state) = state else {
        refused_for(context, client, None, Rule::RefreshUnknown);
        let refusal = (None, ErrorCode::InvalidGrant, invalid());
        return Err(refuse_grant(app, context, client, refusal));
    };
    // Who is no longer on the list gets no further (the person may come back onto it).
    if context.settings.people.barred.contains(&state.grant.user) {
        let refusal = (Some(state.grant.id), ErrorCode::InvalidGrant, invalid());
        return Err(refuse_grant(app, context, client, refusal));
    }
    let grace = context.settings.reuse_grace;
    let times = (context.now, grace);
    let scopes = match decide(&state, client, request, params, holder.key(), times) {
        Ok(Decision::Rotate(scopes) | Decision::Repeat(scopes)) => scopes,
        Ok(Decision::Reuse) => {
            refused_for(context, client, Some(&state.grant.id), Rule::RefreshReused);
            return Err(reused(app, context, &state.grant).await);
        }
        Err(error) => {
            // A client that shows another's token has nothing to do with that one's log-in.
            let own = (state.grant.client == client.client().id).then_some(&state.grant.id);
            refused_for(context, client, own, error);
            // Another client learns nothing about the grant.
            let refusal = (Some(state.grant.id), error.code(), error.to_string());
            return Err(refuse_grant(app, context, client, refusal));
        }
    };
    issue(app, context, (&state.grant, scopes), (request, holder)).await
}

/// Signs, records, rotates, in this order: if the record cannot be written, the old token is still good. A request that
/// repeats an earlier one finds the rotation done and gives the same successor.
async fn issue(
    app: &App,
    context: &Context,
    (grant, scopes): (&Grant, ScopeSet),
    (request, holder): (&RefreshRequest, &Holder),
) -> Result<Response, ApiError> {
    let (settings, parts, now) = (&context.settings, &app.parts, context.now);
    let token = TokenId::generate(parts.random.as_ref());
    let claims = token_set::access_claims(grant, scopes, token, now, settings.access_ttl);
    let event = context.event(Action::TokenRefresh, Outcome::Ok);
    let signed = signed::sign(app, context, holder, claims, event).await?;
    let old = parts.digest(Kind::Refresh, request.token.expose().as_bytes());
    let (secret, digest) = parts.successor(&request.token);
    let expires = now.plus(settings.refresh_ttl).min(grant.expires);
    let successor = RefreshToken {
        digest,
        grant: grant.id.clone(),
        // The store gives it the key of the token that it replaces.
        key: None,
        issued: now,
        expires,
    };
    match parts
        .store
        .rotate_refresh(&old, &successor, now)
        .await
        .map_err(internal("rotate the refresh token"))?
    {
        Rotation::Rotated => {}
        Rotation::AlreadyRotated(at) if now.since(at) <= settings.reuse_grace => {}
        Rotation::AlreadyRotated(_) => return Err(reused(app, context, grant).await),
        Rotation::Gone => return Err(refused()),
    }
    signed.used(app, now).await?;
    context.saw(|keys| (keys.client(&grant.client).grant(&grant.id), Step::Renewed));
    Ok(json(
        StatusCode::OK,
        token_set::body(&signed.claims, &signed.access, Some(&secret)),
    ))
}

async fn reused(app: &App, context: &Context, grant: &Grant) -> ApiError {
    match end_grant(app, context, grant.id.clone(), &grant.client).await {
        Ok(()) => refused(),
        Err(error) => error,
    }
}

fn refused() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidGrant, invalid())
}

fn invalid() -> String {
    "the refresh token is not valid".to_owned()
}
