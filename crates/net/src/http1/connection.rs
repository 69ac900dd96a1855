//! One connection to a server: its socket, what was read and not yet taken, and one timer.

use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};
use tokio::time::Instant;

use super::parse::Familiar;
use super::spare;
use crate::egress::Transport;
use crate::timer::Timer;

/// How much is read at once where something waits already.
pub(super) const READ: usize = 16 * 1024;

/// How much is read at once into an empty buffer, and of a body that is known to be large.
pub(super) const READ_LARGE: usize = 128 * 1024;

/// A request that took more memory than this leaves none of it with an idle connection.
const KEEP: usize = 64 * 1024;

/// It is handed from step to step, and so lives in a box.
pub(super) struct Connection {
    pub(super) transport: Transport,
    /// What was read and not yet taken. Without any memory while that is nothing and the server is silent.
    pub(super) buffer: BytesMut,
    /// The request's bytes, kept for the next one.
    pub(super) out: Vec<u8>,
    /// The head of the last answer.
    pub(super) familiar: Familiar,
    timer: Timer,
}

impl Connection {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            buffer: BytesMut::new(),
            out: Vec::new(),
            familiar: Familiar::default(),
            timer: Timer::default(),
        }
    }

    /// Reads what is there, at least one byte; 0 is the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.release();
            self.buffer = spare::take(want.max(READ_LARGE));
        } else {
            self.buffer.reserve(want);
        }
        let read = pin!(self.transport.read_buf(&mut self.buffer)).poll(cx);
        if self.buffer.is_empty() {
            self.release();
        }
        read
    }

    /// Gives an empty buffer back.
    fn release(&mut self) {
        if self.buffer.capacity() > 0 {
            spare::give(std::mem::take(&mut self.buffer));
        }
    }

    /// Whether the silence since `start` has lasted for `limit`; the task is woken when it has.
    pub(super) fn poll_silence(
        &mut self,
        cx: &mut Context<'_>,
        start: &mut Option<Instant>,
        limit: Duration,
    ) -> Poll<()> {
        let start = *start.get_or_insert_with(Instant::now);
        match start.checked_add(limit) {
            Some(deadline) => self.timer.poll(cx, deadline),
            None => Poll::Pending,
        }
    }

    /// Whether an idle connection may be used again: nothing has arrived on it, neither its end nor stray bytes. No
    /// system call unless something has.
    pub(super) fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0u8; 1];
        let mut buf = ReadBuf::new(&mut byte);
        self.buffer.is_empty() && Pin::new(&mut self.transport).poll_read(cx, &mut buf).is_pending()
    }

    /// Gives back memory that an idle connection does not need.
    pub(super) fn trim(&mut self) {
        if self.buffer.is_empty() {
            self.release();
        }
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        // Requests carry credentials: none is left behind in an idle buffer.
        self.out.fill(0);
        self.out.clear();
    }
}
