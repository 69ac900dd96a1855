//! An answer and its body.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::Stream;
use sallyport_core::fault::Fault;
use tokio::time::Instant;

use super::chunked::{Chunked, SHARE_FROM};
use super::connection::{Connection, READ, READ_LARGE};
use super::headers::Headers;
use super::parse::Length;
use super::pool::Pool;
use super::trouble::Trouble;

const READING: &str = "read the answer";

/// An answer: its head, and its body still to be read.
pub struct Answer {
    /// The status code; 1xx are never seen.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: AnswerBody,
}

/// The body of an answer, read from the connection by whoever polls it. Read to its end, the connection goes back to
/// its pool; dropped before, it is closed, which tells the server that nobody listens any more.
pub struct AnswerBody {
    framing: Framing,
    /// `None` at the end and after an error.
    connection: Option<Box<Connection>>,
    home: Option<Home>,
    idle: Duration,
    silent_since: Option<Instant>,
    /// Pieces are at least so long, as far as the server told how much there is to come.
    gather: usize,
}

/// Where the connection goes afterwards.
struct Home {
    pool: Arc<Pool>,
    target: u64,
    keep: Duration,
}

enum Framing {
    Known(u64),
    Chunked(Chunked),
    UntilClose,
}

impl AnswerBody {
    pub(super) fn new(connection: Box<Connection>, length: Length, idle: Duration) -> Self {
        let framing = match length {
            Length::Known(length) => Framing::Known(length),
            Length::Chunked => Framing::Chunked(Chunked::new()),
            Length::UntilClose => Framing::UntilClose,
        };
        Self {
            framing,
            connection: Some(connection),
            home: None,
            idle,
            silent_since: None,
            gather: 0,
        }
    }

    /// Sends the connection home when the body ends, to be kept for at most `keep`.
    pub(super) fn returning(mut self, pool: &Arc<Pool>, target: u64, keep: Duration) -> Self {
        self.home = Some(Home {
            pool: Arc::clone(pool),
            target,
            keep,
        });
        self
    }

    /// Ends a body of no bytes.
    pub(super) fn settled(mut self) -> Self {
        if self.is_done() {
            self.finish();
        }
        self
    }

    /// Changes how long the server may be silent.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// How many bytes are still to come, where the server told it.
    #[must_use]
    pub fn remaining(&self) -> Option<u64> {
        match self.framing {
            Framing::Known(left) => Some(left),
            Framing::Chunked(_) | Framing::UntilClose => self.connection.is_none().then_some(0),
        }
    }

    /// The next piece, as large as one read made it; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Fault>> {
        poll_fn(|cx| self.poll_next_piece(cx)).await
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`Trouble::TooLarge`] before anything is read when the server told a length above `limit`, else after at most
    /// one read more than `limit` bytes; and what reading runs into.
    pub async fn whole(self, limit: usize) -> Result<Bytes, Fault> {
        Ok(self.whole_mut(limit).await?.freeze())
    }

    /// As [`Self::whole`], for those who change something in it.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn whole_mut(mut self, limit: usize) -> Result<BytesMut, Fault> {
        self.announced(limit)?;
        self.gather_up_to(BytesMut::new(), usize::MAX, limit).await
    }

    /// The whole body where all of it has come with the head and it is not above `limit`: nothing is waited for.
    pub fn here(&mut self, limit: usize) -> Option<BytesMut> {
        let Framing::Known(left) = &self.framing else {
            return None;
        };
        let left = usize::try_from(*left).ok().filter(|left| *left <= limit)?;
        let Some(connection) = &mut self.connection else {
            return (left == 0).then(BytesMut::new);
        };
        if connection.buffer.len() < left {
            return None;
        }
        let body = self.framing.take(&mut connection.buffer, left).ok()?;
        self.finish();
        Some(body)
    }

    /// What the body begins with, at least `enough` bytes of it, and the rest; no rest where that is all.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn begin(mut self, enough: usize, limit: usize) -> Result<(BytesMut, Option<Self>), Fault> {
        self.announced(limit)?;
        let begin = self.gather_up_to(BytesMut::new(), enough, limit).await?;
        self.gather = 0;
        let is_all = self.connection.is_none();
        Ok((begin, (!is_all).then_some(self)))
    }

    /// The whole body, of which this is what it begins with.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub async fn whole_from(mut self, begin: BytesMut, limit: usize) -> Result<BytesMut, Fault> {
        self.gather_up_to(begin, usize::MAX, limit).await
    }

    /// Refuses a body that is announced to be longer than `limit`.
    fn announced(&self, limit: usize) -> Result<(), Fault> {
        if self.remaining().unwrap_or(0) > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(Trouble::TooLarge(limit).sent(READING));
        }
        Ok(())
    }

    async fn gather_up_to(
        &mut self,
        mut gathered: BytesMut,
        enough: usize,
        limit: usize,
    ) -> Result<BytesMut, Fault> {
        self.gather = enough;
        while gathered.len() < enough
            && let Some(piece) = poll_fn(|cx| self.poll_piece(cx)).await
        {
            let piece = piece?;
            if gathered.len() + piece.len() > limit {
                return Err(Trouble::TooLarge(limit).sent(READING));
            }
            if gathered.is_empty() {
                gathered = piece;
            } else {
                gathered.extend_from_slice(&piece);
            }
        }
        Ok(gathered)
    }

    /// As [`Self::next`], for those who poll.
    pub fn poll_next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(|piece| piece.map(BytesMut::freeze)))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<BytesMut, Fault>>> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(None);
            };
            let piece = match self.framing.take(&mut connection.buffer, self.gather) {
                Ok(piece) => piece,
                Err(what) => return self.fail(Trouble::Framing(what)),
            };
            if self.is_done() {
                self.finish();
            }
            if !piece.is_empty() {
                self.silent_since = None;
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(None);
            };
            let want = self.framing.want(connection.buffer.len());
            match connection.poll_fill(cx, want) {
                Poll::Ready(Ok(0)) if matches!(self.framing, Framing::UntilClose) => {
                    self.connection = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return self.fail(Trouble::Closed),
                Poll::Ready(Ok(_)) => self.silent_since = None,
                Poll::Ready(Err(error)) => return self.fail(Trouble::Io(error)),
                Poll::Pending => {
                    let silence = connection.poll_silence(cx, &mut self.silent_since, self.idle);
                    if silence.is_pending() {
                        return Poll::Pending;
                    }
                    return self.fail(Trouble::Timeout("further part of the answer"));
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        match &self.framing {
            Framing::Known(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_done(),
            Framing::UntilClose => false,
        }
    }

    /// The body has ended: the connection goes home unless something is wrong with it.
    fn finish(&mut self) {
        let (connection, home) = (self.connection.take(), self.home.take());
        // Bytes beyond the end belong to no request of ours (HT-14).
        if let (Some(connection), Some(home)) = (connection, home)
            && connection.buffer.is_empty()
        {
            home.pool.put(home.target, connection, home.keep);
        }
    }

    fn fail<T>(&mut self, trouble: Trouble) -> Poll<Option<Result<T, Fault>>> {
        self.connection = None;
        self.home = None;
        Poll::Ready(Some(Err(trouble.sent(READING))))
    }
}

impl Stream for AnswerBody {
    type Item = Result<Bytes, Fault>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_next_piece(cx)
    }
}

impl Framing {
    /// Takes what is there of the body off the buffer; of a body of known length nothing before `enough` is there, or all
    /// of it.
    fn take(&mut self, buffer: &mut BytesMut, enough: usize) -> Result<BytesMut, &'static str> {
        match self {
            Self::Known(left) => {
                let missing = usize::try_from(*left).unwrap_or(usize::MAX);
                if buffer.len() < missing.min(enough) {
                    return Ok(BytesMut::new());
                }
                let there = missing.min(buffer.len());
                *left -= u64::try_from(there).unwrap_or(*left);
                Ok(cut(buffer, there))
            }
            Self::Chunked(chunked) => chunked.take(buffer),
            Self::UntilClose => {
                let there = buffer.len();
                Ok(cut(buffer, there))
            }
        }
    }

    /// How much to read at once when so much is there already.
    fn want(&self, there: usize) -> usize {
        match self {
            Self::Known(left) => usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .saturating_sub(there)
                .clamp(READ, READ_LARGE),
            Self::Chunked(_) | Self::UntilClose => READ,
        }
    }
}

/// Small pieces are copied, so that they hold no more memory than they need; large ones are cut out of the buffer.
fn cut(buffer: &mut BytesMut, length: usize) -> BytesMut {
    if length >= SHARE_FROM {
        return buffer.split_to(length);
    }
    let piece = BytesMut::from(buffer.get(..length).unwrap_or_default());
    buffer.advance(length.min(buffer.len()));
    piece
}
