//! Streams that stay open and say nothing.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::load::Target;

/// How many are opened at once.
const AT_ONCE: usize = 64;

/// Opens `count` streams of `subscriptions/listen`, each on a connection of its own, and returns once every one of them
/// has been acknowledged. They end when the value is dropped.
///
/// # Errors
/// The first that is not acknowledged.
pub async fn open(target: &Target, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for id in 1..=count {
        let (target, places) = (target.clone(), Arc::clone(&places));
        opening.spawn(async move {
            let _place = places.acquire_owned().await?;
            one(&target, id).await
        });
    }
    let mut open = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        open.push(opened??);
    }
    Ok(open)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the load generator is a client of its own"
)]
async fn one(target: &Target, id: usize) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(&target.authority).await.context("connect")?;
    stream.write_all(&request(target, id)).await?;
    let mut answer = Vec::new();
    while memmem::find(&answer, b"notifications/subscriptions/acknowledged").is_none() {
        if stream.read_buf(&mut answer).await? == 0 || answer.len() > 64 * 1024 {
            bail!("stream {id}: {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(stream)
}

fn request(target: &Target, id: usize) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"notifications":{{"toolsListChanged":true}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"sallyport-bench-idle","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let token = target
        .token
        .as_ref()
        .map(|token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: {}\r\n{}\r\n{body}",
        target.path,
        target.authority,
        body.len(),
        token.unwrap_or_default()
    )
    .into_bytes()
}
