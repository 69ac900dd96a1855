//! The body of an answer.

use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use sallyport_core::fault::Fault;

use crate::SharedBytes;
use crate::http1::AnswerBody;

/// An answer to an inbound request.
pub type Response = http::Response<Body>;

/// The body of an answer: bytes that are there, or that come as they are made.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Shared(Option<Bytes>, SharedBytes),
    Relay(Box<AnswerBody>),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>),
    Axum(axum::body::Body),
}

/// A piece of a body.
pub(crate) enum Piece {
    Own(Bytes),
    /// The end of a [`Body::shared`].
    Shared(SharedBytes),
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}

impl From<Piece> for Bytes {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Own(bytes) => bytes,
            Piece::Shared(bytes) => bytes.bytes().clone(),
        }
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// One piece; its length becomes `Content-Length`.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Kind::Full(bytes))
        }
    }

    /// Bytes that many answers carry behind some of its own; the sum of their lengths becomes `Content-Length`.
    #[must_use]
    pub fn shared(head: Bytes, rest: SharedBytes) -> Self {
        Self(Kind::Shared(Some(head), rest))
    }

    /// Pieces as they are made; each is written at once. The body ends with the stream; an error ends the connection, so
    /// that the client sees that the body is not complete.
    pub fn stream(stream: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// The answer of a server behind, passed on as it is read: no task, no channel in between.
    #[must_use]
    pub fn relay(answer: AnswerBody) -> Self {
        Self(Kind::Relay(Box::new(answer)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Self {
        Self(Kind::Axum(body))
    }
}

impl Body {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Fault>>> {
        let own = |piece: Option<Result<Bytes, Fault>>| piece.map(|piece| piece.map(Piece::Own));
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Piece::Own(bytes))))
            }
            Kind::Shared(head, rest) => {
                if let Some(head) = head.take() {
                    return Poll::Ready(Some(Ok(Piece::Own(head))));
                }
                let rest = rest.clone();
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Piece::Shared(rest))))
            }
            Kind::Relay(answer) => answer.poll_next_piece(cx).map(own),
            Kind::Stream(stream) => stream.as_mut().poll_next(cx).map(own),
            Kind::Axum(body) => loop {
                let frame = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    Some(Ok(frame)) => frame,
                    Some(Err(error)) => {
                        return Poll::Ready(Some(Err(Fault::gateway("make the answer", error))));
                    }
                    None => return Poll::Ready(None),
                };
                // Our answers have no trailers.
                if let Ok(piece) = frame.into_data() {
                    return Poll::Ready(Some(Ok(Piece::Own(piece))));
                }
            },
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let piece = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map(|piece| Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Shared(..) | Kind::Relay(_) | Kind::Stream(_) => false,
            Kind::Axum(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let exact = |length: usize| SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX));
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => exact(bytes.len()),
            Kind::Shared(head, rest) => exact(head.as_ref().map_or(0, Bytes::len) + rest.len()),
            Kind::Relay(answer) => answer
                .remaining()
                .map_or_else(SizeHint::new, SizeHint::with_exact),
            Kind::Stream(_) => SizeHint::new(),
            Kind::Axum(body) => body.size_hint(),
        }
    }
}
