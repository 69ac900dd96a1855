//! Streams that stay open: GET of a legacy session, which also takes up again what broke, and what every such stream looks at while it is silent.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::select_all;
use futures_util::stream;
use http::HeaderMap;
use http::request::Parts;
use sallyport_core::PrincipalKey;
use sallyport_core::fault::Fault;
use sallyport_mcp::{error, sse};
use sallyport_net::{Body, Response};
use tokio_util::sync::CancellationToken;

use crate::Proxy;
use crate::caller::Caller;
use crate::deliver;
use crate::door::{self, Pass};
use crate::front;
use crate::head::{self, LAST_EVENT_ID, One};
use crate::limits::{Kind, Slot};
use crate::metrics::{Gauge, Metrics};
use crate::refusal::Refusal;
use crate::replay::{EventId, Log, Reader, StreamKind};
use crate::session::Session;
use crate::spec::ProxyLimits;
use crate::stream::Events;
use crate::turnout::Waited;

/// Opens the stream of a legacy session. Without a session there is none: 405, by which older clients fall back.
pub(crate) async fn get(caller: &Arc<Caller>, parts: &Parts) -> Response {
    let session = match front::session_of(caller, &parts.headers).await {
        Ok(Some(session)) => session,
        Ok(None) => return door::method_not_allowed(),
        Err(refusal) => return door::message(refusal.status, refusal.message(None)),
    };
    if !caller.accept.events {
        let refusal = Refusal::new(406, error::INVALID_REQUEST, "This stream is text/event-stream");
        return door::message(refusal.status, refusal.message(None));
    }
    match stream(caller, &session, parts) {
        Ok(body) => deliver::events(body),
        Err(refusal) => door::message(refusal.status, refusal.message(None)),
    }
}

fn stream(caller: &Arc<Caller>, session: &Arc<Session>, parts: &Parts) -> Result<Body, Refusal> {
    let resumed = resumed(caller, session, &parts.headers)?;
    // The place comes first: whoever reads so far goes on when there is none.
    let open = open(caller, parts, Some(session.ended().clone()))?;
    let outbox = &session.ears.outbox;
    let (reader, first) = match resumed {
        Some((log, after)) => {
            let reader = match log.kind() {
                StreamKind::Call => log.read(after),
                StreamKind::Session => outbox.open(&log, after),
            };
            (reader, None)
        }
        None => {
            let log = session.journal.open(caller, StreamKind::Session);
            (outbox.open(&log, 0), session.primes().then(|| log.priming()))
        }
    };
    let reader = reader.ok_or_else(not_kept)?;
    Ok(open.body(Source::Log(reader), first, None, ()))
}

/// The stream that is resumed, and the last event that the client has seen of it (P-77). `None` for a new stream: also in
/// place of a GET stream that is not kept any more, on which nothing was waited for.
///
/// # Errors
/// An event of no stream of this session, of whatever reason, so that nobody waits there for a response.
fn resumed(
    caller: &Caller,
    session: &Session,
    headers: &HeaderMap,
) -> Result<Option<(Arc<Log>, u64)>, Refusal> {
    let text = match head::one(headers, LAST_EVENT_ID) {
        One::Missing | One::Value("") => return Ok(None),
        One::Value(text) => text,
        One::Bad => return Err(not_kept()),
    };
    let id = EventId::parse(text).ok_or_else(not_kept)?;
    let now = caller.proxy.books.clock.now();
    match session.journal.find(&id, now, &caller.limits.replay) {
        Some(log) => Ok(Some((log, id.event))),
        None if id.kind == StreamKind::Session => Ok(None),
        None => Err(not_kept()),
    }
}

fn not_kept() -> Refusal {
    Refusal::new(
        400,
        error::INVALID_REQUEST,
        "Last-Event-ID names no event that is kept for this session",
    )
}

/// What a stream bears.
pub(crate) enum Source {
    /// What is queued for a modern client.
    Feed(Events),
    /// What is written down for a legacy client.
    Log(Reader),
}

impl Source {
    /// The next event, framed.
    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Feed(events) => events.next().await.map(|message| sse::frame(&message)),
            Self::Log(reader) => reader.next().await,
        }
    }
}

/// A stream that is about to open.
pub(crate) struct Open {
    caller: Arc<Caller>,
    pass: Pass,
    /// What it ends with: with whatever of it is over first.
    ended: Vec<CancellationToken>,
    _seat: Seat,
}

/// One of a principal's places for a stream, counted while it is held.
pub(crate) struct Seat {
    metrics: Arc<Metrics>,
    _slot: Slot,
}

impl Seat {
    /// Takes one.
    ///
    /// # Errors
    /// There is none left.
    pub(crate) fn take(proxy: &Proxy, key: &PrincipalKey, limits: &ProxyLimits) -> Result<Self, Refusal> {
        let slot = proxy.usage.take(key, Kind::Streams, limits.streams_per_principal);
        let slot = slot.ok_or_else(|| Refusal::too_many("streams"))?;
        let metrics = Arc::clone(&proxy.books.metrics);
        metrics.gauge(&Gauge::Streams, 1);
        Ok(Self { metrics, _slot: slot })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.gauge(&Gauge::Streams, -1);
    }
}

/// Takes one of the principal's places for a stream, which ends with `ended`.
///
/// # Errors
/// There is none left.
pub(crate) fn open(
    caller: &Arc<Caller>,
    parts: &Parts,
    ended: Option<CancellationToken>,
) -> Result<Open, Refusal> {
    let seat = Seat::take(&caller.proxy, &caller.key, &caller.limits)?;
    Ok(Open {
        caller: Arc::clone(caller),
        pass: Pass::of(caller, parts),
        ended: ended.into_iter().collect(),
        _seat: seat,
    })
}

impl Open {
    /// It ends with any of these, too.
    pub(crate) fn until(mut self, ends: Vec<CancellationToken>) -> Self {
        self.ended.extend(ends);
        self
    }

    /// The stream as a body. The event `first` is said before anything else, the message `last` when the gateway ends
    /// it; `kept` lives as long as the stream.
    pub(crate) fn body(
        self,
        source: Source,
        first: Option<Bytes>,
        last: Option<Bytes>,
        kept: impl Send + 'static,
    ) -> Body {
        let live = Live {
            open: self,
            source,
            first,
            last,
            over: false,
            _kept: kept,
        };
        Body::stream(stream::unfold(live, next))
    }
}

struct Live<K> {
    open: Open,
    source: Source,
    first: Option<Bytes>,
    last: Option<Bytes>,
    over: bool,
    _kept: K,
}

async fn next<K>(mut live: Live<K>) -> Option<(Result<Bytes, Fault>, Live<K>)> {
    if live.over || live.open.caller.is_turned_out() {
        return None;
    }
    if let Some(first) = live.first.take() {
        return Some((Ok(first), live));
    }
    let Open {
        caller, pass, ended, ..
    } = &mut live.open;
    let source = &mut live.source;
    let closing = &caller.proxy.closing;
    let ended = any(ended);
    let frame = tokio::select! {
        biased;
        frame = source.next() => frame,
        () = ended => None,
        () = closing.cancelled() => None,
        waited = caller.next_beat(&caller.proxy.pulse) => match waited {
            Waited::TurnedOut => None,
            Waited::Beat => may_stay(caller, pass).then(sse::comment),
        },
    };
    match frame {
        Some(frame) => Some((Ok(frame), live)),
        None => {
            live.over = true;
            let last = live.last.take()?;
            Some((Ok(sse::frame(&last)), live))
        }
    }
}

/// Becomes ready with the first of these that is cancelled.
pub(crate) async fn any(tokens: &[CancellationToken]) {
    match tokens {
        [] => pending().await,
        [one] => one.cancelled().await,
        several => {
            let several = several.iter().map(|token| Box::pin(token.cancelled()));
            select_all(several).await;
        }
    }
}

/// Whether the caller may still be here: by the token, and by the endpoint as it now is.
fn may_stay(caller: &Caller, pass: &Pass) -> bool {
    let world = caller.proxy.world.load();
    let endpoint = world.endpoint(&caller.endpoint.key);
    endpoint.is_some_and(|endpoint| endpoint.rules.users.admits(caller.principal.user.as_str()))
        && pass.is_good(caller.proxy.books.clock.now())
}
