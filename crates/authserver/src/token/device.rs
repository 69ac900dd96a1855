//! A device polls for its tokens (RFC 8628 §3.4, §3.5).

use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::Secret;
use sallyport_oauth::ErrorCode;
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::device::{self, Poll};

use super::answer::{ApiError, internal};
use super::holder::Holder;
use super::{code, end_grant, refuse_grant};
use crate::app::App;
use crate::context::Context;
use crate::credentials::Kind;

pub(super) async fn exchange(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (code, holder): (&Secret<String>, &Holder),
) -> Result<Response, ApiError> {
    let digest = app.parts.digest(Kind::DeviceCode, code.expose().as_bytes());
    let request = app.parts.store.device(&digest).await;
    let request = request.map_err(internal("find the device's request"))?;
    let asker = &client.client().id;
    let verdict = request
        .as_ref()
        .map(|request| device::poll(request, asker, context.now));
    match (verdict, request) {
        (Some(Poll::Allowed(_)), _) => {
            let grant = app.parts.store.take_device(&digest).await;
            match grant.map_err(internal("take the device's grant"))? {
                Some(grant) if grant.revoked.is_none() => {
                    code::issue(app, context, client, (&grant, holder)).await
                }
                _ => Err(invalid(app, context, client)),
            }
        }
        (Some(Poll::Pending), Some(request)) => {
            polled(app, context, (&digest, request.interval)).await?;
            Err(waiting(
                ErrorCode::AuthorizationPending,
                "nobody has answered yet",
            ))
        }
        (Some(Poll::SlowDown(interval)), _) => {
            polled(app, context, (&digest, interval)).await?;
            let text = format!("poll every {} s at most", interval.as_secs());
            Err(waiting(ErrorCode::SlowDown, text))
        }
        (Some(Poll::Denied), _) => Err(waiting(ErrorCode::AccessDenied, "the person said no")),
        (Some(Poll::Expired), _) => Err(waiting(ErrorCode::ExpiredToken, "the code is over; begin anew")),
        (Some(Poll::Reused(grant)), _) => {
            end_grant(app, context, grant, asker).await?;
            Err(invalid(app, context, client))
        }
        _ => Err(invalid(app, context, client)),
    }
}

async fn polled(
    app: &App,
    context: &Context,
    (device, interval): (&[u8; 32], std::time::Duration),
) -> Result<(), ApiError> {
    let kept = app.parts.store.device_polled(device, context.now, interval).await;
    kept.map_err(internal("remember a poll"))
}

/// What a device gets that does nothing wrong is neither logged nor counted.
fn waiting(code: ErrorCode, text: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, text)
}

fn invalid(app: &App, context: &Context, client: AuthenticatedClient<'_>) -> ApiError {
    let refusal = (
        None,
        ErrorCode::InvalidGrant,
        "the device code is not valid".to_owned(),
    );
    refuse_grant(app, context, client, refusal)
}
