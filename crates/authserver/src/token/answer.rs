//! Answers of the endpoints that programs call: JSON, never kept (RFC 6749 §5).

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use sallyport_core::audit::AuditUnavailable;
use sallyport_oauth::ErrorCode;
use sallyport_oauth::rate::Wait;
use sallyport_store::StoreError;
use serde_json::json;

/// An error answer (RFC 6749 §5.2).
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: ErrorCode,
    description: Cow<'static, str>,
    retry_after: Option<u64>,
    challenge: bool,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: ErrorCode,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            description: description.into(),
            retry_after: None,
            challenge: false,
        }
    }

    pub(crate) fn invalid_request(description: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, description)
    }

    pub(crate) fn invalid_client(description: String, challenge: bool) -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, ErrorCode::InvalidClient, description);
        Self { challenge, ..error }
    }

    /// The peer has to wait.
    pub(crate) fn too_many(wait: Wait) -> Self {
        let text = "too many requests; wait as long as Retry-After says";
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::TemporarilyUnavailable,
            text,
        );
        Self {
            retry_after: Some(wait.seconds()),
            ..error
        }
    }

    /// Not now, and not because of the caller.
    pub(crate) fn unavailable(description: &'static str, seconds: u64) -> Self {
        let error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::TemporarilyUnavailable,
            description,
        );
        Self {
            retry_after: Some(seconds),
            ..error
        }
    }

    /// For what a caller should try again: a failure of ours becomes 503 with the time to wait.
    pub(crate) fn later(self) -> Self {
        match self.status {
            StatusCode::INTERNAL_SERVER_ERROR => Self::unavailable("not done; try again later", 5),
            _ => self,
        }
    }

    /// Whether the sender's proof was none; being told the nonce is a step of the way.
    pub(crate) fn is_about_a_proof(&self) -> bool {
        self.code == ErrorCode::InvalidDpopProof
    }

    /// Whether somebody may have been guessing.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self.code, ErrorCode::InvalidClient | ErrorCode::InvalidGrant)
    }
}

/// Logs a failure of ours once, where it is handled.
pub(crate) fn internal(operation: &'static str) -> impl Fn(StoreError) -> ApiError {
    move |error| {
        tracing::error!(operation, %error, "the store failed");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::ServerError,
            "the gateway failed; see its log",
        )
    }
}

impl From<AuditUnavailable> for ApiError {
    fn from(error: AuditUnavailable) -> Self {
        tracing::error!(%error, "refused: nothing is done that cannot be recorded");
        Self::unavailable("the audit trail cannot be written", 5)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code.as_str(), "error_description": self.description });
        let mut response = json(self.status, body.to_string());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.challenge {
            let challenge = HeaderValue::from_static("Basic realm=\"token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A JSON answer that holds or may hold a secret (TK-12).
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (PRAGMA, "no-cache"),
    ];
    (status, headers, body).into_response()
}

/// Logs that a token could not be signed.
pub(crate) fn unsigned(error: sallyport_core::capability::SignError) -> ApiError {
    tracing::error!(%error, "a token request failed");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::ServerError,
        "the gateway failed; see its log",
    )
}
