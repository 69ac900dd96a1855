//! The connection's side of a body that did not come as a whole with its head.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};

use super::inlet::{Inlet, Want};
use super::request::{Facts, Length};
use super::socket::Socket;
use super::wire::Wire;
use crate::RequestBody;
use crate::http1::chunked::Chunked;

/// Reads a body as the service wants it.
pub(super) struct Feed {
    inlet: Arc<Inlet>,
    framing: Framing,
    /// The client sends nothing before it was told to go on (RFC 9110 §10.1.1).
    waits: bool,
    /// All of it has been read, or none of it will be any more.
    done: bool,
    broken: bool,
    bytes: u64,
    since: Option<Instant>,
    silent_since: Option<Instant>,
}

enum Framing {
    Known(u64),
    Chunked(Chunked),
}

/// The body of a request for the service; what had not come yet is fed by the connection.
pub(super) fn receive<T>(
    wire: &mut Wire<T>,
    length: Length,
    facts: Facts,
) -> (RequestBody, Option<Box<Feed>>) {
    let framing = match length {
        Length::Known(0) => return (RequestBody::here(Bytes::new(), facts.encoded), None),
        Length::Known(length) => match usize::try_from(length) {
            Ok(length) if wire.buffer.len() >= length => {
                return (RequestBody::here(wire.take(length), facts.encoded), None);
            }
            _ => Framing::Known(length),
        },
        Length::Chunked => Framing::Chunked(Chunked::of_request()),
    };
    let left = match framing {
        Framing::Known(length) => Some(length),
        Framing::Chunked(_) => None,
    };
    let inlet = Arc::new(Inlet::new(left));
    let mut feed = Feed {
        inlet: Arc::clone(&inlet),
        framing,
        waits: facts.expects && wire.buffer.is_empty(),
        done: false,
        broken: false,
        bytes: 0,
        since: None,
        silent_since: None,
    };
    if matches!(length, Length::Chunked) {
        // Short ones are here already.
        match feed.take(wire, false) {
            Ok(piece) if feed.is_complete() => return (RequestBody::here(piece, facts.encoded), None),
            Ok(piece) => inlet.put(piece, false),
            Err(_) => feed.fail(),
        }
    }
    (RequestBody::coming(inlet, facts.encoded), Some(Box::new(feed)))
}

impl Feed {
    /// Whether nothing more of the body is going to be read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the body was read to its end and is behind us.
    pub(super) fn is_complete(&self) -> bool {
        match &self.framing {
            Framing::Known(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_done(),
        }
    }

    fn fail(&mut self) {
        (self.done, self.broken) = (true, true);
        self.inlet.fail();
    }

    /// Takes what is there of the body; with `whole`, only when all of it is.
    fn take<T>(&mut self, wire: &mut Wire<T>, whole: bool) -> Result<Bytes, &'static str> {
        match &mut self.framing {
            Framing::Known(left) => {
                let missing = usize::try_from(*left).unwrap_or(usize::MAX);
                let there = missing.min(wire.buffer.len());
                if whole && there < missing {
                    return Ok(Bytes::new());
                }
                *left -= u64::try_from(there).unwrap_or(*left);
                Ok(wire.take(there))
            }
            Framing::Chunked(chunked) => chunked.take(&mut wire.buffer).map(BytesMut::freeze),
        }
    }

    /// Reads what the service wants. Ready when it has got something, or will get nothing any more.
    pub(super) fn poll<T>(&mut self, wire: &mut Wire<T>, cx: &mut Context<'_>) -> Poll<()>
    where
        T: Socket,
    {
        let want = self.inlet.want(cx);
        if want == Want::Nothing {
            return Poll::Pending;
        }
        if std::mem::take(&mut self.waits) && wire.buffer.is_empty() {
            wire.out.push_static(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if wire.out.waiting() > 0 && ready!(wire.poll_flush(cx)).is_err() {
            self.fail();
            return Poll::Ready(());
        }
        loop {
            match self.take(wire, want == Want::Whole) {
                Ok(piece) => {
                    self.done = self.is_complete();
                    if self.done || !piece.is_empty() {
                        self.inlet.put(piece, self.done);
                        return Poll::Ready(());
                    }
                }
                Err(_) => {
                    self.fail();
                    return Poll::Ready(());
                }
            }
            if ready!(self.poll_fill(wire, cx)).is_none() {
                self.fail();
                return Poll::Ready(());
            }
        }
    }

    /// Reads more; `None` at the end, and when the client is too slow.
    fn poll_fill<T>(&mut self, wire: &mut Wire<T>, cx: &mut Context<'_>) -> Poll<Option<()>>
    where
        T: Socket,
    {
        let filled = match &self.framing {
            Framing::Known(left) => {
                let left = usize::try_from(*left).unwrap_or(usize::MAX);
                wire.poll_fill_large(cx, left.saturating_sub(wire.buffer.len()))
            }
            Framing::Chunked(_) => wire.poll_fill(cx),
        };
        match filled {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(bytes)) => {
                self.silent_since = None;
                self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(0));
                Poll::Ready(Some(()))
            }
            Poll::Pending => {
                let now = *self.silent_since.get_or_insert_with(Instant::now);
                let since = *self.since.get_or_insert(now);
                let options = &wire.options;
                let earned = Duration::from_secs(self.bytes / u64::from(options.body_rate.max(1)));
                let deadline = now.min(since + earned) + options.body_timeout;
                wire.poll_deadline(cx, deadline).map(|()| None)
            }
        }
    }

    /// Reads to the end what nobody wants, within bounds, so that the client reads its answer before it meets a closed
    /// connection. Whether the connection can go on; what is left unread is never taken for the next request (HT-04).
    pub(super) async fn settle<T>(&mut self, wire: &mut Wire<T>) -> bool
    where
        T: Socket,
    {
        if self.is_complete() {
            return true;
        }
        // A client that waits for `100 Continue` has not sent its body: there is nothing to drain.
        if self.broken || self.waits || !self.inlet.is_released() {
            return false;
        }
        let mut left = wire.options.drain_bytes;
        if let Framing::Known(length) = self.framing
            && usize::try_from(length).is_ok_and(|length| length > left)
        {
            return false;
        }
        let patience = wire.options.drain_timeout;
        let draining = std::future::poll_fn(|cx| self.poll_drain(wire, cx, &mut left));
        timeout(patience, draining).await.unwrap_or(false)
    }

    fn poll_drain<T>(&mut self, wire: &mut Wire<T>, cx: &mut Context<'_>, left: &mut usize) -> Poll<bool>
    where
        T: Socket,
    {
        loop {
            let Ok(piece) = self.take(wire, false) else {
                return Poll::Ready(false);
            };
            let Some(rest) = left.checked_sub(piece.len()) else {
                return Poll::Ready(false);
            };
            *left = rest;
            if self.is_complete() {
                return Poll::Ready(true);
            }
            if let Ok(0) | Err(_) = ready!(wire.poll_fill(cx)) {
                return Poll::Ready(false);
            }
        }
    }
}

impl Drop for Feed {
    /// Whoever still waits for the body elsewhere learns that it does not come.
    fn drop(&mut self) {
        if !self.done {
            self.inlet.fail();
        }
    }
}
