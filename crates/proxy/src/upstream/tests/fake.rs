//! An HTTP server that answers as a test tells it to and remembers every byte that it got.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
}

impl Seen {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The JSON-RPC method.
    pub(super) fn method(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The raw id.
    pub(super) fn id(&self) -> String {
        self.json()["id"].to_string()
    }
}

/// What is sent back.
pub(super) enum Back {
    /// These bytes; the connection stays open for the next request.
    Send(String),
    /// These pieces, one after the other as the sender lets go; `None` closes the connection.
    Pieces(tokio::sync::mpsc::Receiver<String>),
    /// These bytes, then nothing more, and the connection stays open.
    Stall(String),
}

type Answering = Pin<Box<dyn Future<Output = Back> + Send>>;

/// The server.
pub(super) struct Fake {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    closed: Arc<Mutex<usize>>,
}

impl Fake {
    /// Answers each request with what `answer` makes of it.
    pub(super) async fn start<F>(answer: F) -> Self
    where
        F: Fn(Seen) -> Back + Send + Sync + 'static,
    {
        Self::slow(move |seen| {
            let back = answer(seen);
            Box::pin(async move { back }) as Answering
        })
        .await
    }

    async fn slow<F>(answer: F) -> Self
    where
        F: Fn(Seen) -> Answering + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (seen, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (answer, all, gone) = (Arc::new(answer), Arc::clone(&seen), Arc::clone(&closed));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, all, gone) = (Arc::clone(&answer), Arc::clone(&all), Arc::clone(&gone));
                tokio::spawn(async move {
                    serve(socket, &*answer, &all).await;
                    *gone.lock().expect("no panic") += 1;
                });
            }
        });
        Self { port, seen, closed }
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// The requests of one JSON-RPC method.
    pub(super) fn calls(&self, method: &str) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.method() == method)
            .collect()
    }

    /// How many connections have ended.
    pub(super) fn closed(&self) -> usize {
        *self.closed.lock().expect("no panic")
    }
}

async fn serve(mut socket: TcpStream, answer: &(impl Fn(Seen) -> Answering + Sync), all: &Mutex<Vec<Seen>>) {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut socket, &mut buffer).await {
        all.lock().expect("no panic").push(seen.clone());
        match answer(seen).await {
            Back::Send(text) => {
                if socket.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Back::Stall(text) => {
                let _ = socket.write_all(text.as_bytes()).await;
                let _ = socket.read(&mut [0]).await;
                return;
            }
            Back::Pieces(mut pieces) => {
                let mut probe = [0];
                loop {
                    tokio::select! {
                        piece = pieces.recv() => match piece {
                            Some(piece) if socket.write_all(piece.as_bytes()).await.is_ok() => {}
                            _ => return,
                        },
                        read = socket.read(&mut probe) => if !matches!(read, Ok(1..)) { return },
                    }
                }
            }
        }
    }
}

async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let mut seen = Seen {
                head,
                body: String::new(),
            };
            let length: usize = seen
                .header("content-length")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                seen.body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return Some(seen);
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A response with a body of this type.
pub(super) fn typed(status: &str, content_type: &str, body: &str) -> Back {
    let length = body.len();
    Back::Send(format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

pub(super) fn json(body: &str) -> Back {
    typed("200 OK", "application/json", body)
}

pub(super) fn status(status: &str) -> Back {
    Back::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))
}

pub(super) fn result(seen: &Seen, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.id())
}

/// Events in one piece.
pub(super) fn events(messages: &[&str]) -> Back {
    let body: String = messages
        .iter()
        .map(|message| format!("data: {message}\n\n"))
        .collect();
    typed("200 OK", "text/event-stream", &body)
}

/// The head of a stream that goes on.
pub(super) const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

pub(super) const TEXT: &str = r#"{"content":[{"type":"text","text":"hi"}]}"#;

/// What a modern server answers to everything but calls.
pub(super) fn modern_manners(seen: &Seen) -> Option<Back> {
    Some(match seen.method().as_str() {
        "server/discover" => json(&result(
            seen,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#,
        )),
        "tools/list" => json(&result(
            seen,
            r#"{"resultType":"complete","tools":[{"name":"t","inputSchema":{"type":"object"}}],"ttlMs":0,"cacheScope":"private"}"#,
        )),
        _ => return None,
    })
}

/// What a legacy server answers to everything but calls. It has one session, `s1`.
pub(super) fn legacy_manners(seen: &Seen) -> Option<Back> {
    if seen.head.starts_with("GET") {
        return Some(status("405 Method Not Allowed"));
    }
    if seen.head.starts_with("DELETE") {
        return Some(status("200 OK"));
    }
    Some(match seen.method().as_str() {
        "initialize" => {
            let body = result(
                seen,
                r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"logging":{}},"serverInfo":{"name":"f","version":"1"}}"#,
            );
            Back::Send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
        }
        "server/discover" => status("400 Bad Request"),
        "tools/list" => json(&result(
            seen,
            r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
        )),
        "tools/call" => return None,
        _ => status("202 Accepted"),
    })
}
