//! Small MCP servers on loopback: one function answers each message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::sync::lock;

/// What came in.
#[derive(Clone, Debug)]
pub(super) struct Came {
    pub(super) head: String,
    pub(super) message: Value,
    /// The message byte for byte.
    pub(super) raw: String,
}

impl Came {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// What goes out.
pub(super) enum Goes {
    /// One JSON document.
    Json(u16, Value),
    /// One JSON document, in a session of this id.
    Session(String, Value),
    /// One JSON document, byte for byte.
    Raw(String),
    /// Events as they are sent; the end of the channel is the end of the stream.
    Events(mpsc::UnboundedReceiver<Value>),
    /// One JSON document in parts, as they are sent. The end of the channel is the end of the body if it `ends`, else of
    /// the connection.
    Parts {
        parts: mpsc::UnboundedReceiver<Vec<u8>>,
        ends: bool,
    },
    /// 202.
    Nothing,
}

type Answering = dyn Fn(&Came) -> Goes + Send + Sync;

/// A server.
pub(super) struct Fake {
    pub(super) at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    accepting: JoinHandle<()>,
}

impl Fake {
    pub(super) async fn start(answer: impl Fn(&Came) -> Goes + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    /// The same at a given address.
    pub(super) async fn start_at(
        at: SocketAddr,
        answer: impl Fn(&Came) -> Goes + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let came = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answering>, _) = (Arc::new(answer), Arc::clone(&came));
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen)));
            }
        });
        Self { at, came, accepting }
    }

    /// Ends it with all its connections; nobody listens at its address any more.
    pub(super) async fn stop(self) {
        self.accepting.abort();
        let _ended = self.accepting.await;
    }

    /// How many requests of any kind have come.
    pub(super) fn all(&self) -> usize {
        lock(&self.came).len()
    }

    /// The answers to a question of this id that have come.
    pub(super) fn answers(&self, id: &str) -> Vec<Came> {
        let came = lock(&self.came);
        let answers = |came: &&Came| came.message["id"] == id && came.message.get("method").is_none();
        came.iter().filter(answers).cloned().collect()
    }

    /// The messages of this method that have come.
    pub(super) fn came(&self, method: &str) -> Vec<Came> {
        let came = lock(&self.came);
        came.iter()
            .filter(|c| c.message["method"] == method)
            .cloned()
            .collect()
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<Answering>, seen: Arc<Mutex<Vec<Came>>>) {
    let mut buffer = Vec::new();
    while let Some(came) = read(&mut stream, &mut buffer).await {
        lock(&seen).push(came.clone());
        let goes = if came.head.starts_with("POST") || came.head.starts_with("DELETE") {
            answer(&came)
        } else {
            Goes::Json(405, Value::Null)
        };
        if write(&mut stream, goes).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Came> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break String::from_utf8(buffer.drain(..end + 4).collect()).ok()?;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let length: usize = length.unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body: Vec<u8> = buffer.drain(..length).collect();
    let message = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let raw = String::from_utf8(body).ok()?;
    Some(Came { head, message, raw })
}

async fn write(stream: &mut TcpStream, goes: Goes) -> std::io::Result<()> {
    match goes {
        Goes::Nothing => {
            stream
                .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                .await
        }
        Goes::Raw(body) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await
        }
        Goes::Json(status, value) => document(stream, status, "up-1", &value).await,
        Goes::Session(id, value) => document(stream, 200, &id, &value).await,
        Goes::Parts { mut parts, ends } => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            while let Some(part) = parts.recv().await {
                if part.is_empty() {
                    continue;
                }
                stream
                    .write_all(format!("{:x}\r\n", part.len()).as_bytes())
                    .await?;
                stream.write_all(&part).await?;
                stream.write_all(b"\r\n").await?;
            }
            if !ends {
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            stream.write_all(b"0\r\n\r\n").await
        }
        Goes::Events(mut events) => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            while let Some(event) = events.recv().await {
                let event = format!("event: message\ndata: {event}\n\n");
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                stream.write_all(chunk.as_bytes()).await?;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
    }
}

async fn document(stream: &mut TcpStream, status: u16, session: &str, value: &Value) -> std::io::Result<()> {
    let body = value.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nmcp-session-id: {session}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// The answer with this result.
pub(super) fn result(came: &Came, result: Value) -> Goes {
    Goes::Json(
        200,
        json!({"jsonrpc": "2.0", "id": came.message["id"], "result": result}),
    )
}

/// What a legacy server with these tools says besides `tools/call`; `None` for a call.
pub(super) fn legacy(came: &Came, tools: &[&str]) -> Option<Goes> {
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}, "vendor": 1.50});
    Some(match came.message["method"].as_str() {
        Some("initialize") => result(
            came,
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "fake", "version": "1"}}),
        ),
        Some("tools/list") => result(came, json!({"tools": tools.iter().map(tool).collect::<Vec<_>>()})),
        Some("tools/call") => return None,
        Some(method) if !method.starts_with("notifications/") => Goes::Json(
            200,
            json!({"jsonrpc": "2.0", "id": came.message["id"], "error": {"code": -32601, "message": "no"}}),
        ),
        _ => Goes::Nothing,
    })
}

/// What a modern server with these tools says besides `tools/call`; `None` for a call.
pub(super) fn modern(came: &Came, tools: &[&str]) -> Option<Goes> {
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
    Some(match came.message["method"].as_str() {
        Some("server/discover") => result(
            came,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                "ttlMs": 0, "cacheScope": "private"}),
        ),
        Some("tools/list") => result(
            came,
            json!({"resultType": "complete", "tools": tools.iter().map(tool).collect::<Vec<_>>(),
                "ttlMs": 60000, "cacheScope": "public"}),
        ),
        Some("tools/call") => return None,
        Some("initialize") => Goes::Json(
            400,
            json!({"jsonrpc": "2.0", "id": came.message["id"], "error": {"code": -32022, "message": "no",
                "data": {"supported": ["2026-07-28"], "requested": "2025-11-25"}}}),
        ),
        _ => Goes::Json(
            404,
            json!({"jsonrpc": "2.0", "id": came.message["id"], "error": {"code": -32601, "message": "no"}}),
        ),
    })
}
