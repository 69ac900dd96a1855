//! What waits to be written: small pieces are copied together, large ones stay where they are, and all of it leaves in
//! one write as far as the client takes it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::socket::Socket;
use crate::body::Piece;
use crate::shared::Pages;

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
    apart: VecDeque<(usize, Piece)>,
    length: usize,
    written: usize,
    /// Whether the kernel sends what it can send, once that is known.
    sends: Option<bool>,
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
    pub(super) fn push(&mut self, piece: Piece) {
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
    pub(super) fn push_chunk(&mut self, piece: Piece) {
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
    pub(super) fn poll_write<T: Socket>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let written = if self.apart.is_empty() {
            let rest = self.text.get(self.written..).unwrap_or_default();
            ready!(Pin::new(stream).poll_write(cx, rest))?
        } else {
            ready!(self.poll_write_apart(stream, cx))?
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

    /// The same where pieces were not copied.
    fn poll_write_apart<T: Socket>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if *self.sends.get_or_insert_with(|| stream.sends())
            && let Some(next) = self.next_sent()
        {
            if let Some(before) = next.before {
                return stream.poll_write_before(cx, before);
            }
            if let Some(sent) = ready!(stream.poll_send(cx, next.pages, next.from, next.most))? {
                return Poll::Ready(Ok(sent));
            }
            self.sends = Some(false);
        }
        let mut slices = self.slices();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, self.written);
        Pin::new(stream).poll_write_vectored(cx, rest)
    }

    /// What is written next, if the kernel can send it by itself, or what stands right before it.
    fn next_sent(&self) -> Option<Sent<'_>> {
        let (mut passed, mut from) = (0, 0);
        for (at, piece) in &self.apart {
            let start = passed + (at - from);
            let end = start + piece.len();
            if self.written < end {
                let Piece::Shared(shared) = piece else { return None };
                return Some(Sent {
                    before: match start.saturating_sub(self.written) {
                        0 => None,
                        before => self.text.get(at.saturating_sub(before)..*at),
                    },
                    pages: shared.pages()?,
                    from: self.written.saturating_sub(start),
                    most: end - self.written.max(start),
                });
            }
            (passed, from) = (end, *at);
        }
        None
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

/// A piece that the kernel can send by itself.
struct Sent<'a> {
    /// What has to be written before it.
    before: Option<&'a [u8]>,
    pages: &'a Pages,
    /// The part of it that waits.
    from: usize,
    most: usize,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, ReadBuf};

    use super::*;
    use crate::SharedBytes;

    /// A connection that says that its kernel can send, which it then cannot.
    struct Refusing(DuplexStream);

    impl AsyncRead for Refusing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, into)
        }
    }

    impl AsyncWrite for Refusing {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    impl Socket for Refusing {
        fn sends(&self) -> bool {
            true
        }
    }

    /// All that comes through.
    async fn written<T: Socket>(
        mut outbox: Outbox,
        step: usize,
        outlet: impl FnOnce(DuplexStream) -> T,
    ) -> Vec<u8> {
        let (ours, mut theirs) = tokio::io::duplex(step);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut ours = outlet(ours);
        while outbox.waiting() > 0 {
            std::future::poll_fn(|cx| outbox.poll_write(&mut ours, cx))
                .await
                .unwrap();
        }
        drop(ours);
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn what_is_copied_and_what_is_not_leaves_in_order() {
        let large = Bytes::from(vec![b'y'; COPY_BELOW]);
        let shared = SharedBytes::new(vec![b'z'; 100_000].into());
        for step in [1, 7, 1000, 1 << 20] {
            let full = || {
                let mut outbox = Outbox::default();
                outbox.push_static(b"head");
                outbox.push_chunk(Bytes::from_static(b"small").into());
                outbox.push_chunk(large.clone().into());
                outbox.push(large.clone().into());
                outbox.push_static(b"mid");
                outbox.push(Piece::Shared(shared.clone()));
                outbox.push_static(b"end");
                outbox
            };
            let expected = [
                b"head5\r\nsmall\r\n4000\r\n".as_slice(),
                &large,
                b"\r\n",
                &large,
                b"mid",
                &shared,
                b"end",
            ]
            .concat();
            assert_eq!(full().waiting(), expected.len());
            assert!(written(full(), step, |ours| ours).await == expected, "{step}");
            assert!(written(full(), step, Refusing).await == expected, "{step}");
        }
    }
}
