//! What goes wrong between us and a server.

use std::io;

use sallyport_core::fault::{Blame, Fault, Retry};
use thiserror::Error;

use crate::egress::EgressError;

/// What went wrong with an exchange: the source of its [`Fault`].
#[derive(Debug, Error)]
pub enum Trouble {
    /// There is no connection.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A stage took too long: 504 to the client.
    #[error("no {0} in time")]
    Timeout(&'static str),
    /// The server closed the connection too early.
    #[error("the server closed the connection early")]
    Closed,
    /// What the server sent is not HTTP/1.1, or may be read in more than one way.
    #[error("the answer is not well-formed HTTP/1.1: {0}")]
    Framing(&'static str),
    /// The answer is longer than the caller takes.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The server answers with this status instead of opening a WebSocket.
    #[error("the server answers {0} instead of opening a WebSocket")]
    Refused(u16),
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Trouble {
    /// The trouble within a fault, if that is what it is about.
    #[must_use]
    pub fn of(fault: &Fault) -> Option<&Self> {
        std::error::Error::source(fault)?.downcast_ref()
    }

    /// Whether a stage took too long.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Egress(EgressError::Timeout(_)))
    }

    pub(super) fn unsent(self, operation: &'static str) -> Fault {
        Fault::unreached(operation, self)
    }

    pub(super) fn sent(self, operation: &'static str) -> Fault {
        Fault::new(Blame::Upstream, Retry::Never, operation, self)
    }
}
