//! The legacy handshake of a conversation.

use std::sync::Arc;

use sallyport_core::fault::Fault;
use sallyport_mcp::capabilities::InitializeResult;
use sallyport_mcp::error;
use sallyport_mcp::method::Method;

use super::talk::Conversation;
use crate::upstream::http::spoken;
use crate::upstream::presented::Presented;
use crate::upstream::request::{own, result};

/// `initialize`, then `notifications/initialized`. A server that does not go along is left.
///
/// # Errors
/// A fault that is safe to repeat: no call was sent.
pub(crate) async fn introduce(
    conversation: &Arc<Conversation>,
    presented: &Presented,
) -> Result<InitializeResult, Fault> {
    let hello = shake_hands(conversation, presented).await;
    if hello.is_err() {
        conversation.stop();
    }
    hello
}

async fn shake_hands(
    conversation: &Arc<Conversation>,
    presented: &Presented,
) -> Result<InitializeResult, Fault> {
    const OPERATION: &str = "open a session";
    let patience = conversation.ground.spec.limits.handshake;
    let outgoing = own(Method::Initialize.as_str(), presented.initialize_params());
    // No cancellation is sent for it (2025-11-25, Cancellation): on failure the conversation ends.
    let answered = result(async { conversation.call(&outgoing)?.reply(()).await }, patience).await;
    let raw = answered.map_err(|error| Fault::unreached(OPERATION, error.into_fault(OPERATION)))?;
    let hello = InitializeResult::parse(&raw).map_err(|error| Fault::unreached(OPERATION, error))?;
    spoken(&hello.protocol_version)?;
    conversation.send(&error::notification(Method::Initialized.as_str(), None))?;
    conversation.ground.counters.links_opened.add();
    Ok(hello)
}
