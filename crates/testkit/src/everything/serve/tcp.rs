//! Framed TCP: version, token, then a message in each frame.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::{Everything, Hub, Options};
use super::converse::{self, Inbound, QUEUE};
use crate::framed::{self, Frame};

/// Serves frames.
pub(super) async fn serve(listener: TcpListener, options: Options) {
    let (options, hub) = (Arc::new(options), Arc::new(Hub::default()));
    super::accept(listener, |stream| {
        let server = Everything::new(Arc::clone(&options), Arc::clone(&hub), None);
        let token = options.token.clone();
        async move {
            // A connection that breaks is the client's affair.
            let _ = connection(stream, server, token.as_deref()).await;
        }
    })
    .await;
}

async fn connection(stream: TcpStream, server: Everything, token: Option<&str>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    if let Err(refusal) = admit(&mut reader, &mut writer, token).await? {
        Frame::new(framed::ERROR, refusal).write(&mut writer).await?;
        return writer.shutdown().await;
    }
    let (outgoing, written) = mpsc::channel::<Bytes>(QUEUE);
    let health = outgoing.clone();
    let incoming = stream::unfold((reader, health), |(mut reader, health)| async move {
        loop {
            let frame = Frame::read(&mut reader).await.ok().flatten()?;
            match frame.kind {
                framed::REQUEST | framed::RESPONSE => {
                    return Some((Inbound::from(frame.payload), (reader, health)));
                }
                // An empty message is the writer's sign to answer the question for its health.
                framed::HEALTH => health.send(Bytes::new()).await.ok()?,
                _ => {}
            }
        }
    });
    let write = async move {
        let ended = write_all(&mut writer, written).await;
        let _ = writer.shutdown().await;
        ended
    };
    // The server ends when its client left, the writer when the server did.
    let ((), ended) = tokio::join!(converse::run(server, incoming, outgoing), write);
    ended
}

async fn write_all(writer: &mut OwnedWriteHalf, mut written: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(message) = written.recv().await {
        let frame = if message.is_empty() {
            Frame::new(framed::HEALTH, message)
        } else {
            Frame::message(message)
        };
        frame.write(writer).await?;
    }
    Ok(())
}

/// Version and token; or what to say instead.
async fn admit(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    token: Option<&str>,
) -> io::Result<Result<(), &'static str>> {
    let Some(first) = Frame::read(reader).await? else {
        return Ok(Err("nothing came"));
    };
    let offer: Value = serde_json::from_slice(&first.payload).unwrap_or_default();
    let speaks = offer
        .get("supported_versions")
        .and_then(Value::as_array)
        .is_some_and(|versions| versions.contains(&json!(framed::VERSION)));
    if first.kind != framed::NEGOTIATE || !speaks {
        return Ok(Err("the first frame offers no version that is spoken here"));
    }
    let agreed = json!({ "agreed_version": framed::VERSION }).to_string();
    Frame::new(framed::AGREED, agreed).write(writer).await?;
    let Some(second) = Frame::read(reader).await? else {
        return Ok(Err("no token came"));
    };
    let shown = (second.kind == framed::AUTH)
        .then(|| framed::token(&second.payload))
        .flatten();
    Ok(match (shown, token) {
        (None, _) => Err("the second frame holds no token"),
        (Some(shown), Some(token)) if shown != token => Err("another token is needed"),
        _ => Ok(()),
    })
}
