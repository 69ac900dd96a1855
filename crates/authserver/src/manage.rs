//! `/register/{client_id}`: a client looks at, changes and ends its own registration (RFC 7592). What opens it is the
//! token that came with the registration, and nothing else.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse as _, Response};
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{ClientId, Secret};
use sallyport_oauth::management::{self, ManagementError};
use sallyport_oauth::model::{Client, Digest};
use sallyport_oauth::registration::{self, MAX_BYTES, Registration};
use sallyport_oauth::{ErrorCode, display};

use crate::app::{App, Shared};
use crate::body;
use crate::context::Context;
use crate::credentials::Kind;
use crate::register::{policy, registration_uri, too_long};
use crate::token::{ApiError, internal, json};

/// A registration that the request's token opens.
struct Opened {
    client: Client,
    token: Secret<String>,
    digest: Digest,
}

/// `GET /register/{client_id}`.
pub(crate) async fn get(
    State(app): State<Shared>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let opened = open(&app, &context, &id).await?;
    Ok(told(&context, &opened.client, None, &opened.token))
}

/// `PUT /register/{client_id}`: the body is the whole new registration.
pub(crate) async fn put(
    State(app): State<Shared>,
    context: Context,
    Path(id): Path<String>,
    request: Body,
) -> Result<Response, Response> {
    let opened = open(&app, &context, &id).await?;
    update(&app, &context, opened, request)
        .await
        .map_err(axum::response::IntoResponse::into_response)
}

/// `DELETE /register/{client_id}`: the client ends, and every token that it was given.
pub(crate) async fn delete(
    State(app): State<Shared>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let opened = open(&app, &context, &id).await?;
    end(&app, &context, &opened.client)
        .await
        .map_err(axum::response::IntoResponse::into_response)
}

async fn update(app: &App, context: &Context, opened: Opened, request: Body) -> Result<Response, ApiError> {
    let bytes = body::bytes(request, MAX_BYTES).await.ok_or_else(too_long)?;
    let hash = |secret: &[u8]| app.parts.digest(Kind::ClientSecret, secret);
    let scopes = crate::settings::Settings::scopes();
    let accepted: Registration =
        management::read_update(&bytes, &opened.client, policy(context, &scopes), hash).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                error.code(),
                Cow::Owned(error.to_string()),
            )
        })?;
    // A client that has a secret keeps it; one that begins to need one is told it once.
    let is_new = accepted.needs_secret() && opened.client.secret.is_none();
    let secret = is_new.then(|| app.parts.new_secret(Kind::ClientSecret));
    let client = accepted.replacing(&opened.client, secret.as_ref().map(|(_, digest)| *digest));
    let (token, next) = app.parts.registration_token(context);
    record(app, context, Action::ClientUpdate, &client).await?;
    let replaced = app
        .parts
        .store
        .replace_client(&client, &opened.digest, &next)
        .await
        .map_err(internal("change the client"))?;
    if !replaced {
        // Another change was first, and has given the client another token.
        return Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            ErrorCode::InvalidToken,
            ManagementError::Refused.to_string(),
        ));
    }
    let secret = secret.map(|(secret, _)| secret);
    Ok(told(context, &client, secret.as_ref(), &token))
}

async fn end(app: &App, context: &Context, client: &Client) -> Result<Response, ApiError> {
    record(app, context, Action::ClientDelete, client).await?;
    let ended = app
        .parts
        .store
        .delete_client(&client.id, context.now)
        .await
        .map_err(internal("end the client"))?;
    for grant in ended.iter().flatten() {
        app.parts.revoke.revoke_grant(grant);
    }
    let mut response = json(StatusCode::NO_CONTENT, String::new());
    response.headers_mut().remove(axum::http::header::CONTENT_TYPE);
    Ok(response)
}

/// The registration, if the request's token opens it.
async fn open(app: &App, context: &Context, id: &str) -> Result<Opened, Response> {
    if let Err(wait) = app.limits.token(context.peer, context.now) {
        app.count("token_throttled");
        return Err(ApiError::too_many(wait).into_response());
    }
    let authorization = context
        .authorization()
        .map_err(|()| refused(app, context, ManagementError::Missing))?;
    let shown = management::shown(authorization).map_err(|error| refused(app, context, error))?;
    let digest = app.parts.digest(Kind::Registration, shown.as_bytes());
    let id = ClientId::new(id);
    let failed = |operation| move |error| internal(operation)(error).into_response();
    let store = &app.parts.store;
    let kept = store.registration_token(&id).await;
    let kept = kept.map_err(failed("find the registration's token"))?;
    let kept = kept.as_ref().map(|token| (&token.digest, token.expires));
    management::opens(&digest, kept, context.now).map_err(|error| refused(app, context, error))?;
    let client = store.client(&id).await.map_err(failed("find the client"))?;
    let client = client.ok_or_else(|| refused(app, context, ManagementError::Refused))?;
    Ok(Opened {
        client,
        token: Secret::from(shown),
        digest,
    })
}

/// RFC 6750 §3: 401 with a challenge; 403 for a token that is good elsewhere.
fn refused(app: &App, context: &Context, error: ManagementError) -> Response {
    app.limits.token_failed(context.peer, context.now);
    app.count("registration_token");
    tracing::info!(reason = %error, "a registration was not opened");
    let event = context.event(Action::Denied, Outcome::Denied);
    if let Err(unavailable) = app.note(event.because("registration token refused")) {
        return ApiError::from(unavailable).into_response();
    }
    let (status, code, challenge) = match error {
        ManagementError::Missing => (
            StatusCode::UNAUTHORIZED,
            ErrorCode::InvalidToken,
            "Bearer realm=\"registration\"",
        ),
        ManagementError::Foreign => (
            StatusCode::FORBIDDEN,
            ErrorCode::InsufficientScope,
            "Bearer realm=\"registration\", error=\"insufficient_scope\"",
        ),
        ManagementError::Refused => (
            StatusCode::UNAUTHORIZED,
            ErrorCode::InvalidToken,
            "Bearer realm=\"registration\", error=\"invalid_token\"",
        ),
    };
    let mut response = ApiError::new(status, code, error.to_string()).into_response();
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The registration as it is now (RFC 7592 §3). Its secret is not told again: only the hash is known.
fn told(
    context: &Context,
    client: &Client,
    secret: Option<&Secret<String>>,
    token: &Secret<String>,
) -> Response {
    let uri = registration_uri(context, &client.id);
    let answer = registration::answer(client, secret, Some((&uri, token)));
    json(StatusCode::OK, serde_json::Value::Object(answer).to_string())
}

async fn record(app: &App, context: &Context, action: Action, client: &Client) -> Result<(), ApiError> {
    let event = Event {
        client: Some(client.id.clone()),
        ..context.event(action, Outcome::Ok)
    };
    let name = display::client_name(client).unwrap_or_default();
    Ok(app
        .record(event.on(&name).because("by its registration token"))
        .await?)
}
