//! Pages of allowed origins as clients (Fetch §3.2). Which origins those are has been decided before.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use sallyport_net::Response;
use sallyport_net::respond;

/// The request headers that pages may send, apart from `Mcp-Param-*`.
const PAGE_HEADERS: [&str; 10] = [
    "authorization",
    "dpop",
    "content-type",
    "accept",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "last-event-id",
    "cache-control",
];

/// Whether a browser asks if a page may send a request (Fetch §3.2.2).
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The page's origin, which the doors have let in.
pub(crate) fn origin(parts: &Parts) -> Option<HeaderValue> {
    parts.headers.get(ORIGIN).cloned()
}

/// The answer to a preflight. It has no credentials: tokens are sent by the page, not by the browser.
pub(crate) fn preflight(parts: &Parts) -> Response {
    let asked = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
    let known = |name: &String| PAGE_HEADERS.contains(&name.as_str()) || name.starts_with("mcp-param-");
    let allowed: Vec<String> = asked.filter(known).collect();
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, GET, DELETE"),
    );
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    expose(response, origin(parts).as_ref())
}

/// Lets the page of an allowed origin read the answer.
pub(crate) fn expose(mut response: Response, origin: Option<&HeaderValue>) -> Response {
    let Some(origin) = origin else { return response };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("mcp-session-id, mcp-protocol-version, www-authenticate, dpop-nonce"),
    );
    headers.append(VARY, HeaderValue::from_name(ORIGIN));
    response
}
