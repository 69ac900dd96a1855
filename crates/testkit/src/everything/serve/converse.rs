//! One client over a connection that carries whole messages.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::request::Parts;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::{RoleServer, ServiceExt as _};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::Everything;

/// Messages that may wait to be written or to be read.
pub(super) const QUEUE: usize = 256;

/// A message that came in, with the HTTP request that carried it where there was one.
pub(super) struct Inbound {
    pub(super) message: Bytes,
    pub(super) parts: Option<Parts>,
}

impl From<Bytes> for Inbound {
    fn from(message: Bytes) -> Self {
        Self { message, parts: None }
    }
}

/// Serves the client whose messages come from `incoming` and who reads `outgoing`, until one of them ends.
pub(super) async fn run<S>(server: Everything, incoming: S, outgoing: mpsc::Sender<Bytes>)
where
    S: Stream<Item = Inbound> + Send + 'static,
{
    let complain = outgoing.clone();
    let stream = incoming.filter_map(move |inbound| {
        let complain = complain.clone();
        async move {
            let parsed = serde_json::from_slice::<RxJsonRpcMessage<RoleServer>>(&inbound.message);
            let Ok(mut message) = parsed else {
                let error = json!({ "code": -32700, "message": "this is no message" });
                let error = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
                // Nobody reads any more: the stream ends by itself.
                let _ = complain.send(error.into()).await;
                return None;
            };
            if let Some(parts) = inbound.parts {
                message.insert_extension(parts);
            }
            Some(message)
        }
    });
    let write = |outgoing: mpsc::Sender<Bytes>, message: TxJsonRpcMessage<RoleServer>| async move {
        let bytes = serde_json::to_vec(&message).map_err(io::Error::other)?;
        let sent = outgoing.send(bytes.into()).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok::<_, io::Error>(outgoing)
    };
    let sink = futures_util::sink::unfold(outgoing, write);
    // A handshake that fails ends the connection, and that is all that a client sees.
    if let Ok(running) = server.serve((Box::pin(sink), Box::pin(stream))).await {
        let _ = running.waiting().await;
    }
}
