//! `/introspect`: what a token is good for (RFC 7662). A client that has proved who it is hears of the tokens that were
//! issued to it, and of those for resources that the operator has named to it. Everything else is inactive, in one and the
//! same answer.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::capability::Verified;
use sallyport_core::{ClientId, Resource};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::dpop::SCHEME;
use sallyport_oauth::model::AuthMethod;
use sallyport_oauth::{Params, exchange, registration};
use serde_json::{Value, json};

use crate::app::{App, Shared};
use crate::context::Context;
use crate::credentials::Kind;
use crate::sender::{self, Sender};
use crate::token::{self, ApiError, internal};

/// `POST /introspect`.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    let params = sender::form(&app, &context, request).await?;
    let answer = introspect(&app, &context, &params).await;
    sender::counted(&app, &context, answer)
}

async fn introspect(app: &App, context: &Context, params: &Params) -> Result<Response, ApiError> {
    let unknown =
        || ApiError::invalid_client("only clients that prove who they are may ask".to_owned(), true);
    if Sender::is_nobody(context, params) {
        return Err(unknown());
    }
    let sender = Sender::read(app, context, params).await?;
    let client = sender.prove(app, context).await?;
    if client.client().auth_method == AuthMethod::None {
        return Err(unknown());
    }
    let repeated = |error: sallyport_oauth::params::Repeated| ApiError::invalid_request(error.to_string());
    params.one("token_type_hint").map_err(repeated)?;
    let token = params.one("token").map_err(repeated)?;
    let token = token.ok_or_else(|| ApiError::invalid_request("`token` is missing".to_owned()))?;
    let found = match access(app, context, client, token) {
        Some(found) => Some(found),
        None => refresh(app, context, client, token).await?,
    };
    let answer = found.unwrap_or_else(|| json!({ "active": false }));
    Ok(token::json(StatusCode::OK, answer.to_string()))
}

fn access(app: &App, context: &Context, client: AuthenticatedClient<'_>, token: &str) -> Option<Value> {
    let settings = &context.settings;
    let verified = app
        .parts
        .verify
        .verify_any(token, &settings.audiences(), context.now);
    let Verified { principal, key } = verified.ok()?;
    if !may_see(context, client, (&principal.client, &principal.audience)) {
        return None;
    }
    let mut told = json!({
            "active": true,
            "token_type": if key.is_some() { SCHEME } else { "Bearer" },
            "iss": settings.issuer,
            "sub": principal.user,
            "client_id": principal.client,
            "aud": principal.audience.as_str(),
            "scope": principal.scopes.to_string(),
            "exp": principal.expires.as_secs(),
            "jti": principal.token,
    });
    let actor = exchange::actor_of(token, &settings.issuer).flatten();
    if let (Some(actor), Some(members)) = (actor, told.as_object_mut()) {
        members.insert("act".into(), json!(actor));
    }
    if let (Some(key), Some(members)) = (key, told.as_object_mut()) {
        members.insert("cnf".into(), json!({ "jkt": key }));
    }
    Some(told)
}

/// A refresh token is its own client's business only.
async fn refresh(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    token: &str,
) -> Result<Option<Value>, ApiError> {
    let digest = app.parts.digest(Kind::Refresh, token.as_bytes());
    let state = app.parts.store.refresh_state(&digest).await;
    let state = state.map_err(internal("find the refresh token"))?;
    let alive = state.filter(|state| {
        let (token, grant) = (&state.token, &state.grant);
        grant.client == client.client().id
            && grant.revoked.is_none()
            && state.rotated.is_none()
            && context.now < token.expires.min(grant.expires)
    });
    Ok(alive.map(|state| {
        json!({
            "active": true,
            "iss": context.settings.issuer,
            "sub": state.grant.user,
            "client_id": state.grant.client,
            "aud": state.grant.resource.as_str(),
            "scope": state.grant.scopes.to_string(),
            "exp": state.token.expires.min(state.grant.expires).as_secs(),
        })
    }))
}

fn may_see(
    context: &Context,
    client: AuthenticatedClient<'_>,
    (owner, audience): (&ClientId, &Resource),
) -> bool {
    let client = client.client();
    let path = context.settings.info(audience).map(|info| info.path.as_str());
    client.id == *owner || path.is_some_and(|path| registration::may_introspect(client, path))
}
