//! Batches: several messages in one body, in sessions of 2025-03-26 only.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, SelectAll, StreamExt as _};
use http::request::Parts;
use sallyport_mcp::error::INVALID_REQUEST;
use sallyport_mcp::jsonrpc::{self, Kind, ScanError};
use sallyport_mcp::method::Method;
use sallyport_net::Response;

use super::{legacy, limits, notifications, refuse, session_of, unreadable};
use crate::caller::Caller;
use crate::deliver::{self, Said};
use crate::door;
use crate::refusal::Refusal;
use crate::relay::{Out, Outgoing};

/// Answers a batch (2025-03-26, Transports, Sending Messages).
pub(super) async fn post(caller: Arc<Caller>, parts: &Parts, body: Bytes) -> Response {
    let session = match session_of(&caller, &parts.headers) {
        Ok(Some(session)) if session.view.revision.has_batches() => session,
        Ok(_) => return refuse(&unreadable(&ScanError::Batch)),
        Err(refusal) => return refuse(&refusal),
    };
    let bounds = limits(&caller);
    let messages = match jsonrpc::split_batch(&body, &bounds) {
        Ok(messages) => messages,
        Err(error) => return refuse(&unreadable(&error)),
    };
    // Nothing is carried out before all of it has been understood.
    let mut envelopes = Vec::with_capacity(messages.len());
    for message in messages {
        match jsonrpc::scan(message, &bounds) {
            Ok(envelope) if envelope.called() == Method::Initialize => {
                let text = "initialize cannot be part of a batch";
                return refuse(&Refusal::new(400, INVALID_REQUEST, text));
            }
            Ok(envelope) => envelopes.push((envelope, body.slice_ref(message))),
            Err(error) => return refuse(&unreadable(&error)),
        }
    }
    let mut said = Vec::new();
    for (envelope, message) in &envelopes {
        match envelope.kind {
            Kind::Request => said.push(legacy::request(&caller, &session, envelope, message).await),
            Kind::Notification => drop(notifications::legacy(&caller, &session, envelope).await),
            Kind::Response => drop(notifications::response(&session, envelope, message)),
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
        .filter_map(|out| {
            let last = match out {
                Out::Last { message, .. } => Some(message),
                Out::Request(message) => {
                    session.ears.outbox.send(message);
                    None
                }
                Out::Notification(_) => None,
            };
            std::future::ready(last)
        })
        .collect()
        .await;
    door::message(200, array(&responses))
}

fn array(messages: &[Bytes]) -> Bytes {
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
    fn into_outgoing(self) -> Outgoing {
        match self {
            Self::Running(outgoing) => outgoing,
            Self::Message { status, message } => Box::pin(stream::iter([Out::Last { status, message }])),
        }
    }
}
