//! A request as it came in.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use sallyport_core::RequestId;
use thiserror::Error;

use crate::Memo;
use crate::listen::{Inlet, OnUpgrade};

/// A request: its head, its body still unread, and where it came from.
pub struct Inbound {
    /// Method, target, version and headers; shared with the connection, whose next request mostly has the same.
    pub parts: Arc<Parts>,
    /// The body, not yet read.
    pub body: RequestBody,
    /// The other end of the connection: the client, or a proxy in between
    /// ([`Doors::client`](crate::layers::Doors::client) tells).
    pub peer: SocketAddr,
    /// The request's number in log, audit and error answers.
    pub id: RequestId,
    /// What was made of the same head before, if the connection's last request had the same.
    pub memo: Memo,
}

impl Inbound {
    /// The request as a router of axum takes it. The extensions carry [`Peer`] and [`RequestId`].
    #[must_use]
    pub fn into_request(self, client: IpAddr) -> http::Request<axum::body::Body> {
        let mut request =
            http::Request::from_parts(Arc::unwrap_or_clone(self.parts), axum::body::Body::new(self.body));
        request.extensions_mut().insert(Peer(client));
        request.extensions_mut().insert(self.id);
        request
    }
}

/// The client's address, as an extension of requests that go to a router.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Peer(pub IpAddr);

/// Why a request's body could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BodyError {
    /// Longer than the caller takes: 413 (RFC 9110 §15.5.14).
    #[error("the request body is too large")]
    TooLarge,
    /// It ended early, stalled, or its framing is wrong: 400.
    #[error("the request body is broken")]
    Broken,
    /// It has a content coding; none is accepted: 415 (RFC 9110 §8.4).
    #[error("the request body has a content coding")]
    Encoding,
}

impl BodyError {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::TooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => http::StatusCode::BAD_REQUEST,
            Self::Encoding => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

/// The body of a request. What is left unread is drained within bounds or ends the connection; it is never taken for
/// the next request (HT-04).
pub struct RequestBody {
    source: Source,
    encoded: bool,
    upgrade: Option<OnUpgrade>,
}

enum Source {
    /// It came with its head: most do.
    Here(Bytes),
    /// The connection reads it when it is wanted.
    Coming(Arc<Inlet>),
}

impl RequestBody {
    /// A body that has come as a whole.
    pub(crate) fn here(bytes: Bytes, encoded: bool) -> Self {
        Self {
            source: Source::Here(bytes),
            encoded,
            upgrade: None,
        }
    }

    /// A body that is still to be read.
    pub(crate) fn coming(inlet: Arc<Inlet>, encoded: bool) -> Self {
        Self {
            source: Source::Coming(inlet),
            encoded,
            upgrade: None,
        }
    }

    /// The request asks for another protocol: the connection is here for whoever answers 101.
    pub(crate) fn offer(&mut self, upgrade: OnUpgrade) {
        self.upgrade = Some(upgrade);
    }

    /// The connection, for the one who is going to answer 101.
    pub(crate) fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        self.upgrade.take()
    }

    /// A body that is already there: for requests that do not come from a socket.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self::here(bytes.into(), false)
    }

    /// The whole body. `Content-Length` is checked before anything is read; a body of one piece is taken as it is,
    /// several are gathered.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] after at most `limit` bytes, [`BodyError::Encoding`] before the first.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.encoded {
            return Err(BodyError::Encoding);
        }
        let inlet = match &mut self.source {
            Source::Here(bytes) if bytes.len() <= limit => return Ok(std::mem::take(bytes)),
            Source::Here(_) => return Err(BodyError::TooLarge),
            Source::Coming(inlet) => inlet,
        };
        let announced = inlet.left().unwrap_or(0);
        if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(BodyError::TooLarge);
        }
        if announced > 0 {
            inlet.gather();
        }
        let Some(first) = self.next_piece().await? else {
            return Ok(Bytes::new());
        };
        let mut gathered = BytesMut::new();
        let mut length = first.len();
        while length <= limit {
            let Some(piece) = self.next_piece().await? else {
                return Ok(if gathered.is_empty() {
                    first
                } else {
                    gathered.freeze()
                });
            };
            length = length.saturating_add(piece.len());
            if length > limit {
                break;
            }
            if gathered.is_empty() {
                gathered.reserve(usize::try_from(announced).unwrap_or(0).max(length));
                gathered.extend_from_slice(&first);
            }
            gathered.extend_from_slice(&piece);
        }
        Err(BodyError::TooLarge)
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        poll_fn(|cx| self.poll_piece(cx)).await.transpose()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            Source::Here(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            Source::Coming(inlet) => inlet.poll_piece(cx),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Source::Coming(inlet) = &self.source {
            inlet.release();
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(self.get_mut().poll_piece(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Here(bytes) => bytes.is_empty(),
            Source::Coming(inlet) => inlet.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Here(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Source::Coming(inlet) => inlet.left().map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}
