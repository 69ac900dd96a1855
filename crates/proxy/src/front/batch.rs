//! Batches: several messages in one body, in sessions of 2025-03-26 only.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, SelectAll, StreamExt as _};
use http::request::Parts;
use sallyport_mcp::error::INVALID_REQUEST;
use sallyport_mcp::jsonrpc::{self, Envelope, Kind, ScanError};
use sallyport_mcp::method::Method;
use sallyport_net::Response;

use super::{legacy, limits, notifications, refuse, session_of, unreadable};
use crate::caller::Caller;
use crate::deliver::{self, Said, joined};
use crate::door;
use crate::refusal::Refusal;
use crate::relay::{Out, Outgoing};
use crate::session::Session;

/// Answers a batch (2025-03-26, Transports, Sending Messages).
pub(super) async fn post(caller: Arc<Caller>, parts: &Parts, body: Bytes) -> Response {
    let session = match session_of(&caller, &parts.headers).await {
        Ok(Some(session)) if are_taken(&caller, &session) => session,
        Ok(_) => return refuse(&unreadable(&ScanError::Batch)),
        Err(refusal) => return refuse(&refusal),
    };
    let envelopes = match read(&caller, &body) {
        Ok(envelopes) => envelopes,
        Err(refusal) => return refuse(&refusal),
    };
    let mut said = Vec::new();
    for (envelope, message) in &envelopes {
        match envelope.kind {
            Kind::Request => {
                let running = legacy::request(&caller, &session, envelope, message).await;
                said.push(legacy::linger(&session, running));
            }
            // A batch has one answer, in which a notification has no place.
            Kind::Notification => drop(notifications::legacy(&caller, &session, envelope).await),
            Kind::Response => notifications::response(&session, envelope, message),
        }
    }
    if said.is_empty() {
        return door::accepted();
    }
    let outgoing: SelectAll<Outgoing> = said.into_iter().map(Said::into_outgoing).collect();
    if caller.accept.events {
        return deliver::stream(&caller, Some(&session), Box::pin(outgoing));
    }
    let session = Arc::clone(&session);
    let responses: Vec<Bytes> = outgoing
        .then(Out::settled)
        .filter_map(|out| {
            let last = match out {
                Out::Last { message, .. } => Some(message),
                Out::Request(message) => {
                    session.ears.outbox.send(message);
                    None
                }
                Out::Notification(_) | Out::Progress(_) | Out::Long(_) => None,
            };
            std::future::ready(last)
        })
        .collect()
        .await;
    if responses.is_empty() {
        // All of it was cancelled (JSON-RPC 2.0 §6: nothing is returned, and no empty array).
        return door::accepted();
    }
    door::message(200, array(&responses))
}

/// Whether the session may send batches.
pub(super) fn are_taken(caller: &Caller, session: &Session) -> bool {
    caller.endpoint.spoken().has_batches(session.view.revision)
}

/// Reads a batch. Nothing of it is carried out before all of it has been understood.
///
/// # Errors
/// One of the messages is none, or has no place in a batch.
pub(super) fn read<'a>(caller: &Caller, body: &'a Bytes) -> Result<Vec<(Envelope<'a>, Bytes)>, Refusal> {
    let bounds = limits(caller);
    let messages = jsonrpc::split_batch(body, &bounds).map_err(|error| unreadable(&error))?;
    let read = messages.into_iter().map(|message| {
        let envelope = jsonrpc::scan(message, &bounds).map_err(|error| unreadable(&error))?;
        if envelope.called() == Method::Initialize {
            let text = "initialize cannot be part of a batch";
            return Err(Refusal::new(400, INVALID_REQUEST, text));
        }
        Ok((envelope, body.slice_ref(message)))
    });
    read.collect()
}

/// Messages as one batch.
pub(super) fn array(messages: &[Bytes]) -> Bytes {
    let mut out = vec![b'['];
    for (place, message) in messages.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(message);
    }
    out.push(b']');
    out.into()
}

impl Said {
    pub(super) fn into_outgoing(self) -> Outgoing {
        match self {
            Self::Running(outgoing) => outgoing,
            Self::Message { status, message, .. } => Box::pin(stream::iter([Out::Last { status, message }])),
            Self::Shared { head, rest } => Self::message(joined(&head, &rest)).into_outgoing(),
        }
    }
}
