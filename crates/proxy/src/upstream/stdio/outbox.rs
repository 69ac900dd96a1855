//! What waits to be written to a child: one buffer, one writer, as few writes as the pipe takes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// Why something could not be queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum QueueError {
    /// ST-09: it does not read.
    #[error("the server does not read what it is sent")]
    Full,
    #[error("the process has ended or is being stopped")]
    Closed,
}

/// Why the writer ended.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error("the server did not read for {0:?}")]
    Stalled(Duration),
    #[error("the pipe broke: {0}")]
    Broken(#[from] std::io::Error),
}

/// Lines on their way to a child.
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

    /// Nothing more is taken; the pipe is closed once everything that waits is written.
    pub(crate) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }

    /// Writes until closed.
    ///
    /// # Errors
    /// [`WriteError`] when the pipe breaks, or takes nothing for `stall`.
    pub(crate) async fn drain(
        &self,
        mut pipe: impl AsyncWrite + Unpin,
        stall: Duration,
    ) -> Result<(), WriteError> {
        loop {
            let (mut bytes, closed) = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                (waiting.bytes.split(), waiting.closed)
            };
            if bytes.is_empty() {
                if closed {
                    return Ok(());
                }
                self.wake.notified().await;
                continue;
            }
            while bytes.has_remaining() {
                let written = tokio::time::timeout(stall, pipe.write(&bytes))
                    .await
                    .map_err(|_| WriteError::Stalled(stall))??;
                if written == 0 {
                    return Err(WriteError::Broken(std::io::ErrorKind::WriteZero.into()));
                }
                bytes.advance(written);
            }
        }
    }
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
