//! One request: the doors, then the MCP endpoints on the worker that took it in, or everything else on the control
//! runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use http::{Method, StatusCode, Uri};
use sallyport_core::RequestId;
use sallyport_net::layers::{DoorError, secure, strict_transport};
use sallyport_net::{Inbound, Response, Service, Worker, respond};
use sallyport_proxy::{Proxy, is_verify};
use tokio::runtime::Handle;
use tower::ServiceExt as _;

use super::live::Live;
use super::websocket;

/// The longest path that is logged, in bytes.
const LOGGED_PATH: usize = 256;

/// What answers on `listen`.
pub(super) struct Front {
    pub(super) live: Arc<Live>,
    /// OAuth and pages; none with `auth.mode: none`.
    pub(super) router: Option<Router>,
    pub(super) control: Handle,
    /// Whether browsers reach us by https.
    pub(super) is_https: bool,
}

impl Service for Front {
    async fn call(&self, worker: &Arc<Worker>, mut inbound: Inbound) -> Response {
        let doors = self.live.doors.load();
        let is_trusted = doors.trusts(inbound.peer);
        let client = doors.client(&inbound.parts.headers, inbound.peer);
        inbound.peer = SocketAddr::new(client, inbound.peer.port());
        let line = Line::begin(&inbound);
        let mut response = if is_verify(inbound.parts.uri.path()) {
            self.live.issuers.learn(&inbound.parts.headers, client).await;
            self.live.proxy.verify(&inbound, is_trusted)
        } else {
            match doors.check(&inbound.parts) {
                Ok(()) => self.answer(worker, inbound).await,
                Err(error) => turned_away(error),
            }
        };
        secure(response.headers_mut());
        if self.is_https {
            strict_transport(response.headers_mut());
        }
        if let Some(line) = line {
            line.end(response.status());
        }
        response
    }
}

impl Front {
    async fn answer(&self, worker: &Arc<Worker>, inbound: Inbound) -> Response {
        let parts = &inbound.parts;
        if Proxy::owns(parts.uri.path()) {
            let client = inbound.peer.ip();
            self.live.issuers.learn(&parts.headers, client).await;
        }
        if let Some(endpoint) = websocket::endpoint(parts.uri.path(), &parts.headers) {
            let endpoint = endpoint.to_owned();
            return websocket::open(&self.live, worker, inbound, endpoint);
        }
        if Proxy::owns(inbound.parts.uri.path()) {
            return self.live.proxy.handle(worker, inbound).await;
        }
        let Some(router) = self.router.clone() else {
            return respond::not_found();
        };
        let client = inbound.peer.ip();
        let request = inbound.into_request(client);
        // Log-ins hash and write: never on a thread that carries MCP traffic.
        match self.control.spawn(router.oneshot(request)).await {
            Ok(Ok(response)) => response.map(sallyport_net::Body::from),
            Ok(Err(never)) => match never {},
            Err(error) => {
                tracing::error!(%error, "a request's handler did not come to its end");
                respond::empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

fn turned_away(error: DoorError) -> Response {
    tracing::info!(reason = error.label(), "turned away at the door");
    respond::text(error.status(), format!("{error}\n"))
}

/// The log's one line for a request. No query string: it may hold codes and links.
struct Line {
    id: RequestId,
    method: Method,
    path: Uri,
    peer: SocketAddr,
    since: Instant,
    /// A request to an MCP endpoint, or a proxy's question: the audit trail has the call already, or the proxy's log has the
    /// request, so that success is not worth a line.
    is_frequent: bool,
}

impl Line {
    /// Nothing is kept where nobody listens.
    fn begin(inbound: &Inbound) -> Option<Self> {
        if !tracing::enabled!(target: "sallyport::request", tracing::Level::INFO) {
            return None;
        }
        Some(Self {
            id: inbound.id,
            method: inbound.parts.method.clone(),
            path: inbound.parts.uri.clone(),
            peer: inbound.peer,
            since: Instant::now(),
            is_frequent: Proxy::owns(inbound.parts.uri.path()) || is_verify(inbound.parts.uri.path()),
        })
    }

    fn end(&self, status: StatusCode) {
        let path = self.path.path();
        let path = path.get(..path.len().min(LOGGED_PATH)).unwrap_or_default();
        let Self { id, method, .. } = self;
        let (ms, peer) = (self.since.elapsed().as_millis(), self.peer.ip());
        let status_code = status.as_u16();
        if self.is_frequent && status_code < 400 {
            tracing::debug!(
                target: "sallyport::request",
                %id, %method, path, status = status_code, %ms, %peer, "request"
            );
        } else {
            tracing::info!(
                target: "sallyport::request",
                %id, %method, path, status = status_code, %ms, %peer, "request"
            );
        }
    }
}
