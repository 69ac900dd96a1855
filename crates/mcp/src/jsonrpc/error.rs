//! Why a message is refused before anything looks at what it wants.

use thiserror::Error;

use crate::error::{INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR};
use crate::json::JsonError;

/// Why a message was refused. Over HTTP each is answered with status 400; the text is fit for the client.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ScanError {
    /// Not a JSON text, or nested too deeply.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// An array of messages; only revision 2025-03-26 has them.
    #[error("batches are not part of this protocol revision")]
    Batch,
    /// A batch without messages, or with more than the limit.
    #[error("a batch holds 1 to {} messages", super::MAX_BATCH)]
    BatchSize,
    /// A number, string or literal.
    #[error("a message is a JSON object")]
    NotAnObject,
    /// A member that is looked at stands twice, or in a spelling that some parsers take for it.
    #[error("the member `{0}` is repeated, or not spelled exactly so")]
    Ambiguous(&'static str),
    /// Some other member stands twice.
    #[error("a member is repeated")]
    Repeated,
    /// `jsonrpc` is not `"2.0"`.
    #[error("`jsonrpc` must be \"2.0\"")]
    Version,
    /// An id that is neither string nor integer, or too long.
    #[error("`id` must be an integer of at most 20 digits or a string of at most 1024 bytes")]
    Id,
    /// A method that is no string.
    #[error("`method` must be a string")]
    Method,
    /// Parameters that are no object.
    #[error("`params` must be an object")]
    Params,
    /// Neither request nor notification nor response, or several of them.
    #[error("a message has a method, or a result, or an error")]
    Kind,
    /// `_meta` is larger than the limit.
    #[error("`_meta` is too large")]
    MetaTooLarge,
}

impl ScanError {
    /// The HTTP status of the answer.
    pub const STATUS: u16 = 400;

    /// The JSON-RPC code.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Json(_) => PARSE_ERROR,
            Self::MetaTooLarge => INVALID_PARAMS,
            _ => INVALID_REQUEST,
        }
    }
}
