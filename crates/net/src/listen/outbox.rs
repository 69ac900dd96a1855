//! What waits to be written: small pieces are copied together, large ones stay where they are, and all of it leaves in
//! one write as far as the client takes it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

/// Pieces from this size on are not copied.
const COPY_BELOW: usize = 16 * 1024;

/// A buffer that grew beyond this is not kept for the next answer.
const KEEP: usize = 128 * 1024;

thread_local! {
    /// The buffer of whoever writes next on this thread: connections that write nothing have none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What waits to be written on one connection.
#[derive(Default)]
pub(super) struct Outbox {
    text: Vec<u8>,
    /// Pieces that were not copied, each with the place in `text` where it belongs.
    apart: VecDeque<(usize, Bytes)>,
    length: usize,
    written: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.length - self.written
    }

    /// The buffer to write into. [`Self::note`] has to follow.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = SPARE.take();
        }
        &mut self.text
    }

    /// Counts what was written into the buffer.
    pub(super) fn note(&mut self) {
        let apart: usize = self.apart.iter().map(|(_, piece)| piece.len()).sum();
        self.length = self.text.len() + apart;
    }

    /// Adds a piece of a body.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < COPY_BELOW {
            self.text().extend_from_slice(&piece);
            self.length += piece.len();
        } else {
            self.length += piece.len();
            let at = self.text.len();
            self.apart.push_back((at, piece));
        }
    }

    /// Adds a piece of a body as a chunk (RFC 9112 §7.1).
    pub(super) fn push_chunk(&mut self, piece: Bytes) {
        let text = self.text();
        let before = text.len();
        // Writing to memory cannot fail.
        let _ = write!(text, "{:x}\r\n", piece.len());
        self.length += self.text.len() - before;
        self.push(piece);
        self.push_static(b"\r\n");
    }

    /// Adds some bytes.
    pub(super) fn push_static(&mut self, bytes: &[u8]) {
        self.text().extend_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Writes some of what waits; the number of bytes.
    pub(super) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let written = if self.apart.is_empty() {
            let rest = self.text.get(self.written..).unwrap_or_default();
            ready!(stream.poll_write(cx, rest))?
        } else {
            let mut slices = self.slices();
            let mut rest = slices.as_mut_slice();
            IoSlice::advance_slices(&mut rest, self.written);
            ready!(stream.poll_write_vectored(cx, rest))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += written;
        if self.waiting() == 0 {
            self.clear();
        }
        Poll::Ready(Ok(written))
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.apart.len() * 2 + 1);
        let mut from = 0;
        for (at, piece) in &self.apart {
            slices.push(IoSlice::new(self.text.get(from..*at).unwrap_or_default()));
            slices.push(IoSlice::new(piece));
            from = *at;
        }
        slices.push(IoSlice::new(self.text.get(from..).unwrap_or_default()));
        slices
    }

    /// Everything is written: what it took is given back.
    fn clear(&mut self) {
        self.apart = VecDeque::new();
        (self.length, self.written) = (0, 0);
        let mut text = std::mem::take(&mut self.text);
        if text.capacity() <= KEEP {
            text.clear();
            SPARE.set(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_and_what_is_not_leaves_in_order() {
        let large = Bytes::from(vec![b'y'; COPY_BELOW]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for step in [1, 7, 1000, 1 << 20] {
            let mut outbox = Outbox::default();
            outbox.push_static(b"head");
            outbox.push_chunk(Bytes::from_static(b"small"));
            outbox.push_chunk(large.clone());
            outbox.push(large.clone());
            outbox.push_static(b"end");
            let expected = [
                b"head5\r\nsmall\r\n4000\r\n".as_slice(),
                &large,
                b"\r\n",
                &large,
                b"end",
            ]
            .concat();
            assert_eq!(outbox.waiting(), expected.len());
            let written = runtime.block_on(async {
                let (mut ours, mut theirs) = tokio::io::duplex(step);
                let reading = tokio::spawn(async move {
                    let mut all = Vec::new();
                    tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut all)
                        .await
                        .unwrap();
                    all
                });
                while outbox.waiting() > 0 {
                    std::future::poll_fn(|cx| outbox.poll_write(&mut ours, cx))
                        .await
                        .unwrap();
                }
                drop(ours);
                reading.await.unwrap()
            });
            assert!(written == expected, "{step}");
        }
    }
}
