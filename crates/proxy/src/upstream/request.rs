//! Requests that the gateway makes on its own behalf: lists, levels, subscriptions.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::SmolStr;
use sallyport_core::fault::Fault;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Limits, scan};
use sallyport_mcp::method::Method;
use thiserror::Error;

use super::outgoing::{Logs, Outgoing};
use super::reply::terminal;
use crate::exchange::Reply;

/// Why a request has no result.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// The server answered with this raw JSON-RPC error object.
    #[error("the server answered with error {}", code_of(.0).unwrap_or_default())]
    Refused(Bytes),
    /// There is no answer.
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl RequestError {
    /// The JSON-RPC code, if that is what the server answered with.
    pub(crate) fn code(&self) -> Option<i64> {
        match self {
            Self::Refused(error) => code_of(error),
            Self::Fault(_) => None,
        }
    }

    /// As a fault; `operation` is what was asked for.
    pub(crate) fn into_fault(self, operation: &'static str) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            refused @ Self::Refused(_) => Fault::upstream(operation, refused),
        }
    }
}

/// Whoever can be asked on the gateway's behalf.
pub(crate) trait Requests: Sync {
    /// The raw result of a request.
    fn request(
        &self,
        method: Method,
        params: Bytes,
    ) -> impl Future<Output = Result<Bytes, RequestError>> + Send;
}

/// A request of ours: nothing about it is the client's.
pub(crate) fn own(method: &str, params: Bytes) -> Outgoing<'_> {
    Outgoing {
        method,
        target: SmolStr::default(),
        params,
        id: Bytes::from_static(b"\"sallyport\""),
        token: None,
        logs: Logs::None,
        flows: false,
    }
}

/// The raw result of an answer that comes within `patience`.
///
/// # Errors
/// [`RequestError`].
pub(crate) async fn result(
    reply: impl Future<Output = Result<Reply, Fault>>,
    patience: Duration,
) -> Result<Bytes, RequestError> {
    let answered = async { terminal(reply.await?).await };
    let message = tokio::time::timeout(patience, answered)
        .await
        .map_err(|_| Fault::upstream("wait for the answer", "the server took too long"))??;
    result_of(&message)
}

/// The raw result in a complete response.
///
/// # Errors
/// [`RequestError`] for an error response.
pub(crate) fn result_of(message: &Bytes) -> Result<Bytes, RequestError> {
    let envelope =
        scan(message, &Limits::SERVER).map_err(|error| Fault::upstream("read the answer", error))?;
    if let Some(raw) = envelope.result_raw() {
        return Ok(message.slice_ref(raw));
    }
    let error = envelope.error_raw().unwrap_or_default();
    Err(RequestError::Refused(message.slice_ref(error)))
}

/// The code of a raw error object.
pub(crate) fn code_of(error: &[u8]) -> Option<i64> {
    std::str::from_utf8(json::find(error, "code")?).ok()?.parse().ok()
}
