//! Batches: only in sessions of 2025-03-26, where they are on. Their responses come together, the rest as it is said.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SelectAll, StreamExt as _};
use sallyport_mcp::jsonrpc::{Kind, ScanError};

use super::super::{batch, legacy, notifications, share, unreadable};
use super::hear::Talk;
use crate::caller::Caller;
use crate::refusal::Refusal;
use crate::relay::{Out, Outgoing};

/// Carries out a batch.
pub(super) async fn hear(talk: &Talk, caller: Arc<Caller>, body: Bytes, is_full: bool) {
    let session = talk.inner.session();
    let Some(session) = session.filter(|session| batch::are_taken(&caller, session)) else {
        return talk.say(unreadable(&ScanError::Batch).message(None)).await;
    };
    let read = match batch::read(&caller, &body) {
        _ if is_full => Err(Refusal::too_many("requests")),
        read => read,
    };
    let messages = match read {
        Ok(messages) => messages,
        Err(refusal) => return talk.say(refusal.message(None)).await,
    };
    let mut requests = Vec::new();
    for (envelope, message) in &messages {
        if envelope.kind == Kind::Request {
            let id = share(message, envelope.id_raw().unwrap_or_default());
            requests.push((talk.inner.running.begin(id), envelope, message));
        }
    }
    for (envelope, message) in &messages {
        match envelope.kind {
            Kind::Request => {}
            Kind::Notification => drop(notifications::legacy(&caller, &session, envelope).await),
            Kind::Response => notifications::response(&session, envelope, message),
        }
    }
    let mut all: SelectAll<Outgoing> = SelectAll::new();
    for (running, envelope, message) in &requests {
        let said = legacy::request(&caller, &session, envelope, message).await;
        all.push(Box::pin(running.until(said.into_outgoing())));
    }
    let mut responses = Vec::new();
    while let Some(out) = all.next().await {
        match out.settled().await {
            Out::Last { message, .. } => responses.push(message),
            other => {
                for message in other.into_messages().await {
                    talk.say(message).await;
                }
            }
        }
    }
    if !responses.is_empty() {
        talk.say(batch::array(&responses)).await;
    }
}
