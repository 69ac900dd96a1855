//! The client's side of the opening handshake (RFC 6455 §4.1).

use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Request, Uri};
use sallyport_core::Secret;
use sallyport_core::fault::{Blame, Fault};
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError, SubProtocolError};

use super::framing::{WebSocket, config};
use super::{Options, SUBPROTOCOLS};
use crate::carrier::{Meter, Terms, duplex};
use crate::http1::Trouble;
use crate::{Duplex, Target};

/// Opens a WebSocket to a server: `ws` or `wss`, also written as `http` or `https`. Both subprotocols are offered; a
/// server that chooses none is asked again without. `headers` go with the request, except those of the handshake itself.
///
/// # Errors
/// Always before anything of MCP was sent, so that a repetition is safe. The source is a [`Trouble`]:
/// [`Trouble::Refused`] has the status of another answer than 101.
pub async fn connect(
    target: &Target,
    headers: &[(String, Secret<String>)],
    options: Options,
) -> Result<Duplex, Fault> {
    let limit = options.handshake;
    let opening = async {
        let opened = open(target, request(target, headers, true)?, &options).await;
        match opened {
            Err(Failure::NoSubprotocol) => open(target, request(target, headers, false)?, &options).await,
            opened => opened,
        }
    };
    let opened = match timeout(limit, Box::pin(opening)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(Failure::Other(trouble))) => Err(trouble),
        Ok(Err(Failure::NoSubprotocol)) => Err(Trouble::Framing("a subprotocol that was not offered")),
        Err(_) => Err(Trouble::Timeout("WebSocket")),
    };
    let socket = opened.map_err(|trouble| Fault::unreached("open the WebSocket", trouble))?;
    Ok(duplex(
        socket,
        Terms {
            blame: Blame::Upstream,
            pace: options.pace,
            reason: options.reason,
        },
    ))
}

enum Failure {
    NoSubprotocol,
    Other(Trouble),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Other(trouble)
    }
}

async fn open(
    target: &Target,
    request: Request<()>,
    options: &Options,
) -> Result<WebSocket<crate::egress::Transport>, Failure> {
    let stream = target.egress().connect(target).await.map_err(Trouble::from)?;
    let opened = client_async_with_config(request, Meter::new(stream), Some(config(options))).await;
    let (socket, _) = opened.map_err(|error| match error {
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol)) => {
            Failure::NoSubprotocol
        }
        Error::Http(answer) => Trouble::Refused(answer.status().as_u16()).into(),
        Error::Io(error) => Trouble::Io(error).into(),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => Trouble::Closed.into(),
        _ => Trouble::Framing("not the answer that opens a WebSocket").into(),
    })?;
    Ok(WebSocket(socket))
}

/// The request with a key of its own.
fn request(
    target: &Target,
    headers: &[(String, Secret<String>)],
    subprotocols: bool,
) -> Result<Request<()>, Trouble> {
    let unusable = |_| Trouble::Framing("the request cannot be written");
    let uri = Uri::try_from(target.websocket_url()).map_err(|_| unusable(()))?;
    let mut request = uri.into_client_request().map_err(|_| unusable(()))?;
    let fields = request.headers_mut();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| unusable(()))?;
        if is_of_the_handshake(&name) {
            continue;
        }
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| unusable(()))?;
        value.set_sensitive(true);
        fields.append(name, value);
    }
    if subprotocols {
        let offered = HeaderValue::try_from(SUBPROTOCOLS.join(", ")).map_err(|_| unusable(()))?;
        fields.insert(SEC_WEBSOCKET_PROTOCOL, offered);
    }
    Ok(request)
}

fn is_of_the_handshake(name: &HeaderName) -> bool {
    [HOST, CONNECTION, UPGRADE].contains(name) || name.as_str().starts_with("sec-websocket-")
}
