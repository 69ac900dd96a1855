//! A session at a server that an earlier process has opened: gone on with, if the server still knows it.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::fault::{Fault, Retry};
use sallyport_mcp::capabilities::InitializeResult;
use sallyport_mcp::error::METHOD_NOT_FOUND;
use sallyport_mcp::session::ServerSessionSeal;

use super::http::Session;
use super::request::{RequestError, own, result};
use super::slot::Slot;
use super::told::Told;

impl Slot {
    /// The session that was left here, if it can be gone on with. The server is asked (`ping`): what it answers about a session
    /// that it has forgotten is not the same everywhere, and a call must not be the first to find out.
    ///
    /// # Errors
    /// A fault when the server cannot be reached: what was left may be found the next time.
    pub(super) async fn come_back(&self) -> Result<Option<Arc<Session>>, Fault> {
        let Some(place) = &self.place else { return Ok(None) };
        let Some((seal, placed)) = place.find().await else {
            return Ok(None);
        };
        let session = Session::again(&self.ground, &self.presented, &self.inbox, &seal)?;
        match ping(&session).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(METHOD_NOT_FOUND.into()) => {}
            Err(RequestError::Fault(fault)) if fault.retry == Retry::Safe && !session.is_gone() => {
                place.leave();
                return Err(fault);
            }
            Err(_) => {
                placed.ends();
                return Ok(None);
            }
        }
        session.stays_in(placed);
        self.was_told(Told {
            logs: seal.logs,
            subscribes: seal.subscribes,
        });
        tracing::debug!(server = %self.ground.spec.name, "a session is gone on with");
        Ok(Some(session))
    }

    /// Remembers a new session for the next process.
    pub(super) fn leave_behind(&self, session: &Session, hello: &InitializeResult) {
        let (Some(place), Some(id)) = (&self.place, session.id()) else {
            return;
        };
        let told = Told::of(hello);
        session.stays_in(place.keep(&ServerSessionSeal {
            id: id.to_owned(),
            revision: session.revision(),
            logs: told.logs,
            subscribes: told.subscribes,
        }));
    }
}

async fn ping(session: &Arc<Session>) -> Result<Bytes, RequestError> {
    let (worker, patience) = (&session.ground().worker, session.ground().spec.limits.handshake);
    let ping = own("ping", Bytes::from_static(b"{}"));
    result(Box::pin(session.call(worker, &ping, ())), patience).await
}
