//! Why a request gets an error instead of its answer, and the one form in which it is told.

use std::borrow::Cow;

use bytes::Bytes;
use sallyport_core::fault::{Blame, Fault};
use sallyport_core::{Level, ScopeSet, ServerName};
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::{error, json};

/// A request that gets an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, as long as nothing has been sent.
    pub(crate) status: u16,
    /// The JSON-RPC code.
    pub(crate) code: i32,
    /// In words for the client: nothing that it could not know already.
    pub(crate) text: Cow<'static, str>,
    /// A raw JSON value.
    pub(crate) data: Option<String>,
    /// The scopes with which it would not be refused, where only they are missing.
    pub(crate) scope: Option<Box<str>>,
    /// The raw result that is told in the place of the error, where a model is to read it.
    pub(crate) result: Option<Box<[u8]>>,
}

impl Refusal {
    /// An error in the parameters, told within a successful HTTP exchange.
    pub(crate) fn params(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(200, error::INVALID_PARAMS, text)
    }

    pub(crate) fn new(status: u16, code: i32, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            text: text.into(),
            data: None,
            scope: None,
            result: None,
        }
    }

    /// A method that is not served: 404 in the modern era (2026-07-28, Transports); in the legacy era 404 would mean
    /// that the session is gone.
    pub(crate) fn method(era: Era) -> Self {
        let status = if era == Era::Modern { 404 } else { 200 };
        Self::new(status, error::METHOD_NOT_FOUND, "Method not found")
    }

    /// A server needs what the client did not say that it can (2026-07-28, Capability Negotiation).
    pub(crate) fn incapable(method: Method, params: Option<&[u8]>) -> Self {
        let has = |key| params.is_some_and(|params| json::find(params, key).is_some());
        let url = params.and_then(|params| json::find(params, "mode")) == Some(b"\"url\"");
        let required = match method {
            Method::ElicitationCreate if url => r#"{"elicitation":{"url":{}}}"#,
            Method::ElicitationCreate => r#"{"elicitation":{"form":{}}}"#,
            Method::SamplingCreate if has("tools") || has("toolChoice") => r#"{"sampling":{"tools":{}}}"#,
            Method::SamplingCreate => r#"{"sampling":{}}"#,
            _ => r#"{"roots":{}}"#,
        };
        let text = "The server needs a capability that the client did not declare";
        Self::new(400, error::MISSING_CAPABILITY, text)
            .with(format!("{{\"requiredCapabilities\":{required}}}"))
    }

    /// The token does not allow as much (RFC 6750 §3.1). The client is told the scopes that it has and the one that it
    /// lacks, so that it asks for all of them at once; over HTTP in a challenge, too.
    pub(crate) fn scope(scopes: &ScopeSet, server: &ServerName, level: Level) -> Self {
        let needed = scopes.stepped_up(server.as_str(), level).to_string();
        let text = "The access token does not have the scope that this needs";
        let data = format!("{{\"error\":\"insufficient_scope\",\"scope\":\"{needed}\"}}");
        Self {
            scope: Some(needed.into()),
            ..Self::new(403, error::INVALID_REQUEST, text).with(data)
        }
    }

    /// The audit trail cannot be written (AL-04).
    pub(crate) fn unrecorded() -> Self {
        Self::new(
            503,
            error::INTERNAL_ERROR,
            "Not available: the call cannot be recorded",
        )
    }

    /// More of something than one principal may have.
    pub(crate) fn too_many(what: &'static str) -> Self {
        Self::new(429, error::INTERNAL_ERROR, format!("Too many {what} at once"))
    }

    /// The server behind failed. The client learns that, and whether trying again is of use; the cause is for the log.
    pub(crate) fn fault(fault: &Fault) -> Self {
        let text = match fault.blame {
            Blame::Upstream => "The server behind the gateway did not answer",
            Blame::Client => "The request cannot be served",
            Blame::Gateway => "The gateway failed",
        };
        Self::new(200, error::INTERNAL_ERROR, text)
    }

    /// With `data`, a raw JSON value.
    pub(crate) fn with(mut self, data: String) -> Self {
        self.data = Some(data);
        self
    }

    /// Told as this raw result of a tool.
    pub(crate) fn read_as(mut self, result: impl AsRef<[u8]>) -> Self {
        self.result = Some(result.as_ref().into());
        self
    }

    /// The message.
    pub(crate) fn message(&self, id: Option<&[u8]>) -> Bytes {
        if let (Some(id), Some(result)) = (id, &self.result) {
            return error::result(id, result);
        }
        error::message(id, self.code, &self.text, self.data.as_deref())
    }
}
