//! The server over HTTP and over stdio.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::ServiceExt as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Era, Everything, Hub, Options};

/// A server on a port of its own; it ends when this is dropped.
pub struct HttpServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Listens on `address` (port 0: a free one) and answers at `/mcp`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(address: &str, options: Options) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, options));
        Ok(Self { address, task })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of the MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Serves until the listener fails.
    pub async fn serve_forever(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, options: Options) {
    let era = options.era;
    let options = Arc::new(options);
    let hub = Arc::new(Hub::default());
    let sessions = Arc::new(LocalSessionManager::default());
    let for_handlers = Arc::clone(&sessions);
    let factory = move || {
        Ok(Everything::new(
            Arc::clone(&options),
            Arc::clone(&hub),
            Some(Arc::clone(&for_handlers)),
        ))
    };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(era != Era::Modern)
        .with_stateless_protocol_metadata_required(era == Era::Modern)
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"]);
    let service = StreamableHttpService::new(factory, sessions, config);
    // Connections end with the task that accepts them.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let service = service.clone();
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let service = service.clone();
                async move {
                    if request.uri().path().trim_end_matches('/') == "/mcp" {
                        Ok::<_, std::convert::Infallible>(service.handle(request).await)
                    } else {
                        Ok(not_found())
                    }
                }
            });
            // A connection that breaks is the client's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn not_found() -> http::Response<http_body_util::combinators::BoxBody<bytes::Bytes, std::convert::Infallible>>
{
    use http_body_util::BodyExt as _;
    let mut response = http::Response::new(http_body_util::Empty::new().boxed());
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
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
