//! One request: the doors, then the MCP endpoints on the worker that took it in, or everything else on the control
//! runtime.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Instant;

use axum::Router;
use http::StatusCode;
use http::request::Parts;
use sallyport_core::RequestId;
use sallyport_net::layers::{DoorError, Doors};
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
}

/// Where a request goes.
enum Way {
    /// To an MCP endpoint.
    Endpoint,
    /// To what proxies in front ask; whether the one that asks is trusted.
    Verify(bool),
    /// Anywhere else.
    Other,
}

/// A head has passed the doors on its way to an MCP endpoint, and passes them again as long as they are the same.
struct Passed {
    doors: Weak<Doors>,
    /// The client's address.
    client: IpAddr,
}

impl Service for Front {
    async fn call(&self, worker: &Arc<Worker>, mut inbound: Inbound) -> Response {
        let way = self.pass(&mut inbound);
        let line = Line::begin(&inbound, &way);
        let response = match way {
            Ok(Way::Endpoint) => {
                self.learn(&inbound).await;
                self.live.proxy.handle(worker, inbound).await
            }
            Ok(Way::Verify(is_trusted)) => {
                self.learn(&inbound).await;
                self.live.proxy.verify(&inbound, is_trusted)
            }
            // In a box: the future of every request has room for it otherwise.
            Ok(Way::Other) => Box::pin(self.answer(worker, inbound)).await,
            Err(error) => turned_away(error),
        };
        if let Some(line) = line {
            line.end(response.status());
        }
        response
    }
}

impl Front {
    /// Finds out who sent a request and where it goes.
    ///
    /// # Errors
    /// The doors turn it away.
    fn pass(&self, inbound: &mut Inbound) -> Result<Way, DoorError> {
        let doors = self.live.doors.load();
        let same = |passed: &Arc<Passed>| std::ptr::eq(passed.doors.as_ptr(), Arc::as_ptr(&doors));
        if let Some(passed) = inbound.memo.recall::<Passed>().filter(same) {
            inbound.peer.set_ip(passed.client);
            return Ok(Way::Endpoint);
        }
        let is_trusted = doors.trusts(inbound.peer);
        let client = doors.client(&inbound.parts.headers, inbound.peer);
        inbound.peer.set_ip(client);
        let path = inbound.parts.uri.path();
        if is_verify(path) {
            return Ok(Way::Verify(is_trusted));
        }
        doors.check(&inbound.parts)?;
        if !Proxy::owns(path) {
            return Ok(Way::Other);
        }
        if websocket::endpoint(path, &inbound.parts.headers).is_some() {
            return Ok(Way::Other);
        }
        let doors = Arc::downgrade(&doors);
        inbound.memo.keep(Arc::new(Passed { doors, client }));
        Ok(Way::Endpoint)
    }

    /// Gets what is missing to judge another issuer's token.
    async fn learn(&self, inbound: &Inbound) {
        let client = inbound.peer.ip();
        self.live.issuers.learn(&inbound.parts.headers, client).await;
    }

    async fn answer(&self, worker: &Arc<Worker>, inbound: Inbound) -> Response {
        let parts = &inbound.parts;
        if let Some(endpoint) = websocket::endpoint(parts.uri.path(), &parts.headers) {
            let endpoint = endpoint.to_owned();
            if Proxy::owns(parts.uri.path()) {
                self.learn(&inbound).await;
            }
            return websocket::open(&self.live, worker, inbound, endpoint);
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
    parts: Arc<Parts>,
    peer: SocketAddr,
    since: Instant,
    /// A request to an MCP endpoint, or a proxy's question: the audit trail has the call already, or the proxy's log has the
    /// request, so that success is not worth a line.
    is_frequent: bool,
}

impl Line {
    /// Nothing is kept where nobody listens.
    fn begin(inbound: &Inbound, way: &Result<Way, DoorError>) -> Option<Self> {
        if !tracing::enabled!(target: "sallyport::request", tracing::Level::INFO) {
            return None;
        }
        Some(Self {
            id: inbound.id,
            parts: Arc::clone(&inbound.parts),
            peer: inbound.peer,
            since: Instant::now(),
            is_frequent: matches!(way, Ok(Way::Endpoint | Way::Verify(_))),
        })
    }

    fn end(&self, status: StatusCode) {
        let is_told_to_few = self.is_frequent && !status.is_client_error() && !status.is_server_error();
        if is_told_to_few && !tracing::enabled!(target: "sallyport::request", tracing::Level::DEBUG) {
            return;
        }
        let path = self.parts.uri.path();
        let path = path.get(..path.len().min(LOGGED_PATH)).unwrap_or_default();
        let (id, method) = (self.id, &self.parts.method);
        let (ms, peer) = (self.since.elapsed().as_millis(), self.peer.ip());
        let status_code = status.as_u16();
        if is_told_to_few {
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
