//! The form of an answer: one JSON document while nothing has to be said before it, else a stream of events.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use sallyport_core::fault::Fault;
use sallyport_mcp::{error, sse};
use sallyport_net::{Body, Response, SharedBytes};

use crate::caller::Caller;
use crate::door;
use crate::refusal::Refusal;
use crate::relay::{Out, Outgoing};
use crate::replay::{self, Reader, StreamKind};
use crate::session::Session;
use crate::turnout::Waited;

static X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What a request is answered with.
pub(crate) enum Said {
    /// One message, there already.
    Message {
        /// The HTTP status.
        status: u16,
        /// The message.
        message: Bytes,
        /// The scopes that are missing.
        scope: Option<Box<str>>,
    },
    /// A large result that many ask for.
    Shared {
        /// What stands before it in the message.
        head: Bytes,
        /// The result, and the brace that closes the message.
        rest: SharedBytes,
    },
    /// A running call.
    Running(Outgoing),
}

/// From this size on, the bytes of a result are shared and not copied.
const SHARE_FROM: usize = 16 << 10;

impl Said {
    /// A message of a successful exchange.
    pub(crate) fn message(message: Bytes) -> Self {
        Self::Message {
            status: 200,
            message,
            scope: None,
        }
    }

    /// A successful response; `rest` is the raw result and the brace that closes the message.
    pub(crate) fn result_with(id: &[u8], rest: SharedBytes) -> Self {
        let head = error::result_head(id);
        if rest.len() >= SHARE_FROM {
            Self::Shared { head, rest }
        } else {
            Self::message(joined(&head, &rest))
        }
    }

    /// An error response.
    pub(crate) fn refusal(id: &[u8], refusal: &Refusal) -> Self {
        Self::Message {
            status: refusal.status,
            message: refusal.message(Some(id)),
            scope: refusal.scope.clone(),
        }
    }
}

/// The message in one piece.
pub(crate) fn joined(head: &[u8], rest: &[u8]) -> Bytes {
    [head, rest].concat().into()
}

/// Makes an answer of what was said, in a form that the client takes.
pub(crate) async fn say(caller: &Arc<Caller>, session: Option<&Arc<Session>>, said: Said) -> Response {
    match said {
        Said::Running(outgoing) => deliver(caller, session, outgoing).await,
        Said::Shared { head, rest } if caller.accept.json => door::shared(head, rest),
        Said::Shared { head, rest } => event(caller, session, joined(&head, &rest)),
        Said::Message {
            message,
            scope: Some(scope),
            ..
        } => door::short_of_scope(caller, &scope, message),
        Said::Message { status, message, .. } if caller.accept.json || status != 200 => {
            door::message(status, message)
        }
        Said::Message { message, .. } => event(caller, session, message),
    }
}

/// A stream of one message, for a client that takes no other form.
fn event(caller: &Arc<Caller>, session: Option<&Arc<Session>>, message: Bytes) -> Response {
    if session.is_none() {
        return events(Body::full(sse::frame(&message)));
    }
    let last = Out::Last { status: 200, message };
    stream(caller, session, Box::pin(stream::iter([last])))
}

/// Turns what a call says into an answer. `session` is where a legacy client that takes no events may hear questions.
async fn deliver(caller: &Arc<Caller>, session: Option<&Arc<Session>>, mut outgoing: Outgoing) -> Response {
    if !caller.accept.events {
        return whole(caller, session, outgoing).await;
    }
    let first = match until_quiet(caller, session, &mut outgoing).await {
        First::Said(Some(Out::Last { status, message })) if caller.accept.json => {
            return door::message(status, message);
        }
        First::Said(Some(Out::Long(long))) if caller.accept.json => return door::long(long),
        First::Said(Some(out)) => Some(out),
        // Cancelled: there is no response, and the stream ends without one.
        First::Said(None) => return events(Body::empty()),
        First::TurnedOut => return door::turned_out(caller),
        First::TooLong => None,
    };
    live(caller, session, outgoing, first)
}

/// All that is said, as events, from the beginning. The events of a session's calls can be resumed.
pub(crate) fn stream(caller: &Arc<Caller>, session: Option<&Arc<Session>>, outgoing: Outgoing) -> Response {
    live(caller, session, outgoing, None)
}

fn live(
    caller: &Arc<Caller>,
    session: Option<&Arc<Session>>,
    outgoing: Outgoing,
    first: Option<Out>,
) -> Response {
    let caller = Arc::clone(caller);
    let Some(session) = session else {
        let live = Live {
            caller,
            outgoing,
            first,
        };
        return events(Body::stream(stream::unfold(live, next)));
    };
    let log = session.journal.open(&caller, StreamKind::Call);
    let priming = session.primes().then(|| log.priming());
    let Some(reader) = log.read(0) else {
        return events(Body::empty());
    };
    let outgoing = Box::pin(stream::iter(first).chain(outgoing));
    let pump = replay::pump(Arc::clone(&caller), Arc::clone(session), log, outgoing);
    let mut pump = Box::pin(pump);
    // What has come already is written down at once, so that it leaves with the head; often that is all.
    if pump.as_mut().now_or_never().is_none() {
        tokio::spawn(pump);
    }
    let told = Told {
        caller,
        reader,
        first: priming,
    };
    events(Body::stream(stream::unfold(told, read)))
}

enum First {
    Said(Option<Out>),
    TurnedOut,
    TooLong,
}

/// Waits for the first message, but not longer than proxies in between put up with silence; shorter when the client gets
/// an id with the stream, by which it can come back for the response.
async fn until_quiet(caller: &Caller, session: Option<&Arc<Session>>, outgoing: &mut Outgoing) -> First {
    let pulse = match session {
        Some(session) if session.primes() => &caller.proxy.quiet,
        _ => &caller.proxy.pulse,
    };
    let patience = async {
        for _ in 0..2 {
            if caller.next_beat(pulse).await == Waited::TurnedOut {
                return First::TurnedOut;
            }
        }
        First::TooLong
    };
    tokio::select! {
        biased;
        out = outgoing.next() => First::Said(out),
        over = patience => over,
    }
}

/// The response alone, for a client that takes nothing else.
async fn whole(caller: &Caller, session: Option<&Arc<Session>>, mut outgoing: Outgoing) -> Response {
    loop {
        let out = tokio::select! {
            biased;
            out = outgoing.next() => out,
            () = caller.turned_out() => return door::turned_out(caller),
        };
        // Cancelled: nobody waits for this.
        let Some(out) = out else {
            return door::accepted();
        };
        match out {
            Out::Notification(_) | Out::Progress(_) => {}
            Out::Request(message) => {
                if let Some(session) = session {
                    session.ears.outbox.send(message);
                }
            }
            Out::Long(long) => return door::long(long),
            Out::Last { status, message } => return door::message(status, message),
        }
    }
}

struct Live {
    caller: Arc<Caller>,
    outgoing: Outgoing,
    first: Option<Out>,
}

/// The next event. The stream of a call ends after its response; one of several calls after the last.
async fn next(mut live: Live) -> Option<(Result<Bytes, Fault>, Live)> {
    if live.caller.is_turned_out() {
        return None;
    }
    let out = match live.first.take() {
        Some(out) => Some(out),
        None => {
            let caller = &live.caller;
            tokio::select! {
                biased;
                out = live.outgoing.next() => Some(out?),
                waited = caller.next_beat(&caller.proxy.pulse) => match waited {
                    Waited::TurnedOut => return None,
                    Waited::Beat => None,
                },
            }
        }
    };
    let frame = match out {
        None => sse::comment(),
        Some(Out::Notification(message) | Out::Request(message) | Out::Last { message, .. }) => {
            sse::frame(&message)
        }
        Some(several) => frames(&several.into_messages().await),
    };
    Some((Ok(frame), live))
}

/// One event after the other, to be written at once.
fn frames(messages: &[Bytes]) -> Bytes {
    let mut out = Vec::with_capacity(messages.iter().map(|message| message.len() + 32).sum());
    messages
        .iter()
        .for_each(|message| sse::frame_into(&mut out, message));
    out.into()
}

/// What a legacy client hears of its calls. It goes on when this is dropped, and can be taken up again.
struct Told {
    caller: Arc<Caller>,
    reader: Reader,
    first: Option<Bytes>,
}

/// The next event of what is written down.
async fn read(mut told: Told) -> Option<(Result<Bytes, Fault>, Told)> {
    if told.caller.is_turned_out() {
        return None;
    }
    if let Some(first) = told.first.take() {
        let frames = together(first, &mut told.reader);
        return Some((Ok(frames), told));
    }
    let caller = &told.caller;
    let frame = tokio::select! {
        biased;
        frame = told.reader.next() => together(frame?, &mut told.reader),
        waited = caller.next_beat(&caller.proxy.pulse) => match waited {
            Waited::TurnedOut => return None,
            Waited::Beat => sse::comment(),
        },
    };
    Some((Ok(frame), told))
}

/// These events, and those that are there besides: a few small pieces leave as one.
fn together(first: Bytes, reader: &mut Reader) -> Bytes {
    let mut joined = Vec::new();
    while joined.len().max(first.len()) < SHARE_FROM
        && let Some(Some(more)) = reader.next().now_or_never()
    {
        if joined.is_empty() {
            joined.reserve(first.len() + more.len() + 256);
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&more);
    }
    if joined.is_empty() { first } else { joined.into() }
}

/// An answer that is a stream of events: not kept, not held back by proxies.
pub(crate) fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING.clone(), HeaderValue::from_static("no"));
    response
}
