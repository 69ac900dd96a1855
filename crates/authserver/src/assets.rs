//! The style sheet and the mark. Everything that a page loads is here.

use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::response::{IntoResponse as _, Response};

const STYLE: &str = include_str!("../assets/style.css");
const MARK: &str = include_str!("../assets/mark.svg");

/// `GET /assets/style.css`.
pub(crate) async fn style(headers: HeaderMap) -> Response {
    asset(&headers, "text/css; charset=utf-8", STYLE)
}

/// `GET /assets/mark.svg`, also as `/favicon.ico`.
pub(crate) async fn mark(headers: HeaderMap) -> Response {
    asset(&headers, "image/svg+xml", MARK)
}

/// Browsers ask each time whether it is still the same, so that a new version of the program looks new at once.
fn asset(headers: &HeaderMap, media_type: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{:016x}\"", fingerprint(text));
    let same = headers
        .get(IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|known| known == tag);
    let common = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, tag)];
    if same {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (StatusCode::OK, common, [(CONTENT_TYPE, media_type)], text).into_response()
}

/// FNV-1a: tells versions apart, protects nothing.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
