//! What waits to be written to a server: one buffer, one writer, as few writes as the carrier takes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use sallyport_core::fault::Fault;
use sallyport_net::duplex::Outgoing;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
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
    Broken(#[from] std::io::Error),
    #[error("{0}")]
    Carrier(#[from] Fault),
}

/// How long a carrier may take to close in good order.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// Messages on their way to a server, one a line.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    closed: bool,
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

    /// Queues one line, given in pieces. Line breaks in it, which valid JSON has only between its tokens, become
    /// blanks, so that one message stays one line.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was queued then.
    pub(crate) fn push(&self, pieces: &[&[u8]]) -> Result<(), QueueError> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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
        drop(waiting);
        if before == 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Nothing more is taken; the carrier is closed once everything that waits is written.
    pub(crate) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }

    /// All lines that wait, each with its end; waits for the first. `None` once the box is closed and empty.
    async fn batch(&self) -> Option<BytesMut> {
        loop {
            let (bytes, closed) = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Writes lines until closed.
    ///
    /// # Errors
    /// [`WriteError`] when the pipe breaks, or takes nothing for `stall`.
    pub(crate) async fn drain(
        &self,
        mut pipe: impl AsyncWrite + Unpin,
        stall: Duration,
    ) -> Result<(), WriteError> {
        while let Some(mut bytes) = self.batch().await {
            while bytes.has_remaining() {
                let written = within(stall, pipe.write(&bytes)).await??;
                if written == 0 {
                    return Err(WriteError::Broken(std::io::ErrorKind::WriteZero.into()));
                }
                bytes.advance(written);
            }
        }
        Ok(())
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
    use super::*;

    #[tokio::test]
    async fn p_09_one_message_stays_one_line() {
        let outbox = Outbox::new(1 << 10);
        outbox.push(&[b"{\"a\":\r\n", b"1}"]).expect("fits");
        outbox.push(&[b"{}"]).expect("fits");
        outbox.close();
        let mut written = Vec::new();
        outbox
            .drain(&mut written, Duration::from_secs(1))
            .await
            .expect("written");
        assert_eq!(written, b"{\"a\":  1}\n{}\n");
        assert_eq!(outbox.push(&[b"x"]), Err(QueueError::Closed));
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
        let outbox = Outbox::new(1 << 20);
        outbox.push(&[&[b'x'; 1 << 10]]).expect("fits");
        let (pipe, _never_read) = tokio::io::duplex(16);
        let ended = outbox.drain(pipe, Duration::from_secs(60)).await;
        assert!(matches!(ended, Err(WriteError::Stalled(_))));
    }
}
