//! A request as it came in.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, EXPECT};
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sallyport_core::RequestId;
use thiserror::Error;

use crate::listen::Leftover;

/// A request: its head, its body still unread, and where it came from.
pub struct Inbound {
    /// Method, target, version and headers.
    pub parts: Parts,
    /// The body, not yet read.
    pub body: RequestBody,
    /// The other end of the connection: the client, or a proxy in between
    /// ([`Doors::client`](crate::layers::Doors::client) tells).
    pub peer: SocketAddr,
    /// The request's number in log, audit and error answers.
    pub id: RequestId,
}

impl Inbound {
    /// The request as a router of axum takes it. The extensions carry [`Peer`] and [`RequestId`].
    #[must_use]
    pub fn into_request(self, client: IpAddr) -> http::Request<axum::body::Body> {
        let mut request = http::Request::from_parts(self.parts, axum::body::Body::new(self.body));
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
    /// `None` once taken apart, and in bodies made of bytes.
    incoming: Option<Incoming>,
    bytes: Bytes,
    encoded: bool,
    expects: bool,
    leftover: Option<Arc<Leftover>>,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, headers: &HeaderMap, leftover: Arc<Leftover>) -> Self {
        Self {
            incoming: Some(incoming),
            bytes: Bytes::new(),
            encoded: headers
                .get(CONTENT_ENCODING)
                .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")),
            expects: headers.contains_key(EXPECT),
            leftover: Some(leftover),
        }
    }

    /// A body that is already there: for requests that do not come from a socket.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            incoming: None,
            bytes: bytes.into(),
            encoded: false,
            expects: false,
            leftover: None,
        }
    }

    /// The whole body. `Content-Length` is checked before anything is read; a body of one frame is taken as it is,
    /// several are gathered.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] after at most `limit` bytes, [`BodyError::Encoding`] before the first.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.encoded {
            return Err(BodyError::Encoding);
        }
        let announced = self.size_hint().lower();
        if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(BodyError::TooLarge);
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
        while let Some(frame) = self.frame().await {
            // Trailers say nothing to us.
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        // A client that waits for `100 Continue` has not sent its body: there is nothing to drain.
        if let Some(leftover) = self.leftover.take()
            && !incoming.is_end_stream()
            && !self.expects
        {
            leftover.put(incoming);
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
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            let bytes = std::mem::take(&mut this.bytes);
            return Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))));
        };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming
            .as_ref()
            .map_or(self.bytes.is_empty(), Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some(incoming) => incoming.size_hint(),
            None => SizeHint::with_exact(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)),
        }
    }
}
