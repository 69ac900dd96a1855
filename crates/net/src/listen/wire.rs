//! The socket under hyper: its bytes pass the guard, and everything that may take too long has a deadline (HT-07).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ListenOptions;
use super::connection::Leftover;
use super::guard::{Guard, Phase};
use crate::timer::Timer;

pub(super) struct Wire<T> {
    stream: T,
    options: Arc<ListenOptions>,
    state: Arc<Leftover>,
    guard: Guard,
    /// Nothing more is read from this client.
    closed: bool,
    timer: Timer,
    waiting: Waiting,
    /// Since when the client has taken nothing of what waits to be written.
    stalled: Option<Instant>,
}

/// What is waited for from the client, and since when.
struct Waiting {
    phase: Phase,
    /// The phase's begin; `None` until it is waited for.
    since: Option<Instant>,
    /// When bytes came last within a body.
    silent_since: Option<Instant>,
    /// How many bytes of the body have come.
    bytes: u64,
    /// Not even one request has begun.
    fresh: bool,
}

impl Waiting {
    fn since(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now)
    }
}

impl<T> Wire<T> {
    pub(super) fn new(stream: T, options: Arc<ListenOptions>, state: Arc<Leftover>) -> Self {
        let guard = Guard::new(options.max_header_bytes);
        let waiting = Waiting {
            phase: Phase::Between,
            since: Some(Instant::now()),
            silent_since: None,
            bytes: 0,
            fresh: true,
        };
        Self {
            stream,
            options,
            state,
            guard,
            closed: false,
            timer: Timer::default(),
            waiting,
            stalled: None,
        }
    }

    /// Nothing has come: until when that may be so.
    fn read_deadline(&mut self) -> Instant {
        let options = &self.options;
        let waiting = &mut self.waiting;
        match waiting.phase {
            // hyper does not ask again when the answer is written: a look must be due even now.
            Phase::Between if self.state.busy.load(Ordering::Relaxed) > 0 => {
                Instant::now() + options.idle_timeout
            }
            Phase::Between if waiting.fresh => waiting.since() + options.header_timeout,
            Phase::Between => waiting.since() + options.idle_timeout,
            Phase::Head => waiting.since() + options.header_timeout,
            Phase::Body => {
                let earned = Duration::from_secs(waiting.bytes / u64::from(options.body_rate.max(1)));
                let silent = *waiting.silent_since.get_or_insert_with(Instant::now);
                silent.min(waiting.since() + earned) + options.body_timeout
            }
        }
    }

    /// Notes that bytes have come.
    fn came(&mut self, bytes: usize) {
        let (waiting, phase) = (&mut self.waiting, self.guard.phase());
        waiting.fresh = false;
        waiting.silent_since = None;
        waiting.bytes = waiting.bytes.saturating_add(u64::try_from(bytes).unwrap_or(0));
        if waiting.phase != phase || phase == Phase::Between {
            *waiting = Waiting {
                phase,
                since: None,
                silent_since: None,
                bytes: 0,
                fresh: false,
            };
        }
    }

    /// Passes the result of a write on, and lets nobody wait too long for a client that takes nothing.
    fn written<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_ready() {
            self.stalled = None;
            if self.waiting.phase == Phase::Between {
                // Idle is counted from the last byte of the answer on.
                self.waiting.since = Some(Instant::now());
            }
            return result;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        let expired = self.timer.poll(cx, since + self.options.write_timeout);
        expired.map(|()| Err(late("the client takes nothing of its answer")))
    }
}

impl<T> Drop for Wire<T> {
    fn drop(&mut self) {
        if let Some(upgraded) = self.state.upgraded.get() {
            upgraded.cancel();
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closed {
            return Poll::Ready(Ok(()));
        }
        if this.state.upgraded.get().is_some() {
            // No request any more, and who speaks over it has its own times.
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let before = buf.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            let came = buf.filled().get(before..).unwrap_or_default();
            let bytes = came.len();
            if let Err(offence) = this.guard.inspect(came) {
                this.closed = true;
                refuse(buf, before + offence.at);
            }
            this.came(bytes);
            return Poll::Ready(result);
        }
        let deadline = this.read_deadline();
        match (this.timer.poll(cx, deadline), this.waiting.phase) {
            (Poll::Pending, _) => Poll::Pending,
            // The end of the stream: hyper closes an idle connection without a word.
            (Poll::Ready(()), Phase::Between) => {
                this.closed = true;
                Poll::Ready(Ok(()))
            }
            (Poll::Ready(()), _) => {
                this.closed = true;
                Poll::Ready(Err(late("the client sends its request too slowly")))
            }
        }
    }
}

/// Cuts off what must not be read, and ends the rest with a NUL: hyper answers 400 where that stands in a head, and
/// takes a body that ends there as broken.
fn refuse(buf: &mut ReadBuf<'_>, at: usize) {
    buf.set_filled(at);
    if buf.remaining() > 0 {
        buf.put_slice(b"\0");
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
