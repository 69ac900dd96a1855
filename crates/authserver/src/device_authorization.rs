//! `/device_authorization`: a device without a browser asks for a code to show (RFC 8628 §3.1).

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::random::token;
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::device::{self, Answer, DeviceRequest, INTERVAL, LIFETIME};
use sallyport_oauth::flight::Rule;
use sallyport_oauth::{ErrorCode, Params};
use serde_json::json;

use crate::app::{App, Shared};
use crate::context::Context;
use crate::credentials::Kind;
use crate::sender::{self, Sender};
use crate::token::{ApiError, internal, json};

/// `POST /device_authorization`.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    let params = sender::form(&app, &context, request).await?;
    let answer = answer(&app, &context, &params).await;
    sender::counted(&app, &context, answer)
}

async fn answer(app: &App, context: &Context, params: &Params) -> Result<Response, ApiError> {
    // Each request takes one of the codes that may wait, so that a peer gets as many as it may log in.
    app.limits.anonymous(context.peer, context.now).map_err(|wait| {
        context.refused(|keys| keys, Rule::DeviceThrottled);
        ApiError::too_many(wait)
    })?;
    let sender = Sender::read(app, context, params).await?;
    let client = sender.prove(app, context).await?;
    let (device, code) = keep(app, context, client, params).await?;
    let issuer = &context.settings.issuer;
    let shown = device::shown(&code);
    let body = json!({
        "device_code": device,
        "user_code": shown,
        "verification_uri": format!("{issuer}/device"),
        "verification_uri_complete": format!("{issuer}/device?user_code={shown}"),
        "expires_in": LIFETIME.as_secs(),
        "interval": INTERVAL.as_secs(),
    });
    Ok(json(StatusCode::OK, body.to_string()))
}

/// Keeps the request under codes that nobody has.
async fn keep(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    params: &Params,
) -> Result<(String, String), ApiError> {
    let client = client.client();
    let (resource, scopes) =
        device::asked(params, client, &context.settings.targets()).map_err(|(code, text)| {
            let rule = match code {
                ErrorCode::UnauthorizedClient => Rule::DeviceNotRegistered,
                ErrorCode::InvalidTarget => Rule::ResourceUnknown,
                _ => Rule::ParameterRepeated,
            };
            context.refused(|keys| keys.named(client), rule);
            ApiError::new(StatusCode::BAD_REQUEST, code, text)
        })?;
    let random = app.parts.random.as_ref();
    // A code that somebody has is a matter of one in millions; not finding one means that too many wait.
    for _ in 0..3 {
        let (device, code) = (token::<32>(random), device::new_user_code(random));
        let request = DeviceRequest {
            device: app.parts.digest(Kind::DeviceCode, device.as_bytes()),
            user_code: app.parts.digest(Kind::UserCode, code.as_bytes()),
            client: client.id.clone(),
            resource: resource.clone(),
            scopes: scopes.clone(),
            expires: context.now.plus(LIFETIME),
            polled: None,
            interval: INTERVAL,
            answer: Answer::None,
        };
        let kept = app.parts.store.put_device(&request, context.now).await;
        if kept.map_err(internal("keep the device's request"))? {
            return Ok((device, code));
        }
    }
    app.count("device_codes_used_up");
    context.refused(|keys| keys.named(client), Rule::DeviceThrottled);
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::TemporarilyUnavailable,
        "too many devices wait for somebody; try again in some minutes",
    ))
}
