//! `/revoke`: a client gives a token back (RFC 7009). With a refresh token everything ends that was granted with it; with
//! an access token that one, and what was exchanged for it. The hint is not needed: both are looked for, and nothing is believed of a token that
//! is not ours.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::capability::Verified;
use sallyport_core::{ClientId, GrantId};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::{ErrorCode, Params};

use crate::app::{App, Shared};
use crate::context::Context;
use crate::credentials::Kind;
use crate::sender::{self, Sender};
use crate::token::{ApiError, internal, json};

/// `POST /revoke`.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    let params = sender::form(&app, &context, request).await?;
    // What failed here may go well later, and until then the token is good (RFC 7009 §2.2.1).
    let answer = revoke(&app, &context, &params).await.map_err(ApiError::later);
    sender::counted(&app, &context, answer)
}

async fn revoke(app: &App, context: &Context, params: &Params) -> Result<Response, ApiError> {
    let sender = Sender::read(app, context, params).await?;
    let client = sender.prove(app, context).await?;
    let repeated = |error: sallyport_oauth::params::Repeated| ApiError::invalid_request(error.to_string());
    params.one("token_type_hint").map_err(repeated)?;
    let token = params.one("token").map_err(repeated)?;
    let token = token.ok_or_else(|| ApiError::invalid_request("`token` is missing".to_owned()))?;
    if !revoke_refresh(app, context, client, token).await? {
        revoke_access(app, context, client, token).await?;
    }
    // An unknown token is as good as revoked (RFC 7009 §2.2).
    Ok(json(StatusCode::OK, String::new()))
}

/// Whether it was a refresh token.
async fn revoke_refresh(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    token: &str,
) -> Result<bool, ApiError> {
    let digest = app.parts.digest(Kind::Refresh, token.as_bytes());
    let state = app.parts.store.refresh_state(&digest).await;
    let Some(state) = state.map_err(internal("find the refresh token"))? else {
        return Ok(false);
    };
    let grant = state.grant;
    own(app, context, client, &grant.client)?;
    let store = &app.parts.store;
    let was_alive = store
        .revoke_grant(&grant.id, context.now)
        .await
        .map_err(internal("revoke the grant"))?;
    app.parts.revoke.revoke_grant(&grant.id);
    if was_alive {
        let event = event(context, client, &grant.id);
        app.record(
            Event {
                user: Some(grant.user),
                ..event
            }
            .because("refresh token given back"),
        )
        .await?;
    }
    Ok(true)
}

/// Only a token whose signature is ours and that is alive tells anything (RV-05).
async fn revoke_access(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    token: &str,
) -> Result<(), ApiError> {
    let audiences = context.settings.audiences();
    let verified = app.parts.verify.verify_any(token, &audiences, context.now);
    let Ok(Verified { principal, .. }) = verified else {
        return Ok(());
    };
    own(app, context, client, &principal.client)?;
    let ended = app
        .parts
        .store
        .revoke_token(&principal.token, principal.expires)
        .await;
    for (token, expires) in ended.map_err(internal("revoke the access token"))? {
        app.parts.revoke.revoke_token(&token, expires);
    }
    let event = event(context, client, &principal.grant);
    let event = Event {
        user: Some(principal.user.clone()),
        ..event.on(principal.token.as_str())
    };
    Ok(app.record(event.because("access token given back")).await?)
}

fn event(context: &Context, client: AuthenticatedClient<'_>, grant: &GrantId) -> Event {
    Event {
        client: Some(client.client().id.clone()),
        grant: Some(grant.clone()),
        ..context.event(Action::Revoke, Outcome::Ok)
    }
}

/// RFC 7009 §2.1: another client's token is refused, and stays alive.
fn own(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    owner: &ClientId,
) -> Result<(), ApiError> {
    let asker = &client.client().id;
    if asker == owner {
        return Ok(());
    }
    let event = Event {
        client: Some(asker.clone()),
        ..context.event(Action::Denied, Outcome::Denied)
    };
    app.note(event.because("another client's token was to be revoked"))?;
    let text = "the token was issued to another client";
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        ErrorCode::InvalidGrant,
        text,
    ))
}
