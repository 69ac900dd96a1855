//! The gateway's own use of a server, through which the supervisor learns what it offers.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_mcp::method::Method;

use super::demo;
use super::ground::Ground;
use super::http::Modern;
use super::lists::Asking;
use super::modern::Way;
use super::request::{RequestError, Requests};
use super::slot::Slot;

/// The gateway's own use of a server.
#[derive(Clone)]
pub(crate) enum Control {
    /// A legacy session, or a conversation of either era.
    Slot(Arc<Slot>),
    /// A modern server over HTTP.
    Http(Arc<Ground>, Arc<Modern>),
    /// The server in this process.
    Demo,
}

impl Control {
    /// Becomes ready when contact is lost; where that cannot be told, never.
    pub(crate) async fn lost(&self) {
        match self {
            Self::Slot(slot) => {
                if let Some(wire) = slot.alive() {
                    wire.ended().await;
                }
            }
            Self::Http(..) | Self::Demo => std::future::pending().await,
        }
    }

    /// The way by which listen streams are opened; none to a legacy server.
    pub(crate) fn modern(&self) -> Option<Way> {
        match self {
            Self::Http(_, modern) => Some(Way::Http(Arc::clone(modern))),
            Self::Slot(slot) if slot.era == sallyport_mcp::Era::Modern => Some(Way::Slot(Arc::clone(slot))),
            Self::Slot(_) | Self::Demo => None,
        }
    }
}

impl Requests for Control {
    async fn request(&self, method: Method, params: Bytes) -> Result<Bytes, RequestError> {
        match self {
            Self::Slot(slot) => slot.request(&slot.ground.worker, method, params).await,
            Self::Http(ground, modern) => {
                let asking = Asking {
                    server: modern,
                    worker: &ground.worker,
                    patience: ground.spec.limits.handshake,
                };
                asking.request(method, params).await
            }
            Self::Demo => demo::request(method, &params),
        }
    }
}
