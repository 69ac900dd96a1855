//! Over Streamable HTTP, with sessions.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::{Out, Server, lock};

type Body = BoxBody<Bytes, Infallible>;

/// The session's header.
const SESSION: &str = "mcp-session-id";

/// The one session id that it gives out: what is tested is the gateway's.
const ID: &str = "legacy-tasks";

/// A server on a port of its own; it ends when this is dropped.
pub struct HttpServer {
    address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on a free port of the loopback interface and answers at `/mcp`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&server)));
        Ok(Self {
            address,
            server,
            task,
        })
    }

    /// The URL of the MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What it knows.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who listens to what belongs to no request.
type Listeners = Arc<Mutex<Vec<Out>>>;

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let listeners = Listeners::default();
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let (server, listeners) = (Arc::clone(&server), Arc::clone(&listeners));
        connections.spawn(async move {
            let answer =
                service_fn(move |request| answer(request, Arc::clone(&server), Arc::clone(&listeners)));
            // A connection that breaks is the client's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    server: Arc<Server>,
    listeners: Listeners,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        let (out, said) = mpsc::unbounded_channel();
        lock(&listeners).push(out);
        return Ok(events(said));
    }
    if parts.method != Method::POST {
        return Ok(plain(StatusCode::OK));
    }
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    if is_modern(&parts.headers, &message) {
        return Ok(plain(StatusCode::BAD_REQUEST));
    }
    let (session, mut told) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(message) = told.recv().await {
            lock(&listeners).retain(|listener| listener.send(message.clone()).is_ok());
        }
    });
    let (out, said) = mpsc::unbounded_channel();
    let is_request = message.get("id").is_some() && message.get("method").is_some();
    let taking = server.take(message, out.clone(), session);
    if !is_request {
        let _ = taking.await;
        return Ok(plain(StatusCode::ACCEPTED));
    }
    tokio::spawn(async move {
        tokio::select! {
            // The client has gone.
            () = out.closed() => {}
            answer = taking => {
                let _ = out.send(answer.unwrap_or_default());
            }
        }
    });
    Ok(events(said))
}

/// Whether a request is one that only newer servers understand.
fn is_modern(headers: &HeaderMap, message: &Value) -> bool {
    let version = headers.get("mcp-protocol-version");
    let discovers = super::text(message, "method") == "server/discover";
    version.is_some_and(|version| version == "2026-07-28") || discovers
}

fn events(said: mpsc::UnboundedReceiver<Value>) -> Response<Body> {
    let frames = futures_util::stream::unfold(said, |mut said| async {
        let message = said.recv().await?;
        let event = format!("event: message\ndata: {message}\n\n");
        Some((Ok(Frame::data(Bytes::from(event))), said))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed());
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(SESSION, http::HeaderValue::from_static(ID));
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let body = if status.is_success() {
        Empty::new().boxed()
    } else {
        Full::new(Bytes::from_static(b"{}")).boxed()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
