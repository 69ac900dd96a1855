//! One connection from a client: hyper's HTTP/1.1 server, driven by hand.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sallyport_core::RequestId;
use sallyport_core::fault::Fault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::wire::Wire;
use super::{ListenOptions, Protocol, Service};
use crate::{Body, Inbound, RequestBody, Response, Worker};

/// Requests are numbered through the process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The number of the next request or connection.
pub(crate) fn number() -> RequestId {
    RequestId(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What one worker's connections have in common.
pub(super) struct Shared<S> {
    pub(super) service: Arc<S>,
    pub(super) worker: Arc<Worker>,
    pub(super) options: Arc<ListenOptions>,
    /// No new request from now on.
    pub(super) draining: CancellationToken,
}

/// A body that nobody read, on its way from the one who dropped it to the one who drains it. One connection has one
/// request at a time.
#[derive(Default)]
pub(crate) struct Leftover {
    body: Mutex<Option<Incoming>>,
    /// How many answers are being made or written: the connection is idle at none.
    pub(super) busy: AtomicUsize,
    /// Set when the connection goes on as something else than HTTP; cancelled when that has ended.
    pub(super) upgraded: OnceLock<CancellationToken>,
}

impl Leftover {
    pub(crate) fn put(&self, body: Incoming) {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    fn take(&self) -> Option<Incoming> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S: Service> Protocol for Shared<S> {
    fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + Send {
        serve(self, stream, peer)
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S, T>(shared: Arc<Shared<S>>, stream: T, peer: SocketAddr)
where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let options = &shared.options;
    let leftover = Arc::new(Leftover::default());
    let wire = Wire::new(stream, Arc::clone(options), Arc::clone(&leftover));
    let mut builder = http1::Builder::new();
    // The wire has the timers: hyper's own would count the idle time between requests as part of the next head.
    builder
        .header_read_timeout(None)
        .max_buf_size(options.buffer_bytes);
    builder.max_header_size(options.max_header_bytes);
    if options.max_headers != 100 {
        // 100 is hyper's own bound, and as such free of charge.
        builder.max_headers(options.max_headers);
    }
    let service = service_fn(|request| {
        let (shared, leftover) = (Arc::clone(&shared), Arc::clone(&leftover));
        // In a box, which lives as long as the request: hyper has room for one, and keeps it while the connection is idle.
        Box::pin(async move { Ok::<_, Infallible>(answer(&shared, leftover, request, peer).await) })
    });
    let mut connection = pin!(
        builder
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades()
    );
    let mut draining = pin!(shared.draining.cancelled());
    // Polled once, so that this task is woken; from then on a look at the flag is enough, and cheaper.
    let mut watched = false;
    let mut told = false;
    let ended = poll_fn(|cx| {
        let drain = if watched {
            shared.draining.is_cancelled()
        } else {
            watched = true;
            draining.as_mut().poll(cx).is_ready()
        };
        if drain && !told {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    report(ended.await, peer);
    // The connection counts, and is waited for at a shutdown, whatever is spoken over it.
    if let Some(upgraded) = leftover.upgraded.get() {
        upgraded.cancelled().await;
    }
}

fn report(ended: hyper::Result<()>, peer: SocketAddr) {
    if let Err(error) = ended {
        // Clients come and go, and some are broken: nothing for an operator to act on.
        tracing::debug!(%peer, %error, "a client's connection ended early");
    }
}

async fn answer<S: Service>(
    shared: &Shared<S>,
    leftover: Arc<Leftover>,
    request: http::Request<Incoming>,
    peer: SocketAddr,
) -> http::Response<Tracked> {
    leftover.busy.fetch_add(1, Ordering::Relaxed);
    let tracked = Busy(Arc::clone(&leftover));
    let (parts, incoming) = request.into_parts();
    let body = RequestBody::new(incoming, &parts.headers, Arc::clone(&leftover));
    let id = number();
    let response = shared
        .service
        .call(
            &shared.worker,
            Inbound {
                parts,
                body,
                peer,
                id,
            },
        )
        .await;
    if let Some(unread) = leftover.take() {
        drain(unread, &shared.options).await;
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Before the client can know: what it sends from now on is no request.
        leftover.upgraded.get_or_init(CancellationToken::new);
    }
    track(response, tracked)
}

/// Reads a body that nobody wants, within bounds, so that the client reads its answer before it meets a closed
/// connection. What is left after that makes hyper close the connection (HT-04).
async fn drain(mut body: Incoming, options: &ListenOptions) {
    let reading = async {
        let mut left = options.drain_bytes;
        while let Some(Ok(frame)) = body.frame().await {
            left = match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = timeout(options.drain_timeout, reading).await;
}

/// Until it is dropped, the connection is not idle.
struct Busy(Arc<Leftover>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, with the note that the connection is not idle while there is one.
struct Tracked {
    body: Body,
    _busy: Busy,
}

fn track(response: Response, busy: Busy) -> http::Response<Tracked> {
    response.map(|body| Tracked { body, _busy: busy })
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
