//! Pages of allowed origins as clients (Fetch §3.2): the endpoints that programs call may be read by them, the pages that people
//! see may not. Which origins those are has been decided at the door.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    ORIGIN, VARY,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Where programs call.
const PROGRAMS: [&str; 6] = [
    "/token",
    "/register",
    "/revoke",
    "/introspect",
    "/par",
    "/device_authorization",
];

/// Answers preflights, and lets pages read the answers that are for programs. No cookie is taken along: nothing here reads one.
pub(crate) async fn pages(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_for_programs =
        path.starts_with("/.well-known/") || path.starts_with("/register/") || PROGRAMS.contains(&path);
    let Some(origin) = request.headers().get(ORIGIN).cloned().filter(|_| is_for_programs) else {
        return next.run(request).await;
    };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        preflight()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("www-authenticate, retry-after, dpop-nonce"),
    );
    headers.append(VARY, HeaderValue::from_name(ORIGIN));
    response
}

fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, accept, dpop, mcp-protocol-version",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
