//! `/token`: the token endpoint (OAuth 2.1 §3.2).

mod answer;
mod code;
mod device;
mod exchange;
mod holder;
mod id_jag;
mod own_name;
mod refresh;
mod signed;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{ClientId, GrantId};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::flight::{Point, Refused, Rule};
use sallyport_oauth::token_request::TokenRequest;
use sallyport_oauth::{ErrorCode, Params};

pub(crate) use answer::{ApiError, internal, json};
pub(crate) use holder::{Holder, with_nonce};

use crate::app::{App, Shared};
use crate::context::Context;
use crate::sender::{self, Sender};

/// `POST /token`. Parameters in the query are not looked at.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    let params = sender::form(&app, &context, request).await?;
    let answer = answer(&app, &context, &params).await;
    let answer = sender::counted(&app, &context, answer);
    Ok(with_nonce(&app, &context, answer.into_response()))
}

async fn answer(app: &App, context: &Context, params: &Params) -> Result<Response, ApiError> {
    let request = TokenRequest::read(params)
        .inspect_err(|error| {
            let rule = *error;
            let client = params.all("client_id").next().map(ClientId::new);
            context.saw(|keys| {
                let keys = match &client {
                    Some(client) => keys.client(client),
                    None => keys,
                };
                (keys, Refused::at(Point::Token, rule).into())
            });
        })
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error.code(), error.to_string()))?;
    let sender = Sender::read(app, context, params).await?;
    // Before the client's own statement is used up: a client that has to take another nonce sends the same one again.
    let holder = Holder::read(app, context, "/token")?;
    let client = sender.prove(app, context).await?;
    holder.check(client)?;
    match request {
        TokenRequest::Code(request) => {
            code::exchange(app, context, client, (&request, params, &holder)).await
        }
        TokenRequest::Refresh(request) => {
            refresh::exchange(app, context, client, (&request, params, &holder)).await
        }
        TokenRequest::Device(code) => device::exchange(app, context, client, (&code, &holder)).await,
        TokenRequest::IdJag(assertion) => {
            id_jag::exchange(app, context, client, (&assertion, params, &holder)).await
        }
        TokenRequest::Exchange(request) => {
            exchange::exchange(app, context, client, (&request, params, &holder)).await
        }
        TokenRequest::OwnName(scope) => {
            own_name::exchange(app, context, client, (scope.as_deref(), params, &holder)).await
        }
    }
}

/// Takes down that a client got no tokens.
fn refused(
    context: &Context,
    client: AuthenticatedClient<'_>,
    grant: Option<&GrantId>,
    rule: impl Into<Rule>,
) {
    context.saw(|keys| {
        let keys = keys.named(client.client());
        let keys = match grant {
            Some(grant) => keys.grant(grant),
            None => keys,
        };
        (keys, Refused::at(Point::Token, rule).into())
    });
}

/// A grant that cannot be used: recorded and counted, and told in one way.
fn refuse_grant(
    app: &App,
    context: &Context,
    client: AuthenticatedClient<'_>,
    (grant, code, reason): (Option<GrantId>, ErrorCode, String),
) -> ApiError {
    tracing::info!(error = code.as_str(), %reason, "token request refused");
    app.count(code.as_str());
    let event = Event {
        client: Some(client.client().id.clone()),
        grant,
        ..context.event(Action::Denied, Outcome::Denied)
    };
    match app.note(event.because(reason.clone())) {
        Ok(()) => ApiError::new(StatusCode::BAD_REQUEST, code, reason),
        Err(unavailable) => unavailable.into(),
    }
}

/// A code or refresh token was used again by whoever: the whole grant ends, its access tokens too. It ends even if it
/// cannot be recorded, because that is the safe side.
async fn end_grant(app: &App, context: &Context, grant: GrantId, client: &ClientId) -> Result<(), ApiError> {
    app.parts
        .store
        .revoke_grant(&grant, context.now)
        .await
        .map_err(internal("revoke the grant"))?;
    app.parts.revoke.revoke_grant(&grant);
    app.count("reuse_detected");
    tracing::warn!(%grant, "a code or refresh token was used again: the grant was revoked");
    let event = Event {
        client: Some(client.clone()),
        grant: Some(grant),
        ..context.event(Action::ReuseDetected, Outcome::Denied)
    };
    Ok(app.record(event).await?)
}
