//! The server's side of the opening handshake (RFC 6455 §4.2).

use std::future::Future;

use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body as _;
use sallyport_core::fault::{Blame, Fault, Retry};
use thiserror::Error;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::framing::{WebSocket, config};
use super::{Options, SUBPROTOCOLS};
use crate::carrier::{Meter, Terms, duplex};
use crate::{Body, Duplex, Inbound, Response, respond};

/// The one version there is (RFC 6455 §4.4).
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADES: HeaderValue = HeaderValue::from_static("upgrade");

/// Why a request does not open a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum HandshakeError {
    /// Another method than GET: 405.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// It does not ask for a WebSocket, or not over HTTP/1.1: 426.
    #[error("only WebSocket is spoken here: ask for an upgrade to it")]
    NotUpgrade,
    /// Another version than 13, or none: 426, naming 13.
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    /// `Sec-WebSocket-Key` is not one key of 16 bytes: 400.
    #[error("the request needs one Sec-WebSocket-Key of 16 bytes in base64")]
    Key,
    /// Subprotocols are offered, and none of [`SUBPROTOCOLS`] is among them: 400.
    #[error("offer the subprotocol mcp, or none")]
    Subprotocol,
    /// It has a body: 400.
    #[error("a request that opens a WebSocket has no body")]
    HasBody,
}

impl HandshakeError {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Subprotocol | Self::HasBody => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer.
    #[must_use]
    pub fn answer(self) -> Response {
        if self == Self::Method {
            return respond::method_not_allowed(&[Method::GET]);
        }
        let mut response = respond::text(self.status(), format!("{self}\n"));
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 §15.5.22, RFC 6455 §4.4
            let headers = response.headers_mut();
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(CONNECTION, UPGRADES);
            headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        }
        response
    }
}

/// Opens a WebSocket for a request that has been let in: 101, and the connection once that answer has been written. The
/// future fails when the client leaves before.
///
/// # Errors
/// [`HandshakeError`] says with what answer not.
pub fn accept(
    inbound: Inbound,
    options: Options,
) -> Result<
    (
        Response,
        impl Future<Output = Result<Duplex, Fault>> + Send + 'static,
    ),
    HandshakeError,
> {
    let Inbound { parts, mut body, .. } = inbound;
    let agreed = check(&parts)?;
    if !body.is_end_stream() || parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(HandshakeError::HasBody);
    }
    let upgrade = body.take_upgrade().ok_or(HandshakeError::NotUpgrade)?;
    let opened = async move {
        let failed = |error| Fault::new(Blame::Client, Retry::Never, "open the WebSocket", error);
        let stream = upgrade.await.map_err(failed)?;
        let stream = Meter::new(stream);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config(&options))).await;
        Ok(duplex(
            WebSocket(socket),
            Terms {
                blame: Blame::Client,
                pace: options.pace,
                reason: options.reason,
            },
        ))
    };
    Ok((agreed.answer(), opened))
}

/// What both sides agree on.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    accept: String,
    subprotocol: Option<&'static str>,
}

impl Agreed {
    fn answer(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(CONNECTION, UPGRADES);
        // Base64 is always a header value.
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(name) = self.subprotocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }
}

/// RFC 6455 §4.2.1. `Sec-WebSocket-Extensions` is left unanswered, which declines every extension (§9.1).
fn check(parts: &Parts) -> Result<Agreed, HandshakeError> {
    let headers = &parts.headers;
    if parts.method != Method::GET {
        return Err(HandshakeError::Method);
    }
    let asks = listed(headers, &UPGRADE).any(|name| name.eq_ignore_ascii_case("websocket"))
        && listed(headers, &CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade"));
    if parts.version != Version::HTTP_11 || !asks {
        return Err(HandshakeError::NotUpgrade);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
        .ok_or(HandshakeError::Key)?;
    Ok(Agreed {
        accept: derive_accept_key(key.as_bytes()),
        subprotocol: subprotocol(headers)?,
    })
}

/// The client's first choice among ours.
fn subprotocol(headers: &HeaderMap) -> Result<Option<&'static str>, HandshakeError> {
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let known = |offered: &str| SUBPROTOCOLS.into_iter().find(|known| *known == offered);
    let chosen = listed(headers, &SEC_WEBSOCKET_PROTOCOL).find_map(known);
    chosen.map(Some).ok_or(HandshakeError::Subprotocol)
}

/// The members of a header that is a list, from all its lines (RFC 9110 §5.6.1).
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// 16 bytes in base64 (RFC 6455 §4.1): 21 digits, one that ends in zeros, and the filling.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_at_checked(22) else {
        return false;
    };
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    digits.iter().all(is_digit) && digits.last().is_some_and(|last| b"AQgw".contains(last))
}
