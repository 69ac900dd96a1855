//! The server on each transport of its own.

mod converse;
pub(crate) mod http;
mod sse;
mod tcp;
mod ws;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rmcp::ServiceExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Era, Everything, Hub, Options};

/// A server on a port of its own; it ends when this is dropped.
pub struct Server {
    address: SocketAddr,
    url: String,
    task: JoinHandle<()>,
}

/// The server over Streamable HTTP, as most tests need it.
pub type HttpServer = Server;

impl Server {
    /// Streamable HTTP on `address` (port 0: a free one), at `/mcp`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(address: &str, options: Options) -> anyhow::Result<Self> {
        let (listener, address) = listen(address).await?;
        let task = tokio::spawn(http::serve(listener, options));
        Ok(Self::new(address, format!("http://{address}/mcp"), task))
    }

    /// HTTP+SSE of 2024-11-05 on `address`: events at `/sse`, messages to the place that the first event names.
    /// The legacy era whatever the options say.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_sse(address: &str, options: Options) -> anyhow::Result<Self> {
        let (listener, address) = listen(address).await?;
        let options = Options {
            era: Era::Legacy,
            ..options
        };
        let task = tokio::spawn(sse::serve(listener, options));
        Ok(Self::new(address, format!("http://{address}/sse"), task))
    }

    /// WebSocket with the subprotocol `mcp` on `address`, at `/mcp`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_ws(address: &str, options: Options) -> anyhow::Result<Self> {
        let (listener, address) = listen(address).await?;
        let task = tokio::spawn(ws::serve(listener, options));
        Ok(Self::new(address, format!("ws://{address}/mcp"), task))
    }

    /// Framed TCP on `address`; [`Options::token`] says which token gets in.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_tcp(address: &str, options: Options) -> anyhow::Result<Self> {
        let (listener, address) = listen(address).await?;
        let task = tokio::spawn(tcp::serve(listener, options));
        Ok(Self::new(address, format!("tcp://{address}"), task))
    }

    fn new(address: SocketAddr, url: String, task: JoinHandle<()>) -> Self {
        Self { address, url, task }
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Serves until the listener fails.
    pub async fn serve_forever(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one client over standard input and output until its end.
///
/// # Errors
/// When the handshake fails.
pub async fn stdio(options: Options) -> anyhow::Result<()> {
    let server = Everything::new(Arc::new(options), Arc::new(Hub::default()), None);
    let running = server.serve(rmcp::transport::io::stdio()).await?;
    running.waiting().await?;
    Ok(())
}

async fn listen(address: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Accepts connections and gives each to `serve`; they end with the task that accepts them.
pub(crate) async fn accept<F, S>(listener: TcpListener, serve: F)
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream));
    }
}
