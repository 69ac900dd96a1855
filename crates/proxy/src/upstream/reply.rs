//! Answers of which only the end matters.

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_core::fault::Fault;

use crate::exchange::{Message, Reply};

/// The complete JSON-RPC response; what comes before it is dropped, and questions with it.
///
/// # Errors
/// A fault when there is no response.
pub(crate) async fn terminal(reply: Reply) -> Result<Bytes, Fault> {
    let mut messages = match reply {
        Reply::Whole(bytes) => return Ok(bytes),
        Reply::Long(long) => return long.whole().await,
        Reply::Stream(messages) => messages,
    };
    while let Some(message) = messages.next().await {
        if let Message::Terminal(bytes) = message? {
            return Ok(bytes);
        }
    }
    Err(Fault::upstream(
        "read the answer",
        "the stream ended before the answer",
    ))
}
