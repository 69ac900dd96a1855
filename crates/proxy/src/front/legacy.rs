//! The legacy era: sessions, `initialize`, and everything that is said within a session.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderValue;
use http::request::Parts;
use sallyport_core::audit::{Action, Entry, Outcome};
use sallyport_mcp::catalogue::ListKind;
use sallyport_mcp::error::{self, INVALID_REQUEST, UNSUPPORTED_VERSION, unsupported_version_data};
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Envelope, Key, Kind};
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::method::Method;
use sallyport_mcp::render;
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::spoken::Spoken;
use sallyport_net::Response;

use super::{lists, notifications, refuse, refuse_to, session_of, share};
use crate::approve;
use crate::asked;
use crate::call::{Call, prepare, waiting};
use crate::caller::{Caller, Client};
use crate::deliver::{self, Said};
use crate::door;
use crate::follow;
use crate::head::SESSION_ID;
use crate::linger::Lingering;
use crate::refusal::Refusal;
use crate::relay::{self, Out};
use crate::session::{Opening, Session};
use crate::{tasks, world};

/// Answers one message.
pub(super) async fn post(
    caller: Arc<Caller>,
    parts: &Parts,
    envelope: &Envelope<'_>,
    body: &Bytes,
) -> Response {
    let id = envelope.id_raw().unwrap_or_default();
    if envelope.kind == Kind::Request && envelope.called() == Method::Initialize {
        return match Box::pin(open(&caller, envelope, true)).await {
            Ok((session, message)) => Box::pin(opened(&caller, &session, message)).await,
            Err(refusal) => refuse_to(id, &refusal),
        };
    }
    let session = match session_of(&caller, &parts.headers).await {
        Ok(Some(session)) => session,
        Ok(None) => {
            let refusal = no_session();
            return if envelope.kind == Kind::Request {
                refuse_to(id, &refusal)
            } else {
                refuse(&refusal)
            };
        }
        Err(refusal) if envelope.kind == Kind::Request => return refuse_to(id, &refusal),
        Err(refusal) => return refuse(&refusal),
    };
    match envelope.kind {
        Kind::Request => {
            let said = request(&caller, &session, envelope, body).await;
            deliver::say(&caller, Some(&session), linger(&session, said)).await
        }
        Kind::Notification => {
            let taken = Box::pin(notifications::legacy(&caller, &session, envelope));
            notifications::taken(taken.await)
        }
        Kind::Response => {
            notifications::response(&session, envelope, body);
            door::accepted()
        }
    }
}

/// What a message without a session gets that needs one (P-73). It could be a modern client that forgot to say so.
pub(super) fn no_session() -> Refusal {
    Refusal::new(
        400,
        INVALID_REQUEST,
        "Mcp-Session-Id is missing: send initialize first, or name a protocol version without sessions in _meta",
    )
}

/// Opens a session, which a client can come back to that is told its id (`is_named`). The answer, which comes with it, is the
/// gateway's own: servers are met when they are needed.
///
/// # Errors
/// Parameters that say nothing, no revision with sessions, a trail that cannot be written, or too many sessions.
pub(super) async fn open(
    caller: &Arc<Caller>,
    envelope: &Envelope<'_>,
    is_named: bool,
) -> Result<(Arc<Session>, Bytes), Refusal> {
    let id = envelope.id_raw().unwrap_or_default();
    let params = envelope.params.as_ref();
    let params = params.ok_or_else(|| Refusal::params("initialize needs params"))?;
    let asked = params.text(Key::ProtocolVersion);
    let asked = asked.ok_or_else(|| Refusal::params("protocolVersion must be a string"))?;
    let spoken = caller.endpoint.spoken();
    let revision = spoken.negotiate_legacy(&asked.value);
    let revision = revision.ok_or_else(|| unspoken(&asked.value, spoken))?;
    let object = |key| {
        params
            .get(key)
            .filter(|raw| json::is_object(raw))
            .map(<[u8]>::to_vec)
    };
    let endpoint = world::settle(&caller.proxy, &caller.endpoint).await;
    let recorded = caller.proxy.books.audit.enter(&Entry {
        target: Some(revision.as_str()),
        ..caller.entry(Action::SessionOpen, Outcome::Ok)
    });
    recorded.map_err(|_| Refusal::unrecorded())?;
    let opening = Opening {
        owner: &caller.key,
        endpoint: &endpoint.key,
        revision,
        info: object(Key::ClientInfo),
        capabilities: object(Key::Capabilities).unwrap_or_else(|| b"{}".to_vec()),
        is_named,
    };
    let session = caller.proxy.sessions.open(opening, &caller.limits);
    let session = session.map_err(|_| Refusal::too_many("sessions"))?;
    let message = error::result(id, &endpoint.initialize(revision));
    Ok((session, message))
}

/// No revision with `initialize` is on (2026-07-28, Versioning: the versions that are spoken should be named).
fn unspoken(asked: &str, spoken: Spoken) -> Refusal {
    let text = "no protocol version with initialize is supported";
    Refusal::new(400, UNSUPPORTED_VERSION, text).with(unsupported_version_data(asked, spoken))
}

/// The answer to `initialize`, which alone names the session.
async fn opened(caller: &Arc<Caller>, session: &Session, message: Bytes) -> Response {
    let mut response = deliver::say(caller, None, Said::message(message)).await;
    if let Ok(value) = HeaderValue::from_str(&session.id) {
        response.headers_mut().insert(SESSION_ID, value);
    }
    response
}

/// Carries out one request of a session.
pub(super) async fn request(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
    body: &Bytes,
) -> Said {
    let id = share(body, envelope.id_raw().unwrap_or_default());
    let called = envelope.called();
    let result = match called {
        Method::Ping => Ok(Bytes::from_static(b"{}")),
        Method::SetLevel => set_level(caller, session, envelope),
        Method::ResourcesSubscribe => Box::pin(follow::subscribe(caller, session, envelope)).await,
        Method::ResourcesUnsubscribe => follow::unsubscribe(session, envelope),
        called if called.is_for_one_server() => match call(caller, session, envelope, body, &id).await {
            Ok(said) => return said,
            Err(refusal) => Err(refusal),
        },
        task @ (Method::TasksGet | Method::TasksCancel | Method::TasksList | Method::TasksResult)
            if session.view.revision >= Revision::V2025_11_25 =>
        {
            let settled = caller.settled().await;
            match Box::pin(about_task(&settled, session, task, envelope, &id)).await {
                Ok(said) => return said,
                Err(refusal) => Err(refusal),
            }
        }
        listing => match ListKind::of(listing) {
            Some(kind) => {
                let caller = caller.settled().await;
                match lists::list(&caller, &id, kind, Era::Legacy, envelope.params.as_ref()) {
                    Ok(said) => return said,
                    Err(refusal) => Err(refusal),
                }
            }
            None => Err(Refusal::method(Era::Legacy)),
        },
    };
    match result {
        Ok(result) => Said::message(error::result(&id, &result)),
        Err(refusal) => Said::refusal(&id, &refusal),
    }
}

async fn call(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
    body: &Bytes,
    id: &Bytes,
) -> Result<Said, Refusal> {
    let asked = asked::read(envelope, body, id.clone())?;
    let caller = caller.settled_for(&asked).await;
    let client = Client::Legacy(Arc::clone(session));
    let mut call = prepare(caller, client, asked)?;
    if approve::is_needed(&call)
        && let Some(said) = approve::ask(&mut call, None)
    {
        return Ok(said);
    }
    Ok(running(session, id, call, relay::start))
}

/// Lets a call run among the session's, where the client can cancel it.
fn running<S: Stream<Item = Out> + Send + 'static>(
    session: &Arc<Session>,
    id: &Bytes,
    mut call: Call,
    start: impl FnOnce(Call) -> S,
) -> Said {
    call.running = Some(session.running.begin(id.clone()));
    Said::Running(Box::pin(start(call)))
}

/// What was said, so that it goes on when its HTTP exchange breaks: that is no cancel.
pub(super) fn linger(session: &Arc<Session>, said: Said) -> Said {
    let Said::Running(messages) = said else {
        return said;
    };
    let listener = Arc::clone(session);
    // Who left may still be asked, where it listens. The response has no other way to it.
    let lingering = Lingering::new(messages, move |out| {
        if let Out::Request(message) = out {
            listener.ears.outbox.send(message);
        }
    });
    Said::Running(Box::pin(lingering))
}

/// A request about a task.
async fn about_task(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    called: Method,
    envelope: &Envelope<'_>,
    id: &Bytes,
) -> Result<Said, Refusal> {
    if caller.endpoint.capabilities().tasks.is_none() {
        return Err(Refusal::method(Era::Legacy));
    }
    let params = envelope.params.as_ref();
    match called {
        Method::TasksList => {
            let result = tasks::list(caller, session, params).await?;
            Ok(Said::message(error::result(id, &result)))
        }
        Method::TasksResult => {
            let (subject, messages) = tasks::result(caller, session, params, id)?;
            let client = Client::Legacy(Arc::clone(session));
            let call = waiting(Arc::clone(caller), client, subject.route().clone(), id.clone())?;
            let answering = |call| relay::answering(call, messages, subject.era());
            Ok(running(session, id, call, answering))
        }
        _ => {
            let message = tasks::legacy(caller, session, called, params, id).await?;
            Ok(Said::message(message))
        }
    }
}

/// Sets the level that every call of the session bears from now on. Sessions that are open at servers are told at once,
/// for what is said in them outside of calls.
fn set_level(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    envelope: &Envelope<'_>,
) -> Result<Bytes, Refusal> {
    let level = envelope
        .params
        .as_ref()
        .and_then(|params| params.text(Key::Level));
    let level = level.and_then(|text| LogLevel::parse(&text.value));
    let level = level.ok_or_else(|| Refusal::params("Unknown log level"))?;
    session.set_level(level);
    for server in session.linked() {
        if let Some(upstream) = caller.proxy.upstreams.get(&server) {
            upstream.level_changed(&session.view, level);
        }
    }
    Ok(Bytes::from_static(render::empty_result(Era::Legacy)))
}
