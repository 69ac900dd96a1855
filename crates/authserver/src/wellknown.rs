//! `/.well-known/…`: the documents by which clients find everything else. They depend on the configuration alone, never
//! on a header; what does not exist is a plain 404 at once, because clients try many spellings in turn.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use sallyport_oauth::flight::{Document, Step};
use sallyport_oauth::metadata;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::Shared;
use crate::context::Context;
use crate::settings::{ResourceInfo, Settings};

/// How long a document may be kept. Short: an operator who mends the public URL should not wait.
const SHORT: &str = "public, max-age=60";

/// RFC 9728 §3.1 without a path: the default resource, for clients that look there first or only.
pub(crate) async fn protected_resource(context: Context) -> Response {
    let settings = &context.settings;
    let info = settings.info(&settings.default_resource);
    seen(&context, Document::ProtectedResource, info.is_some());
    info.map_or_else(missing, |info| resource_document(settings, info))
}

/// RFC 9728 §3.1: the path of the resource behind the well-known one.
pub(crate) async fn protected_resource_at(context: Context, Path(path): Path<String>) -> Response {
    let info = at(&context.settings, &path);
    seen(&context, Document::ProtectedResource, info.is_some());
    info.map_or_else(missing, |info| resource_document(&context.settings, info))
}

/// RFC 8414 §3.
pub(crate) async fn authorization_server(context: Context) -> Response {
    seen(&context, Document::AuthorizationServer, true);
    let scopes = Settings::scopes();
    document(&metadata::authorization_server(context.settings.server(&scopes)))
}

/// RFC 8414 §3.1 as clients form it from the URL of the resource instead of the issuer.
pub(crate) async fn authorization_server_at(context: Context, Path(path): Path<String>) -> Response {
    if at(&context.settings, &path).is_none() {
        seen(&context, Document::AuthorizationServer, false);
        return missing();
    }
    authorization_server(context).await
}

/// OpenID Connect Discovery 1.0 §4.
pub(crate) async fn openid(context: Context) -> Response {
    seen(&context, Document::OpenidConfiguration, true);
    let scopes = Settings::scopes();
    document(&metadata::openid_configuration(context.settings.server(&scopes)))
}

/// The same, formed from the URL of the resource.
pub(crate) async fn openid_at(context: Context, Path(path): Path<String>) -> Response {
    if at(&context.settings, &path).is_none() {
        seen(&context, Document::OpenidConfiguration, false);
        return missing();
    }
    openid(context).await
}

/// The keys that verify our tokens (RFC 7517 §5).
pub(crate) async fn jwks(State(app): State<Shared>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
    ];
    (StatusCode::OK, headers, app.parts.signer.jwks()).into_response()
}

/// Whom to tell about a security problem (RFC 9116). Where the operator names nobody, it is the front page.
pub(crate) async fn security_txt(context: Context) -> Response {
    const HALF_A_YEAR: Duration = Duration::from_secs(180 * 24 * 3600);
    let settings = &context.settings;
    let expires = OffsetDateTime::from_unix_timestamp(context.now.plus(HALF_A_YEAR).as_secs());
    let Some(expires) = expires.ok().and_then(|at| at.format(&Rfc3339).ok()) else {
        return missing();
    };
    let issuer = &settings.issuer;
    let contact = settings
        .security_contact
        .clone()
        .unwrap_or_else(|| format!("{issuer}/"));
    let text =
        format!("Contact: {contact}\nExpires: {expires}\nCanonical: {issuer}/.well-known/security.txt\n");
    (
        StatusCode::OK,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        text,
    )
        .into_response()
}

/// Everything else below `/.well-known`.
pub(crate) async fn unknown(context: Context, Path(path): Path<String>) -> Response {
    // Others look for other things here.
    if path.starts_with("oauth-") || path.starts_with("openid-") {
        seen(&context, Document::Unknown, false);
    }
    missing()
}

fn seen(context: &Context, document: Document, found: bool) {
    context.saw(|keys| (keys, Step::Discovery { document, found }));
}

fn resource_document(settings: &Settings, info: &ResourceInfo) -> Response {
    let scopes = Settings::scopes();
    document(&metadata::protected_resource(
        &info.resource,
        &info.label,
        settings.server(&scopes),
    ))
}

fn at<'a>(settings: &'a Settings, path: &str) -> Option<&'a ResourceInfo> {
    let path = path.trim_end_matches('/');
    settings
        .resources
        .iter()
        .find(|info| info.path.strip_prefix('/') == Some(path))
}

fn document(value: &Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, SHORT)];
    (StatusCode::OK, headers, value.to_string()).into_response()
}

fn missing() -> Response {
    (
        StatusCode::NOT_FOUND,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        "not found\n",
    )
        .into_response()
}
