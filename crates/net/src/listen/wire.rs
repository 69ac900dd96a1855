//! A connection's bytes: what was read and not yet taken, what waits to be written, and for how long either may wait
//! (HT-07).

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, ReadBuf};
use tokio::time::Instant;

use super::ListenOptions;
use super::outbox::Outbox;
use super::socket::Socket;
use crate::timer::Timer;

/// How much is read at once.
const READ: usize = 16 * 1024;

/// How much is read at once of a body that is known to be large.
const READ_LARGE: usize = 128 * 1024;

thread_local! {
    /// What whoever reads on this thread reads into: a connection keeps no more than has come, and an idle one nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// One connection.
pub(super) struct Wire<T> {
    pub(super) stream: T,
    pub(super) options: Arc<ListenOptions>,
    /// What was read and not yet taken.
    pub(super) buffer: BytesMut,
    pub(super) out: Outbox,
    timer: Timer,
    /// The last read found nothing, and the task is woken when something comes.
    waits: bool,
    /// Since when the client has taken nothing of what waits to be written.
    stalled: Option<Instant>,
}

impl<T> Wire<T> {
    pub(super) fn new(stream: T, options: Arc<ListenOptions>) -> Self {
        Self {
            stream,
            options,
            buffer: BytesMut::new(),
            out: Outbox::default(),
            timer: Timer::default(),
            waits: false,
            stalled: None,
        }
    }

    /// Drops the first bytes of what was read.
    pub(super) fn skip(&mut self, length: usize) {
        if length >= self.buffer.len() {
            self.buffer = BytesMut::new();
        } else {
            self.buffer.advance(length);
        }
    }

    /// Takes the first bytes off what was read. The last ones take the buffer with them.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        if length >= self.buffer.len() {
            return std::mem::take(&mut self.buffer).freeze();
        }
        self.buffer.split_to(length).freeze()
    }

    /// Whether the time since `since` is over, counted from now on if it was not; the task is woken when it is.
    pub(super) fn poll_limit(
        &mut self,
        cx: &mut Context<'_>,
        since: &mut Option<Instant>,
        limit: Duration,
    ) -> Poll<()> {
        let since = *since.get_or_insert_with(Instant::now);
        self.timer.poll(cx, since + limit)
    }

    /// Whether this point in time is over; the task is woken when it is.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.timer.poll(cx, deadline)
    }
}

/// Whether a read has found nothing, and its task is woken for the next. One that was put off, because the task has done
/// much at once, may have seen nothing of the socket.
fn waits<R>(read: &Poll<R>) -> bool {
    read.is_pending() && tokio::task::coop::has_budget_remaining()
}

impl<T: Socket> Wire<T> {
    /// Reads what is there, at least one byte; 0 is the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_quiet() {
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut into = ReadBuf::new(scratch);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut into);
            self.waits = waits(&read);
            ready!(read)?;
            let came = into.filled_mut();
            self.buffer.extend_from_slice(came);
            // Requests carry credentials: none is left where another connection reads.
            came.fill(0);
            Poll::Ready(Ok(came.len()))
        })
    }

    /// The same where so many bytes are still to come.
    pub(super) fn poll_fill_large(
        &mut self,
        cx: &mut Context<'_>,
        missing: usize,
    ) -> Poll<io::Result<usize>> {
        if missing <= READ {
            return self.poll_fill(cx);
        }
        if self.is_quiet() {
            return Poll::Pending;
        }
        self.buffer.reserve(missing.min(READ_LARGE));
        let read = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx);
        self.waits = waits(&read);
        read
    }

    /// Whether nothing has come since a read found nothing. All reads are the connection's own task's, which is woken.
    fn is_quiet(&self) -> bool {
        self.waits && !self.stream.has_news()
    }

    /// Whether the client has left, looked for while nothing is expected of it. A request that comes meanwhile waits in
    /// the buffer; what is behind it is not read.
    pub(super) fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        self.buffer.is_empty() && matches!(self.poll_fill(cx), Poll::Ready(Ok(0) | Err(_)))
    }

    /// Reads and throws away until the client ends its direction.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.buffer = BytesMut::new();
            if let Ok(0) | Err(_) = ready!(self.poll_fill(cx)) {
                return Poll::Ready(());
            }
        }
    }

    /// Writes all that waits. A client that takes nothing of it for [`ListenOptions::write_timeout`] is given up.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out.waiting() > 0 {
            match self.out.poll_write(&mut self.stream, cx) {
                Poll::Ready(result) => {
                    result?;
                    self.stalled = None;
                }
                Poll::Pending => {
                    let mut since = self.stalled;
                    let expired = self.poll_limit(cx, &mut since, self.options.write_timeout);
                    self.stalled = since;
                    let late =
                        || io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer");
                    return expired.map(|()| Err(late()));
                }
            }
        }
        // A socket has nothing to flush; what tests put in its place may.
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
