//! WebSocket: a message of MCP is a text message of RFC 6455.
#![expect(
    clippy::result_large_err,
    reason = "the library's call-back returns a whole answer"
)]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, future};
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::super::{Everything, Hub, Options};
use super::converse::{self, Inbound, QUEUE};

/// Serves at `/mcp`.
pub(super) async fn serve(listener: TcpListener, options: Options) {
    let (options, hub) = (Arc::new(options), Arc::new(Hub::default()));
    super::accept(listener, |stream| {
        let server = Everything::new(Arc::clone(&options), Arc::clone(&hub), None);
        connection(stream, server)
    })
    .await;
}

fn shake_hands(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path().trim_end_matches('/') != "/mcp" {
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = http::StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    let offered = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == "mcp");
    if offered {
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mcp"));
    }
    Ok(response)
}

async fn connection(stream: TcpStream, server: Everything) {
    let mut parts = None;
    let remember = |request: &Request, response| {
        parts = Some(request.clone().into_parts().0);
        shake_hands(request, response)
    };
    let Ok(socket) = tokio_tungstenite::accept_hdr_async(stream, remember).await else {
        return;
    };
    let (mut sink, stream) = socket.split();
    let incoming = stream
        .take_while(|message| future::ready(message.is_ok()))
        .filter_map(move |message| {
            let message = match message {
                Ok(Message::Text(text)) => Some(Bytes::from(text)),
                // Pings are answered by the library; MCP has no binary messages.
                _ => None,
            };
            let parts = parts.clone();
            future::ready(message.map(|message| Inbound { message, parts }))
        });
    let (outgoing, mut written) = mpsc::channel::<Bytes>(QUEUE);
    let write = async move {
        while let Some(message) = written.recv().await {
            let text = String::from_utf8_lossy(&message).into_owned();
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    // The server ends when its client left, the writer when the server did.
    tokio::join!(converse::run(server, incoming, outgoing), write);
}
