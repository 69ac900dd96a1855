//! An open way to a server that keeps state: a legacy session, or a child process of either era.

use std::sync::Arc;

use sallyport_core::fault::Fault;
use sallyport_net::Worker;

use super::http::Session;
use super::outgoing::Outgoing;
use super::stdio::Process;
use crate::exchange::Reply;

/// A session or a process.
pub(crate) enum Wire {
    /// A legacy session over HTTP.
    Session(Arc<Session>),
    /// A child process.
    Process(Arc<Process>),
}

impl Wire {
    /// Whether it can be used.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Session(session) => !session.is_gone(),
            Self::Process(process) => process.is_alive(),
        }
    }

    /// Becomes ready when it cannot be used any more.
    pub(crate) async fn ended(&self) {
        match self {
            Self::Session(session) => session.wait_gone().await,
            Self::Process(process) => process.wait_ended().await,
        }
    }

    /// Sends a request. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault tells whether a repetition is safe.
    pub(crate) async fn call<K: Send + 'static>(
        &self,
        worker: &Worker,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        match self {
            Self::Session(session) => session.call(worker, outgoing, kept).await,
            Self::Process(process) => process.call(outgoing)?.reply(kept).await,
        }
    }

    /// Opens a stream of notifications of a modern process.
    ///
    /// # Errors
    /// A fault when it is not opened.
    pub(crate) async fn listen(&self, outgoing: &Outgoing<'_>) -> Result<Reply, Fault> {
        match self {
            Self::Session(_) => Err(Fault::gateway("listen", "legacy sessions have no such streams")),
            Self::Process(process) => process.call(outgoing)?.without_deadline().reply(()).await,
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// A fault when it is not taken.
    pub(crate) async fn notify(&self, worker: &Worker, message: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Session(session) => session.notify(worker, message).await,
            Self::Process(process) => process.send(message),
        }
    }

    /// Ends it and waits until it has ended.
    pub(crate) async fn close(&self) {
        match self {
            Self::Session(session) => session.close().await,
            Self::Process(process) => {
                process.stop();
                process.wait_ended().await;
            }
        }
    }
}
