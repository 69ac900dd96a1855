//! The clients' side of the path: a body becomes a message, a message finds its era.

mod batch;
pub(crate) mod duplex;
mod legacy;
pub(crate) mod lines;
mod listen;
mod lists;
mod modern;
mod notifications;
pub(crate) mod sse;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use sallyport_mcp::error::{INTERNAL_ERROR, INVALID_REQUEST};
use sallyport_mcp::jsonrpc::{self, Envelope, Key, Kind, Limits, ScanError};
use sallyport_mcp::meta;
use sallyport_mcp::method::Method;
use sallyport_mcp::mirror::{self, HeaderField};
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::spoken::Spoken;
use sallyport_net::{BodyError, Inbound, Response};

use crate::caller::Caller;
use crate::door;
use crate::head::{self, One, PROTOCOL_VERSION, SESSION_ID};
use crate::refusal::Refusal;
use crate::session::{Reopened, Session, wishes};

/// Answers one POST of an admitted caller.
pub(crate) async fn post(caller: Arc<Caller>, inbound: Inbound) -> Response {
    let Inbound { parts, body, .. } = inbound;
    if !caller.is_json {
        return refuse(&Refusal::new(
            415,
            INVALID_REQUEST,
            "Content-Type must be application/json",
        ));
    }
    if caller.accept.nothing() {
        return refuse(&Refusal::new(
            406,
            INVALID_REQUEST,
            "Accept must allow application/json or text/event-stream",
        ));
    }
    let body = match body.collect(caller.limits.request_bytes).await {
        Ok(body) => body,
        Err(error) => return refuse(&bad_body(error)),
    };
    if jsonrpc::is_batch(&body) {
        return Box::pin(batch::post(caller, &parts, body)).await;
    }
    let limits = limits(&caller);
    let envelope = match jsonrpc::scan(&body, &limits) {
        Ok(envelope) => envelope,
        Err(error) => return refuse(&unreadable(&error)),
    };
    let version = caller.field(&parts.headers, PROTOCOL_VERSION);
    let era = era_of(version, &envelope, caller.endpoint.spoken());
    caller.proxy.books.metrics.request(caller.worker.index(), era);
    match era {
        Era::Legacy => legacy::post(caller, &parts, &envelope, &body).await,
        Era::Modern => modern::post(caller, &parts, &envelope, &body).await,
    }
}

/// The era of a message: the version in `_meta` or in the header decides. A version that nobody knows, or that
/// is off, is answered like a modern one, with the list of those that are spoken here (P-12, P-75); `Mcp-Method` and its kin decide nothing.
fn era_of(version: HeaderField<'_>, envelope: &Envelope<'_>, spoken: Spoken) -> Era {
    let unknown = match version {
        HeaderField::Single(value) => !Revision::in_field(value).is_some_and(|it| spoken.has(it)),
        HeaderField::Missing => false,
        HeaderField::Repeated => true,
    };
    if envelope.kind == Kind::Request && envelope.called() == Method::Initialize {
        let params = envelope.params.as_ref();
        let asks = params.is_some_and(|params| params.text(Key::ProtocolVersion).is_some());
        // What asks for no version but names a modern one in `_meta` opens nothing: the method is gone in that era.
        return if asks || !meta::is_modern(envelope) {
            Era::Legacy
        } else {
            Era::Modern
        };
    }
    if unknown && envelope.kind != Kind::Response {
        return Era::Modern;
    }
    mirror::classify(version, envelope)
}

/// Ends a legacy session (2025-06-18, Transports, Session Management). Without a session: 405.
pub(crate) async fn delete(caller: &Arc<Caller>, parts: &Parts) -> Response {
    match session_of(caller, &parts.headers).await {
        Ok(Some(session)) => {
            if caller.proxy.sessions.end_durably(&session).await.is_err() {
                return refuse(&unavailable());
            }
            let mut response = door::accepted();
            *response.status_mut() = http::StatusCode::NO_CONTENT;
            response
        }
        Ok(None) => door::method_not_allowed(),
        Err(refusal) => refuse(&refusal),
    }
}

/// The session that a request names, if it names one.
///
/// # Errors
/// 404 for one that is unknown, ended, of another principal or endpoint, or of a revision that is off: all alike (P-73,
/// P-74). 503 where it cannot be found out whether it has ended.
pub(crate) async fn session_of(
    caller: &Arc<Caller>,
    headers: &HeaderMap,
) -> Result<Option<Arc<Session>>, Refusal> {
    let sessions = &caller.proxy.sessions;
    // What was found before was found at the same endpoint, where the same revisions were on.
    if let Some(session) = caller
        .session()
        .filter(|it| sessions.goes_on(it, caller.arrived, &caller.limits))
    {
        return Ok(Some(session));
    }
    let id = match head::one(headers, SESSION_ID) {
        One::Missing => return Ok(None),
        One::Value(id) => id,
        One::Bad => {
            return Err(Refusal::new(400, INVALID_REQUEST, "Mcp-Session-Id is malformed"));
        }
    };
    let found = match sessions.find(&caller.key, &caller.endpoint.key, id, &caller.limits) {
        Some(session) => Some(session),
        // In a box, as whatever is seldom needed: the future of every call has room for it otherwise.
        None => Box::pin(reopened(caller, id)).await?,
    };
    let session = found
        .filter(|session| is_spoken(caller, session))
        .ok_or_else(gone)?;
    caller.found(&session);
    Ok(Some(session))
}

/// A session that its client comes back to.
async fn reopened(caller: &Arc<Caller>, id: &str) -> Result<Option<Arc<Session>>, Refusal> {
    let sessions = &caller.proxy.sessions;
    let reopened = sessions.reopen(&caller.key, &caller.endpoint.key, id, &caller.limits);
    let Some(Reopened { session, wishes }) = reopened.await.map_err(|_| unavailable())? else {
        return Ok(None);
    };
    if let Some(wishes) = wishes.filter(|_| is_spoken(caller, &session)) {
        wishes::restore(caller, &session, &wishes);
    }
    Ok(Some(session))
}

fn is_spoken(caller: &Caller, session: &Session) -> bool {
    caller.endpoint.spoken().has(session.view.revision)
}

fn gone() -> Refusal {
    Refusal::new(404, INVALID_REQUEST, "Session not found: initialize again")
}

fn unavailable() -> Refusal {
    let text = "What is known of sessions cannot be read or written now: try again";
    Refusal::new(503, INTERNAL_ERROR, text)
}

/// The bounds on what clients send.
fn limits(caller: &Caller) -> Limits {
    Limits {
        depth: caller.limits.depth,
        ..Limits::CLIENT
    }
}

/// An answer without an id.
fn refuse(refusal: &Refusal) -> Response {
    door::message(refusal.status, refusal.message(None))
}

/// An answer to a request.
fn refuse_to(id: &[u8], refusal: &Refusal) -> Response {
    door::message(refusal.status, refusal.message(Some(id)))
}

fn unreadable(error: &ScanError) -> Refusal {
    Refusal::new(ScanError::STATUS, error.code(), error.to_string())
}

fn bad_body(error: BodyError) -> Refusal {
    Refusal::new(error.status().as_u16(), INVALID_REQUEST, error.to_string())
}

/// The part of a message as bytes that share its memory.
fn share(body: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() {
        return Bytes::new();
    }
    body.slice_ref(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

    fn era(version: Option<&'static str>, message: &str) -> Era {
        let field = version.map_or(HeaderField::Missing, |v| HeaderField::Single(v.as_bytes()));
        let envelope = jsonrpc::scan(message.as_bytes(), &Limits::CLIENT).expect("a message");
        era_of(field, &envelope, Spoken::ALL)
    }

    #[test]
    fn r24_the_version_decides_and_nothing_else() {
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let modern = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
        let initialize =
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}"#;
        let removed = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{{META}}}}}"#);
        let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        for (version, message, expected) in [
            (None, list, Era::Legacy),
            (Some("2025-06-18"), list, Era::Legacy),
            (Some("2024-11-05"), list, Era::Legacy),
            (Some("2026-07-28"), list, Era::Modern),
            (Some("2099-01-01"), list, Era::Modern),
            (Some("nonsense"), list, Era::Modern),
            (None, modern.as_str(), Era::Modern),
            (Some("2025-11-25"), modern.as_str(), Era::Modern),
            (None, initialize, Era::Legacy),
            (Some("2026-07-28"), initialize, Era::Legacy),
            (Some("nonsense"), initialize, Era::Legacy),
            (Some("2026-07-28"), removed.as_str(), Era::Modern),
            (Some("2025-11-25"), response, Era::Legacy),
            (None, response, Era::Legacy),
        ] {
            assert_eq!(era(version, message), expected, "{version:?} {message}");
        }
    }
}
