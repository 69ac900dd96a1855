//! `/par`: pushed authorization requests (RFC 9126).

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use sallyport_core::Timestamp;
use sallyport_oauth::authorize::{AnchorError, AuthorizeRequest};
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::flight::{Point, Refused, Rule};
use sallyport_oauth::model::{Digest, PushedRequest};
use sallyport_oauth::pushed::{self, ANSWER, LIFE, MAX_WAITING, PREFIX};
use sallyport_oauth::{ErrorCode, Params};
use serde_json::json;

use crate::app::{App, Shared};
use crate::context::Context;
use crate::credentials::Kind;
use crate::problem::{self, Problem};
use crate::sender::{self, Sender};
use crate::token::{self, ApiError, Holder, internal, json};

/// `POST /par`. Parameters in the query are not looked at.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, ApiError> {
    if let Err(wait) = app.limits.pushed(context.peer, context.now) {
        app.count("par_throttled");
        context.refused(|keys| keys, Rule::PushedThrottled);
        return Err(ApiError::too_many(wait));
    }
    let params = sender::form(&app, &context, request).await?;
    let answer = push(&app, &context, params).await;
    let answer = sender::counted(&app, &context, answer);
    Ok(token::with_nonce(&app, &context, answer.into_response()))
}

async fn push(app: &App, context: &Context, params: Params) -> Result<Response, ApiError> {
    let holder = Holder::read(app, context, "/par")?;
    let sender = Sender::read(app, context, &params).await?;
    let client = sender.prove(app, context).await?;
    let params = judged(context, client, bound(params, &holder)?)?;
    let (name, digest) = app.parts.new_secret(Kind::Pushed);
    let request = PushedRequest {
        client: client.client().id.clone(),
        params: params.encode(),
        pushed: context.now,
        expires: context.now.plus(LIFE),
        opened: false,
        answered: false,
    };
    let kept = app.parts.store.push_request(&digest, &request, MAX_WAITING).await;
    if !kept.map_err(internal("keep the pushed request"))? {
        context.refused(|keys| keys.named(client.client()), Rule::PushedThrottled);
        tracing::warn!("a pushed request was refused: too many are waiting");
        return Err(ApiError::unavailable("too many requests wait for an answer", 90));
    }
    let body = json!({ "request_uri": format!("{PREFIX}{}", name.expose()), "expires_in": LIFE.as_secs() });
    Ok(json(StatusCode::CREATED, body.to_string()))
}

/// A proof of the sender binds the code as `dpop_jkt` does (RFC 9449 §10.1). It is not used up: what it does is no more than
/// what the request can say in plain words.
fn bound(params: Params, holder: &Holder) -> Result<Params, ApiError> {
    let Some(key) = holder.key() else {
        return Ok(params);
    };
    let named: Vec<&str> = params.all("dpop_jkt").collect();
    if named.iter().any(|named| *named != key.as_str()) {
        let text = "`dpop_jkt` is not the key of the DPoP proof".to_owned();
        return Err(ApiError::invalid_request(text));
    }
    let key = key.as_str().to_owned();
    Ok(params.with("dpop_jkt", Some(key)))
}

/// The request, if it would pass at the authorization endpoint (RFC 9126 §2.1). It is judged there again, because clients
/// and resources change.
fn judged(context: &Context, client: AuthenticatedClient<'_>, params: Params) -> Result<Params, ApiError> {
    let (settings, client) = (&context.settings, client.client());
    let refused = |code, text: String, seen: Refused| {
        context.saw(|keys| (keys.params(&params).named(client), seen.into()));
        tracing::info!(error = ErrorCode::as_str(code), reason = %text, "a pushed request was refused");
        ApiError::new(StatusCode::BAD_REQUEST, code, text)
    };
    if params.all("request_uri").next().is_some() {
        let text = "`request_uri` cannot be pushed".to_owned();
        let seen = Refused::at(Point::Pushed, Rule::RequestObject);
        return Err(refused(ErrorCode::InvalidRequest, text, seen));
    }
    let params = pushed::request(params.clone(), &client.id);
    let anchored = AuthorizeRequest::read(params.clone())
        .and_then(|request| request.anchor(Some(client), &settings.private_schemes))
        .map_err(|error| {
            let asked = params.all("redirect_uri").next().unwrap_or_default();
            let seen = Refused::at(Point::Pushed, error).redirect(asked, &client.redirect_uris);
            refused(ErrorCode::InvalidRequest, error.to_string(), seen)
        })?;
    match anchored.validate(client, &settings.targets()) {
        Ok(_) => Ok(params),
        Err(refusal) => {
            let error = refusal.error;
            let seen = Refused::at(Point::Pushed, error);
            Err(refused(error.code(), error.to_string(), seen))
        }
    }
}

/// A pushed request that a browser has come with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opened {
    pub(crate) digest: Digest,
    /// When it was pushed.
    pub(crate) at: Timestamp,
}

/// The parameters that count for an address, and the pushed request that they come from, if they do.
pub(crate) async fn resolve(
    app: &App,
    context: &Context,
    address: Params,
) -> Result<(Params, Option<Opened>), Problem> {
    let reference = pushed::reference(&address).map_err(AnchorError::from)?;
    let Some(reference) = reference else {
        return Ok((address, None));
    };
    let digest = app.parts.digest(Kind::Pushed, reference.as_bytes());
    let store = &app.parts.store;
    let kept = store.pushed_request(&digest).await;
    let kept = kept.map_err(problem::internal("find the pushed request"))?;
    let kept = kept.ok_or(AnchorError::Pushed)?;
    let params = pushed::opened(&kept, &address, context.now)?;
    if !kept.opened {
        let opened = store.open_pushed(&digest, context.now.plus(ANSWER)).await;
        opened.map_err(problem::internal("open the pushed request"))?;
    }
    let at = kept.pushed;
    Ok((params, Some(Opened { digest, at })))
}

/// Uses a pushed request up: it is answered once.
pub(crate) async fn answer(app: &App, context: &Context, pushed: Option<&Digest>) -> Result<(), Problem> {
    let Some(digest) = pushed else {
        return Ok(());
    };
    let first = app.parts.store.answer_pushed(digest, context.now).await;
    if first.map_err(problem::internal("use the pushed request up"))? {
        Ok(())
    } else {
        Err(Problem::Answered)
    }
}
