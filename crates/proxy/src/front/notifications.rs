//! What clients send without waiting for an answer.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_mcp::error::INVALID_REQUEST;
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Envelope, Key};
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_net::Response;

use super::{refuse, share};
use crate::caller::Caller;
use crate::door;
use crate::exchange::Answered;
use crate::refusal::Refusal;
use crate::session::Session;

/// A notification within a session.
///
/// # Errors
/// It is a server's to send.
pub(super) async fn legacy(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
) -> Result<(), Refusal> {
    if is_a_servers(envelope, Era::Legacy) {
        return Err(misplaced());
    }
    match envelope.called() {
        Method::Cancelled => {
            let id = envelope
                .params
                .as_ref()
                .and_then(|params| params.get(Key::RequestId));
            if let Some(id) = id {
                session.running.cancel(id);
            }
        }
        Method::RootsChanged => roots_changed(caller, session).await,
        // `initialized` opens nothing that is not open, and of the rest nothing has to be known.
        _ => {}
    }
    Ok(())
}

/// A modern notification: there is none over HTTP that means anything (2026-07-28, Transports).
///
/// # Errors
/// It is a server's to send.
pub(super) fn modern(envelope: &Envelope<'_>) -> Result<(), Refusal> {
    if is_a_servers(envelope, Era::Modern) {
        return Err(misplaced());
    }
    Ok(())
}

/// The HTTP answer to what is not answered.
pub(super) fn taken(heard: Result<(), Refusal>) -> Response {
    match heard {
        Ok(()) => door::accepted(),
        Err(refusal) => refuse(&refusal),
    }
}

/// Whether only servers send it (JR-09). What is no notification at all, and what nobody knows, is let be (JR-15).
fn is_a_servers(envelope: &Envelope<'_>, era: Era) -> bool {
    let called = envelope.called();
    called.is_notification() && !called.from_client(era) && called.from_server(era)
}

fn misplaced() -> Refusal {
    Refusal::new(400, INVALID_REQUEST, "This notification is a server's to send")
}

/// Tells the servers that the session has used.
async fn roots_changed(caller: &Arc<Caller>, session: &Arc<Session>) {
    for server in session.linked() {
        let Some(upstream) = caller.proxy.upstreams.get(&server) else {
            continue;
        };
        let ears = Arc::clone(&session.ears);
        let told = match upstream.link(&caller.worker, &session.view, ears).await {
            Ok(link) => link.roots_changed(&caller.worker).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            tracing::warn!(%server, request = %caller.request, "roots/list_changed was not delivered: {fault}");
        }
    }
}

/// The answer to a question of the gateway. One that nobody waits for is let be.
pub(super) fn response(session: &Session, envelope: &Envelope<'_>, body: &Bytes) {
    let id = envelope.id_raw().and_then(json::decode);
    let answered = match (envelope.result_raw(), envelope.error_raw()) {
        (Some(result), _) => Some(Answered::Result(share(body, result))),
        (None, Some(error)) => Some(Answered::Error(share(body, error))),
        (None, None) => None,
    };
    if let (Some(id), Some(answered)) = (id, answered) {
        session.ears.questions.answer(&id, answered);
    }
}
