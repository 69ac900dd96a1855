//! A server over WebSocket that does with each message what a test says, and remembers what it was told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use sallyport_net::listen::{ListenOptions, Listener, ServerHandle, Service};
use sallyport_net::{Duplex, Inbound, Response, Worker, ws};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What it does.
pub(super) enum Act {
    /// Says this.
    Say(String),
    /// Closes the connection in good order.
    Close,
    /// Drops the connection without a word.
    Cut,
}

/// A message as it came, and over which connection.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) connection: usize,
    pub(super) message: Value,
}

impl Told {
    pub(super) fn method(&self) -> &str {
        self.message["method"].as_str().unwrap_or_default()
    }

    pub(super) fn answer(&self, result: &str) -> Act {
        let id = &self.message["id"];
        Act::Say(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
    }

    /// What a legacy server says to everything but calls.
    pub(super) fn legacy_manners(&self) -> Option<Vec<Act>> {
        let id = &self.message["id"];
        Some(vec![match self.method() {
            "server/discover" => Act::Say(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#
            )),
            "initialize" => self.answer(
                r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"w","version":"1"}}"#,
            ),
            "tools/list" => self.answer(r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#),
            "tools/call" => return None,
            _ => return Some(Vec::new()),
        }])
    }

    /// What a modern server says to everything but calls.
    pub(super) fn modern_manners(&self) -> Option<Vec<Act>> {
        let id = &self.message["id"];
        Some(vec![match self.method() {
            "server/discover" => self.answer(
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
            ),
            "tools/list" => self.answer(
                r#"{"resultType":"complete","tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
            ),
            "subscriptions/listen" => {
                let asked = &self.message["params"]["notifications"];
                Act::Say(format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"notifications":{asked}}}}}"#
                ))
            }
            "tools/call" => return None,
            _ => return Some(Vec::new()),
        }])
    }
}

/// The server.
pub(super) struct Talker {
    pub(super) port: u16,
    told: Arc<Mutex<Vec<Told>>>,
    heads: Arc<Mutex<Vec<http::HeaderMap>>>,
    handle: Option<ServerHandle>,
}

type Acting = dyn Fn(&Told) -> Vec<Act> + Send + Sync;

struct Door {
    acting: Arc<Acting>,
    told: Arc<Mutex<Vec<Told>>>,
    heads: Arc<Mutex<Vec<http::HeaderMap>>>,
    connections: AtomicUsize,
}

impl Talker {
    pub(super) fn start(acting: impl Fn(&Told) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let (told, heads): (Arc<Mutex<Vec<Told>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let door = Door {
            acting: Arc::new(acting),
            told: Arc::clone(&told),
            heads: Arc::clone(&heads),
            connections: AtomicUsize::new(0),
        };
        let listener = Listener::bind(ListenOptions {
            workers: 1,
            ..ListenOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        });
        let listener = listener.expect("a port");
        let port = listener.local_addrs()[0].port();
        let handle = listener
            .serve(Arc::new(door), CancellationToken::new())
            .expect("threads");
        Self {
            port,
            told,
            heads,
            handle: Some(handle),
        }
    }

    /// All messages of this method so far.
    pub(super) fn told(&self, method: &str) -> Vec<Told> {
        let told = self.told.lock().expect("no panic");
        told.iter()
            .filter(|told| told.method() == method)
            .cloned()
            .collect()
    }

    /// The heads of the opening handshakes.
    pub(super) fn heads(&self) -> Vec<http::HeaderMap> {
        self.heads.lock().expect("no panic").clone()
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
        }
    }
}

impl Service for Door {
    async fn call(&self, _: &Arc<Worker>, inbound: Inbound) -> Response {
        self.heads
            .lock()
            .expect("no panic")
            .push(inbound.parts.headers.clone());
        let connection = self.connections.fetch_add(1, Ordering::SeqCst);
        let (acting, told) = (Arc::clone(&self.acting), Arc::clone(&self.told));
        match ws::accept(inbound, ws::Options::default()) {
            Err(error) => error.answer(),
            Ok((response, opened)) => {
                tokio::spawn(async move {
                    if let Ok(duplex) = opened.await {
                        talk(connection, duplex, &*acting, &told).await;
                    }
                });
                response
            }
        }
    }
}

async fn talk(connection: usize, duplex: Duplex, acting: &Acting, all: &Mutex<Vec<Told>>) {
    let Duplex {
        mut incoming,
        mut outgoing,
    } = duplex;
    while let Some(Ok(message)) = incoming.next().await {
        let told = Told {
            connection,
            message: serde_json::from_slice(&message).expect("JSON"),
        };
        all.lock().expect("no panic").push(told.clone());
        for act in acting(&told) {
            match act {
                Act::Say(text) => {
                    if outgoing.send(Bytes::from(text)).await.is_err() {
                        return;
                    }
                }
                Act::Close => {
                    let _closed = outgoing.close().await;
                    return;
                }
                Act::Cut => return,
            }
        }
    }
}
