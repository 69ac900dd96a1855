//! A connection that carries whole messages, as a client sees it: HTTP+SSE, WebSocket, framed TCP, standard streams.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::Endpoint;
use crate::framed::{self, Frame};
use crate::http::{Connection, Request, in_time};

/// Messages that may wait in either direction.
const QUEUE: usize = 1024;

/// A connection that carries whole messages; it is closed when this is dropped.
pub struct Talk {
    outgoing: mpsc::Sender<Value>,
    incoming: mpsc::Receiver<Value>,
    _pumps: JoinSet<()>,
    _child: Option<Child>,
}

/// The ends that the tasks of a connection hold.
struct Ends {
    to_send: mpsc::Receiver<Value>,
    received: mpsc::Sender<Value>,
    pumps: JoinSet<()>,
}

impl Talk {
    fn new() -> (Self, Ends) {
        let (outgoing, to_send) = mpsc::channel(QUEUE);
        let (received, incoming) = mpsc::channel(QUEUE);
        let this = Self {
            outgoing,
            incoming,
            _pumps: JoinSet::new(),
            _child: None,
        };
        let ends = Ends {
            to_send,
            received,
            pumps: JoinSet::new(),
        };
        (this, ends)
    }

    /// HTTP+SSE of 2024-11-05: events from `endpoint`, messages to the place that the first event names.
    ///
    /// # Errors
    /// When the stream is refused or begins with something else.
    pub async fn sse(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let authorized = |request: Request| match &endpoint.token {
            Some(token) => request.bearer(token),
            None => request,
        };
        let mut connection = Connection::open(endpoint.address, &endpoint.host).await?;
        let request = Request::get(&endpoint.path).header("Accept", "text/event-stream");
        let head = connection.begin(&authorized(request)).await?;
        anyhow::ensure!(
            head.status == 200 && head.is_event_stream(),
            "no stream: {head:?}"
        );
        let mut events = connection.events();
        let first = in_time("the first event", events.next()).await?;
        let first = first
            .filter(|event| event.event == "endpoint")
            .context("no endpoint event")?;
        let here = url::Url::parse(&format!("http://{}{}", endpoint.host, endpoint.path))?;
        let there = here.join(&first.data)?;
        anyhow::ensure!(there.origin() == here.origin(), "another origin: {there}");
        let path = match there.query() {
            Some(query) => format!("{}?{query}", there.path()),
            None => there.path().to_owned(),
        };
        let (mut this, mut ends) = Self::new();
        ends.pumps.spawn(async move {
            while let Ok(Some(event)) = events.next().await {
                if event.event == "message" && ends.received.send(event.json()).await.is_err() {
                    return;
                }
            }
        });
        let mut poster = Connection::open(endpoint.address, &endpoint.host).await?;
        let token = endpoint.token.clone();
        ends.pumps.spawn(async move {
            while let Some(message) = ends.to_send.recv().await {
                let mut request = Request::post(&path).rpc(&message);
                if let Some(token) = &token {
                    request = request.bearer(token);
                }
                let accepted = poster.ask(&request).await.and_then(|answer| answer.expect(202));
                if accepted.is_err() {
                    return;
                }
            }
        });
        this._pumps = ends.pumps;
        Ok(this)
    }

    /// WebSocket with the subprotocol `mcp`.
    ///
    /// # Errors
    /// When the handshake is refused or the subprotocol is not agreed on.
    pub async fn ws(endpoint: &Endpoint) -> anyhow::Result<Self> {
        match &endpoint.token {
            Some(token) => Self::ws_with(endpoint, &[("authorization", &format!("Bearer {token}"))]).await,
            None => Self::ws_with(endpoint, &[]).await,
        }
    }

    /// WebSocket, opened with these headers in place of the endpoint's token.
    ///
    /// # Errors
    /// When the handshake is refused or the subprotocol is not agreed on.
    pub async fn ws_with(endpoint: &Endpoint, more: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let mut request = format!("ws://{}{}", endpoint.host, endpoint.path).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, "mcp".parse()?);
        for (name, value) in more {
            headers.insert(*name, value.parse()?);
        }
        let stream = connect(endpoint.address).await?;
        let handshake = async { Ok(tokio_tungstenite::client_async(request, stream).await?) };
        let (socket, response) = in_time("the handshake", handshake).await?;
        let agreed = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        anyhow::ensure!(agreed.is_some_and(|name| name == "mcp"), "{response:?}");
        let (mut sink, mut stream) = socket.split();
        let (mut this, mut ends) = Self::new();
        ends.pumps.spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Message::Text(text) = message else { continue };
                let message = serde_json::from_str(&text).unwrap_or(Value::Null);
                if ends.received.send(message).await.is_err() {
                    return;
                }
            }
        });
        ends.pumps.spawn(async move {
            while let Some(message) = ends.to_send.recv().await {
                if sink.send(Message::text(message.to_string())).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        this._pumps = ends.pumps;
        Ok(this)
    }

    /// Framed TCP: version, token, then messages.
    ///
    /// # Errors
    /// With what the other side said, when it does not agree.
    pub async fn tcp(address: std::net::SocketAddr, token: &str, timestamp: u64) -> anyhow::Result<Self> {
        let (mut reader, mut writer) = connect(address).await?.into_split();
        let versions = json!({
            "min_version": framed::VERSION, "max_version": framed::VERSION,
            "preferred_version": framed::VERSION, "supported_versions": [framed::VERSION],
        });
        Frame::new(framed::NEGOTIATE, versions.to_string())
            .write(&mut writer)
            .await?;
        let agreed = in_time("the version", async { Ok(Frame::read(&mut reader).await?) }).await?;
        let agreed = agreed.context("the connection ended before the version")?;
        if agreed.kind != framed::AGREED {
            bail!("{}", String::from_utf8_lossy(&agreed.payload));
        }
        Frame::new(framed::AUTH, framed::auth(token, *b"testkit-testkit-", timestamp))
            .write(&mut writer)
            .await?;
        let (mut this, mut ends) = Self::new();
        ends.pumps.spawn(async move {
            while let Ok(Some(frame)) = Frame::read(&mut reader).await {
                let message = match frame.kind {
                    framed::REQUEST | framed::RESPONSE => {
                        serde_json::from_slice(&frame.payload).unwrap_or(Value::Null)
                    }
                    // Shown as it is, so that a test that waits for something else fails with it.
                    framed::ERROR => json!({ "framed": String::from_utf8_lossy(&frame.payload) }),
                    _ => continue,
                };
                if ends.received.send(message).await.is_err() {
                    return;
                }
            }
        });
        ends.pumps.spawn(async move {
            while let Some(message) = ends.to_send.recv().await {
                let frame = Frame::message(message.to_string().into());
                if frame.write(&mut writer).await.is_err() {
                    return;
                }
            }
        });
        this._pumps = ends.pumps;
        Ok(this)
    }

    /// The standard streams of `command`, which is started; it ends when this is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn stdio(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("its output")?;
        let mut stdin = child.stdin.take().context("its input")?;
        let (mut this, mut ends) = Self::new();
        ends.pumps.spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // Whatever is no message shows itself as `null`.
                let message = serde_json::from_str(&line).unwrap_or(Value::Null);
                if ends.received.send(message).await.is_err() {
                    return;
                }
            }
        });
        ends.pumps.spawn(async move {
            while let Some(message) = ends.to_send.recv().await {
                let line = format!("{message}\n");
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        (this._pumps, this._child) = (ends.pumps, Some(child));
        Ok(this)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send(&self, message: Value) -> anyhow::Result<()> {
        let sent = self.outgoing.send(message).await;
        sent.ok().context("the connection is closed")
    }

    /// The next message.
    ///
    /// # Errors
    /// When the connection is closed, or nothing comes in time.
    pub async fn receive(&mut self) -> anyhow::Result<Value> {
        in_time("the next message", async {
            self.incoming.recv().await.context("the connection is closed")
        })
        .await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's client, not the product's way out"
)]
async fn connect(address: std::net::SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
