//! Headers that every answer carries.

use http::HeaderMap;
use http::header::{
    HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// Puts the headers of a careful answer where they are not set yet.
///
/// The referrer policy is `same-origin`: with `no-referrer`, browsers send `Origin: null` with our own forms, which the
/// doors refuse.
pub fn secure(headers: &mut HeaderMap) {
    headers
        .entry(X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(X_FRAME_OPTIONS)
        .or_insert(HeaderValue::from_static("DENY"));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
}

/// Tells browsers to come back by https only; for gateways whose public URL is https (RFC 6797).
pub fn strict_transport(headers: &mut HeaderMap) {
    headers
        .entry(STRICT_TRANSPORT_SECURITY)
        .or_insert(HeaderValue::from_static("max-age=31536000"));
}
