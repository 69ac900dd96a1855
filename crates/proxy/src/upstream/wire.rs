//! An open way to a server that keeps state: a legacy session, or a conversation of either era.

use std::sync::Arc;

use sallyport_core::fault::Fault;
use sallyport_net::Worker;

use super::conversation::Conversation;
use super::http::Session;
use super::outgoing::Outgoing;
use crate::exchange::Reply;

/// A session or a conversation.
pub(crate) enum Wire {
    /// A legacy session over Streamable HTTP.
    Session(Arc<Session>),
    /// A child process, or a connection that carries messages both ways.
    Conversation(Arc<Conversation>),
}

impl Wire {
    /// Whether it can be used.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Session(session) => !session.is_gone(),
            Self::Conversation(conversation) => conversation.is_alive(),
        }
    }

    /// Whether it ended because we wanted it to.
    pub(crate) fn was_told_to_end(&self) -> bool {
        match self {
            Self::Session(_) => false,
            Self::Conversation(conversation) => conversation.was_told_to_end(),
        }
    }

    /// Becomes ready when it cannot be used any more.
    pub(crate) async fn ended(&self) {
        match self {
            Self::Session(session) => session.wait_gone().await,
            Self::Conversation(conversation) => conversation.wait_ended().await,
        }
    }

    /// Sends a request. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault tells whether a repetition is safe.
    pub(crate) async fn call<K: Send + 'static>(
        &self,
        worker: &Arc<Worker>,
        outgoing: &Outgoing<'_>,
        kept: K,
    ) -> Result<Reply, Fault> {
        match self {
            Self::Session(session) => session.call(worker, outgoing, kept).await,
            Self::Conversation(conversation) => conversation.call(outgoing)?.reply(kept).await,
        }
    }

    /// Opens a stream of notifications of a modern conversation.
    ///
    /// # Errors
    /// A fault when it is not opened.
    pub(crate) async fn listen(&self, outgoing: &Outgoing<'_>) -> Result<Reply, Fault> {
        match self {
            Self::Session(_) => Err(Fault::gateway("listen", "legacy sessions have no such streams")),
            Self::Conversation(conversation) => {
                conversation.call(outgoing)?.without_deadline().reply(()).await
            }
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// A fault when it is not taken.
    pub(crate) async fn notify(&self, worker: &Worker, message: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Session(session) => session.notify(worker, message).await,
            Self::Conversation(conversation) => conversation.send(message),
        }
    }

    /// Ends it and waits until it has ended.
    pub(crate) async fn close(&self) {
        match self {
            Self::Session(session) => session.close().await,
            Self::Conversation(conversation) => {
                conversation.stop();
                conversation.wait_ended().await;
            }
        }
    }
}
