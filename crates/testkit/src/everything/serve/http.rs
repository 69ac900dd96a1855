//! Streamable HTTP.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};

use super::super::{Era, Everything, Hub, Options};

/// An answer of one of the fixtures.
pub(crate) type Response = http::Response<BoxBody<Bytes, Infallible>>;

/// Serves at `/mcp`.
pub(super) async fn serve(listener: TcpListener, options: Options) {
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
    super::accept(listener, |stream| {
        let service = service.clone();
        connection(stream, move |request| {
            let service = service.clone();
            async move {
                if request.uri().path().trim_end_matches('/') == "/mcp" {
                    service.handle(request).await
                } else {
                    plain(http::StatusCode::NOT_FOUND)
                }
            }
        })
    })
    .await;
}

/// Answers the requests of one connection with `answer`.
pub(crate) async fn connection<F, A>(stream: TcpStream, answer: F)
where
    F: Fn(http::Request<Incoming>) -> A + Send + 'static,
    A: Future<Output = Response> + Send,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // A connection that breaks is the client's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An answer without a body.
pub(crate) fn plain(status: http::StatusCode) -> Response {
    let mut response = http::Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}
