//! Streams that stay open: GET of a legacy session, and what every such stream looks at while it is silent.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::request::Parts;
use sallyport_core::fault::Fault;
use sallyport_mcp::{error, sse};
use sallyport_net::{Body, Response};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::deliver;
use crate::door::{self, Pass};
use crate::front;
use crate::limits::{Kind, Slot};
use crate::metrics::Gauge;
use crate::refusal::Refusal;
use crate::stream::Events;

/// Opens the stream of a legacy session. Without a session there is none: 405, by which older clients fall back.
pub(crate) fn get(caller: &Arc<Caller>, parts: &Parts) -> Response {
    let session = match front::session_of(caller, &parts.headers) {
        Ok(Some(session)) => session,
        Ok(None) => return door::method_not_allowed(),
        Err(refusal) => return door::message(refusal.status, refusal.message(None)),
    };
    if !caller.accept.events {
        let refusal = Refusal::new(406, error::INVALID_REQUEST, "This stream is text/event-stream");
        return door::message(refusal.status, refusal.message(None));
    }
    let ended = session.ended().clone();
    match open(caller, parts, session.ears.outbox.open(), ended) {
        Ok(open) => deliver::events(open.body(None, None, ())),
        Err(refusal) => door::message(refusal.status, refusal.message(None)),
    }
}

/// A stream that is about to open.
pub(crate) struct Open {
    caller: Arc<Caller>,
    events: Events,
    pass: Pass,
    ended: CancellationToken,
    _slot: Slot,
}

/// Takes one of the principal's places for a stream.
///
/// # Errors
/// There is none left.
pub(crate) fn open(
    caller: &Arc<Caller>,
    parts: &Parts,
    events: Events,
    ended: CancellationToken,
) -> Result<Open, Refusal> {
    let limit = caller.limits.streams_per_principal;
    let slot = caller.proxy.usage.take(&caller.key, Kind::Streams, limit);
    let slot = slot.ok_or_else(|| Refusal::too_many("streams"))?;
    caller.proxy.books.metrics.gauge(&Gauge::Streams, 1);
    Ok(Open {
        caller: Arc::clone(caller),
        events,
        pass: Pass::of(caller, parts),
        ended,
        _slot: slot,
    })
}

impl Open {
    /// The stream as a body. `first` is said before anything else, `last` when the gateway ends it; `kept` lives as long
    /// as the stream.
    pub(crate) fn body(self, first: Option<Bytes>, last: Option<Bytes>, kept: impl Send + 'static) -> Body {
        let live = Live {
            open: self,
            first,
            last,
            over: false,
            _kept: kept,
        };
        Body::stream(stream::unfold(live, next))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.caller.proxy.books.metrics.gauge(&Gauge::Streams, -1);
    }
}

struct Live<K> {
    open: Open,
    first: Option<Bytes>,
    last: Option<Bytes>,
    over: bool,
    _kept: K,
}

async fn next<K>(mut live: Live<K>) -> Option<(Result<Bytes, Fault>, Live<K>)> {
    if live.over {
        return None;
    }
    if let Some(first) = live.first.take() {
        return Some((Ok(sse::frame(&first)), live));
    }
    let Open {
        caller,
        events,
        pass,
        ended,
        ..
    } = &mut live.open;
    let beat = caller.proxy.pulse.next(caller.worker.index());
    let closing = &caller.proxy.closing;
    let frame = tokio::select! {
        biased;
        message = events.next() => message.map(|message| sse::frame(&message)),
        () = ended.cancelled() => None,
        () = closing.cancelled() => None,
        () = beat => may_stay(caller, pass).then(sse::comment),
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

/// Whether the caller may still be here: by the token, and by the endpoint as it now is.
fn may_stay(caller: &Caller, pass: &Pass) -> bool {
    let world = caller.proxy.world.load();
    let endpoint = world.endpoint(&caller.endpoint.key);
    endpoint.is_some_and(|endpoint| endpoint.rules.users.admits(caller.principal.user.as_str()))
        && pass.is_good(caller.proxy.books.clock.now())
}
