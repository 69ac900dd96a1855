//! One connection from a client: requests one after the other, each answered before the next is read (RFC 9112 §9.3).
//! Everything happens in the connection's own task: no queue, and nobody else to wake.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use http::StatusCode;
use sallyport_core::RequestId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::again::Heads;
use super::draining::Draining;
use super::exchange::{After, exchange, refuse};
use super::moving::{Arrived, Drawn, Moving, Neighbours};
use super::request::{self, Head, HeadEnd, Refusal};
use super::socket::Socket;
use super::upgrade::Upgraded;
use super::wire::Wire;
use super::{ListenOptions, Protocol, Service};
use crate::{Memo, Worker};

/// Requests are numbered through the process: each thread takes so many numbers at once and gives them out by itself.
const NUMBERS: u64 = 1024;
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The next number of this thread, and the first that is not its own any more.
    static OWN: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The number of a request or connection that has none yet.
pub(crate) fn number() -> RequestId {
    OWN.with(|own| {
        let (mut next, mut end) = own.get();
        if next == end {
            next = NEXT.fetch_add(NUMBERS, Ordering::Relaxed);
            end = next + NUMBERS;
        }
        own.set((next + 1, end));
        RequestId(next)
    })
}

/// What one worker's connections have in common.
pub(super) struct Shared<S> {
    pub(super) service: Arc<S>,
    pub(super) worker: Arc<Worker>,
    pub(super) options: Arc<ListenOptions>,
    /// No new request from now on.
    pub(super) draining: Arc<Draining>,
    /// The listener's other workers.
    pub(super) neighbours: Arc<Neighbours>,
}

impl<S: Service> Protocol for Shared<S> {
    fn serve(
        self: Arc<Self>,
        arrived: Arrived<TcpStream>,
    ) -> impl Future<Output = Option<Moving<TcpStream>>> + Send {
        serve(self, arrived)
    }
}

/// Whether the listener stops.
struct Drain<'p, 'a> {
    draining: &'a Draining,
    told: Pin<&'p mut WaitForCancellationFuture<'a>>,
    /// Polled once, so that this task is woken; from then on a look at the flag is enough, and cheaper.
    watched: bool,
}

impl Drain<'_, '_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.watched {
            return self.draining.has_begun();
        }
        self.watched = true;
        self.told.as_mut().poll(cx).is_ready()
    }
}

/// Serves one connection to its end, or until it moves to another worker.
pub(super) fn serve<S, T>(
    shared: Arc<Shared<S>>,
    arrived: Arrived<T>,
) -> impl Future<Output = Option<Moving<T>>> + Send
where
    S: Service,
    T: Socket + Send + 'static,
{
    let Arrived { stream, peer, ahead } = arrived;
    let has_moved = ahead.is_some();
    // Made out here, so that the future has room for it once.
    let mut wire = Wire::new(stream, Arc::clone(&shared.options));
    wire.buffer = ahead.unwrap_or_default();
    async move {
        let told = pin!(shared.draining.begins());
        let mut drain = Drain {
            draining: &shared.draining,
            told,
            watched: false,
        };
        let (mut heads, mut is_first) = (Heads::default(), !has_moved);
        let mut drawn = Drawn::new(has_moved);
        let after = loop {
            let head = match next_head(&mut wire, &mut drain, &mut heads, is_first).await {
                Ok(Some(head)) => head,
                Ok(None) => return None,
                Err(refusal) => break refuse(&mut wire, refusal).await,
            };
            is_first = false;
            match exchange(&shared, &mut wire, head, peer).await {
                After::Next(to) => {
                    if let Some(to) = drawn.answered(to, &shared.neighbours) {
                        let Wire { stream, buffer, .. } = wire;
                        return Some(Moving {
                            to,
                            stream,
                            ahead: buffer,
                        });
                    }
                }
                after => break after,
            }
        };
        finish(&shared, wire, after, peer).await;
        None
    }
}

/// Ends a connection, or leaves it to whoever it goes on with.
async fn finish<S, T>(shared: &Shared<S>, mut wire: Wire<T>, after: After, peer: SocketAddr)
where
    T: Socket + Send + 'static,
{
    match after {
        After::Next(_) | After::Close => {}
        After::Cut(why) => {
            // Clients come and go, and some are broken: nothing for an operator to act on.
            tracing::debug!(%peer, why, "a client's connection ended early");
        }
        After::Linger => {
            if !shared.draining.has_begun() {
                linger(&mut wire).await;
            }
        }
        After::Switch(next) => {
            let ended = CancellationToken::new();
            let ahead = std::mem::take(&mut wire.buffer).freeze();
            let upgraded = Upgraded::new(Box::new(wire.stream), ahead, ended.clone().drop_guard());
            // Where nobody takes it, it ends here.
            let _ = next.send(upgraded);
            // The connection counts, and is waited for at a shutdown, whatever is spoken over it.
            ended.cancelled().await;
        }
    }
}

/// Waits for the head of the next request. `None` when the client leaves or takes too long, and when the listener stops
/// while nothing has come.
async fn next_head<T>(
    wire: &mut Wire<T>,
    drain: &mut Drain<'_, '_>,
    heads: &mut Heads,
    is_first: bool,
) -> Result<Option<(Head, Memo)>, Refusal>
where
    T: Socket,
{
    let mut end = HeadEnd::default();
    let (mut since, mut begun): (Option<Instant>, bool) = (None, false);
    poll_fn(|cx| {
        loop {
            if end.is_at_start()
                && let Some(head) = heads.again(wire)
            {
                return Poll::Ready(Ok(Some(head)));
            }
            match find(wire, &mut end) {
                Ok(None) => {}
                Ok(Some(length)) => return Poll::Ready(heads.read(wire, length).map(Some)),
                Err(refusal) => return Poll::Ready(Err(refusal)),
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    if wire.buffer.is_empty() && drain.poll(cx) {
                        return Poll::Ready(Ok(None));
                    }
                    if !begun && !wire.buffer.is_empty() {
                        (since, begun) = (None, true);
                    }
                    let limit = if begun || is_first {
                        wire.options.header_timeout
                    } else {
                        wire.options.idle_timeout
                    };
                    return wire.poll_limit(cx, &mut since, limit).map(|()| Ok(None));
                }
            }
        }
    })
    .await
}

/// The length of the head at the front, once it is complete and within the limits.
fn find<T>(wire: &mut Wire<T>, end: &mut HeadEnd) -> Result<Option<usize>, Refusal> {
    if end.is_at_start() {
        let blank = request::blank(&wire.buffer);
        if blank > 0 {
            wire.buffer.advance(blank);
            *end = HeadEnd::default();
        }
        if wire.buffer.is_empty() {
            wire.buffer = BytesMut::new();
            return Ok(None);
        }
    }
    end.find(&wire.buffer, wire.options.max_header_bytes)
}

/// Lets a client that still sends read its answer: closed at once, the connection would be reset, and the answer lost.
async fn linger<T>(wire: &mut Wire<T>)
where
    T: Socket,
{
    let patience = wire.options.drain_timeout;
    let ending = async {
        if poll_fn(|cx| Pin::new(&mut wire.stream).poll_shutdown(cx))
            .await
            .is_ok()
        {
            poll_fn(|cx| wire.poll_discard(cx)).await;
        }
    };
    let _ = timeout(patience, ending).await;
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::Tunnel => StatusCode::NOT_IMPLEMENTED,
        }
    }
}
