//! The small answers that more than one part gives.

mod challenge;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use crate::layers::{DoorError, secure};
use crate::{Body, BodyError, Response};

pub use challenge::{Challenge, ChallengeError, challenge};

/// The media type of JSON answers.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The media type of pages.
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The media type of plain answers.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    with(status, None, Body::empty())
}

/// A JSON document that may be kept or not, as the caller adds.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => with(status, Some(JSON), Body::full(text)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// JSON that is already written: a JSON-RPC message.
pub fn rpc(status: StatusCode, message: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::full(message));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An error of OAuth (RFC 6749 §5.2): never kept by caches.
pub fn oauth_error(status: StatusCode, error: &'static str, description: &str) -> Response {
    let mut response = json(
        status,
        &OAuthError {
            error,
            error_description: (!description.is_empty()).then_some(description),
        },
    );
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

#[derive(Serialize)]
struct OAuthError<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
}

/// A page, with the policy that says what it may load. Never kept by caches: pages know who looks at them.
///
/// A `csp` that is not a header value is replaced by one that allows nothing.
pub fn page(status: StatusCode, html: impl Into<Bytes>, csp: &str) -> Response {
    let mut response = with(status, Some(HTML), Body::full(html));
    let csp = HeaderValue::from_str(csp).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, csp);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A line of text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    with(status, Some(TEXT), Body::full(text))
}

/// 404.
#[must_use]
pub fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// 405 with `Allow` (RFC 9110 §15.5.6).
#[must_use]
pub fn method_not_allowed(allowed: &[Method]) -> Response {
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

/// The answer to a request that the doors turned away.
#[must_use]
pub fn turned_away(error: DoorError) -> Response {
    text(error.status(), format!("{error}\n"))
}

/// The answer to a request whose body could not be had.
#[must_use]
pub fn bad_body(error: BodyError) -> Response {
    text(error.status(), format!("{error}\n"))
}

fn with(status: StatusCode, media: Option<HeaderValue>, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(media) = media {
        headers.insert(CONTENT_TYPE, media);
    }
    secure(headers);
    response
}

#[cfg(test)]
mod tests;
