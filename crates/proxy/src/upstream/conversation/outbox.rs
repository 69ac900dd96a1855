//! What waits to be written to a server: one buffer, one writer, as few writes as the carrier takes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use sallyport_core::fault::Fault;
use sallyport_net::duplex::Outgoing;
use thiserror::Error;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

/// Why something could not be queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum QueueError {
    /// ST-09: it does not read.
    #[error("the server does not read what it is sent")]
    Full,
    #[error("the connection has ended or is being closed")]
    Closed,
}

/// Why the writer ended.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("the server did not read for {0:?}")]
    Stalled(Duration),
    #[error("the pipe broke: {0}")]
    Broken(#[from] io::Error),
    #[error("{0}")]
    Carrier(#[from] Fault),
}

/// How long a carrier may take to close in good order.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// Messages on their way to a server, one a line. On a cache line of its own, which travels between those who speak.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// For whoever sends what waits and can wait for the carrier.
    wake: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    closed: bool,
    turn: Turn,
    /// The pipe that is written to, where it is one.
    pipe: Option<Arc<pipe::Sender>>,
}

/// Whose turn it is to write to a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Turn {
    /// Nobody's: nothing waits.
    #[default]
    Nobody,
    /// That of somebody who has been told to.
    Told,
    /// Somebody writes, and looks for more when that is done.
    Writing,
}

impl Outbox {
    /// At most `limit` bytes wait; a single line may be longer when nothing else does.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            limit,
        }
    }

    /// The same for a pipe, to which whoever has something to say writes as long as it takes it.
    pub(crate) fn of_pipe(limit: usize, pipe: pipe::Sender) -> Self {
        let outbox = Self::new(limit);
        outbox.waiting().pipe = Some(Arc::new(pipe));
        outbox
    }

    /// Queues one line, given in pieces. Line breaks in it, which valid JSON has only between its tokens, become
    /// blanks, so that one message stays one line. True: it is the caller's turn to see to it that [`Self::write`] is
    /// called.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was queued then.
    pub(crate) fn push(&self, pieces: &[&[u8]]) -> Result<bool, QueueError> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(QueueError::Closed);
        }
        let before = waiting.bytes.len();
        if before > 0 && before + length >= self.limit {
            return Err(QueueError::Full);
        }
        waiting.bytes.reserve(length + 1);
        for piece in pieces {
            waiting.bytes.extend_from_slice(piece);
        }
        if let Some(line) = waiting.bytes.get_mut(before..) {
            blank_line_breaks(line);
        }
        waiting.bytes.extend_from_slice(b"\n");
        if waiting.pipe.is_some() {
            let is_turn = waiting.turn == Turn::Nobody;
            if is_turn {
                waiting.turn = Turn::Told;
            }
            return Ok(is_turn);
        }
        drop(waiting);
        if before == 0 {
            self.wake.notify_one();
        }
        Ok(false)
    }

    /// Writes what waits to the pipe, as far as that takes it at once; [`Self::drain`] goes on from there. May be called
    /// by anyone.
    pub(crate) fn write(&self) {
        while let Some((mut bytes, pipe)) = self.take_turn() {
            match pipe.try_write(&bytes) {
                Ok(written) if written == bytes.len() => self.wrote(BytesMut::new()),
                other => {
                    bytes.advance(other.unwrap_or_default());
                    self.wrote(bytes);
                    return self.tell_writer();
                }
            }
        }
    }

    /// All that waits, for whoever has the turn from now on; nobody, if nothing waits.
    fn take_turn(&self) -> Option<(BytesMut, Arc<pipe::Sender>)> {
        let mut waiting = self.waiting();
        if waiting.turn == Turn::Writing {
            return None;
        }
        if waiting.bytes.is_empty() {
            waiting.turn = Turn::Nobody;
            return None;
        }
        let pipe = waiting.pipe.clone()?;
        waiting.turn = Turn::Writing;
        Some((waiting.bytes.split(), pipe))
    }

    /// The turn is over, and this was not written.
    fn wrote(&self, mut rest: BytesMut) {
        let mut waiting = self.waiting();
        waiting.turn = Turn::Told;
        if !rest.is_empty() {
            rest.extend_from_slice(&waiting.bytes);
            waiting.bytes = rest;
        }
    }

    /// Leaves what waits to [`Self::drain`].
    pub(crate) fn tell_writer(&self) {
        self.wake.notify_one();
    }

    /// Nothing more is taken; the carrier is closed once everything that waits is written.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.wake.notify_one();
    }

    /// All lines that wait, each with its end; waits for the first. `None` once the box is closed and empty.
    async fn batch(&self) -> Option<BytesMut> {
        loop {
            let (bytes, closed) = {
                let mut waiting = self.waiting();
                (waiting.bytes.split(), waiting.closed)
            };
            if !bytes.is_empty() {
                return Some(bytes);
            }
            if closed {
                return None;
            }
            self.wake.notified().await;
        }
    }

    /// All messages that wait; waits for the first. `None` once the box is closed and empty.
    pub(crate) async fn messages(&self) -> Option<impl Iterator<Item = Bytes> + Send + use<>> {
        Some(lines(self.batch().await?.freeze()))
    }

    /// Writes what the pipe did not take at once, until closed; then closes the pipe.
    ///
    /// # Errors
    /// [`WriteError`] when the pipe breaks, or takes nothing for `stall`.
    pub(crate) async fn drain(&self, stall: Duration) -> Result<(), WriteError> {
        loop {
            while let Some((mut bytes, pipe)) = self.take_turn() {
                while bytes.has_remaining() {
                    within(stall, pipe.writable()).await??;
                    match pipe.try_write(&bytes) {
                        Ok(0) => return Err(WriteError::Broken(io::ErrorKind::WriteZero.into())),
                        Ok(written) => bytes.advance(written),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                self.wrote(bytes);
            }
            if self.close_pipe() {
                return Ok(());
            }
            self.wake.notified().await;
        }
    }

    /// Closes the pipe if nothing more comes.
    fn close_pipe(&self) -> bool {
        let mut waiting = self.waiting();
        let over = waiting.closed && waiting.bytes.is_empty() && waiting.turn != Turn::Writing;
        if over {
            waiting.pipe = None;
        }
        over
    }

    /// Sends messages until closed, then closes the carrier in good order.
    ///
    /// # Errors
    /// [`WriteError`] when the carrier breaks, or takes nothing for `stall`.
    pub(crate) async fn drain_into(&self, mut carrier: Outgoing, stall: Duration) -> Result<(), WriteError> {
        while let Some(messages) = self.messages().await {
            for message in messages {
                within(stall, carrier.feed(message)).await??;
            }
            within(stall, carrier.flush()).await??;
        }
        within(FAREWELL, carrier.close()).await?.map_err(WriteError::from)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn within<F: Future>(stall: Duration, write: F) -> Result<F::Output, WriteError> {
    tokio::time::timeout(stall, write)
        .await
        .map_err(|_| WriteError::Stalled(stall))
}

/// The lines of a batch, without their ends and without copying them.
fn lines(mut batch: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', &batch)?;
        let line = batch.split_to(end);
        batch.advance(1);
        Some(line)
    })
}

fn blank_line_breaks(line: &mut [u8]) {
    let mut from = 0;
    while let Some(rest) = line.get_mut(from..)
        && let Some(at) = memchr::memchr2(b'\n', b'\r', rest)
    {
        if let Some(byte) = rest.get_mut(at) {
            *byte = b' ';
        }
        from += at + 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn p_09_one_message_stays_one_line() {
        let (sender, mut receiver) = pipe::pipe().expect("a pipe");
        let outbox = Outbox::of_pipe(1 << 10, sender);
        assert_eq!(outbox.push(&[b"{\"a\":\r\n", b"1}"]), Ok(true));
        assert_eq!(outbox.push(&[b"{}"]), Ok(false), "somebody has been told already");
        outbox.write();
        outbox.close();
        outbox.drain(Duration::from_secs(1)).await.expect("written");
        let mut written = Vec::new();
        receiver.read_to_end(&mut written).await.expect("all of it");
        assert_eq!(written, b"{\"a\":  1}\n{}\n");
        assert_eq!(outbox.push(&[b"x"]), Err(QueueError::Closed));
    }

    #[tokio::test]
    async fn what_a_pipe_does_not_take_at_once_is_written_in_order() {
        let (sender, mut receiver) = pipe::pipe().expect("a pipe");
        let outbox = Outbox::of_pipe(1 << 30, sender);
        let line = |number: u32| format!("{number}{}", "x".repeat(10_000));
        let speaking = async {
            for number in 0..100 {
                if outbox.push(&[line(number).as_bytes()]).expect("room") {
                    outbox.write();
                }
                tokio::task::yield_now().await;
            }
            outbox.close();
        };
        let mut read = String::new();
        let (_, written, length) = tokio::join!(
            speaking,
            outbox.drain(Duration::from_secs(60)),
            receiver.read_to_string(&mut read)
        );
        written.expect("written");
        length.expect("read");
        assert!(read.lines().eq((0..100).map(line)));
    }

    #[tokio::test]
    async fn messages_come_out_one_by_one_as_they_went_in() {
        let outbox = Outbox::new(1 << 10);
        for message in [&b"{\"a\":\n1}"[..], b"{}", b"[]"] {
            outbox.push(&[message]).expect("fits");
        }
        let messages: Vec<Bytes> = outbox.messages().await.expect("some wait").collect();
        assert_eq!(messages, [&b"{\"a\": 1}"[..], b"{}", b"[]"]);
        outbox.close();
        assert!(outbox.messages().await.is_none());
    }

    #[test]
    fn st_09_what_waits_is_bounded() {
        let outbox = Outbox::new(10);
        outbox.push(&[b"12345"]).expect("fits");
        assert_eq!(outbox.push(&[b"6789"]), Err(QueueError::Full));
        outbox.push(&[b"678"]).expect("fits to the byte");
    }

    #[tokio::test(start_paused = true)]
    async fn st_09_a_reader_that_never_reads_is_noticed() {
        let (sender, _never_read) = pipe::pipe().expect("a pipe");
        let outbox = Outbox::of_pipe(4 << 20, sender);
        outbox.push(&[&[b'x'; 2 << 20]]).expect("fits");
        outbox.write();
        let ended = outbox.drain(Duration::from_secs(60)).await;
        assert!(matches!(ended, Err(WriteError::Stalled(_))));
    }
}
