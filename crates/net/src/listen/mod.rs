//! Sockets in: one thread accepts and hands connections out in turn to workers, each a thread with a runtime of its own.
//! A connection moves to another worker if all of its requests would cost less there. What is spoken over them is HTTP/1.1,
//! read by the strict grammar alone.

mod accept;
mod again;
mod answer;
mod caps;
mod connection;
mod descriptors;
mod draining;
mod exchange;
mod feed;
mod fixed;
mod inlet;
mod moving;
mod options;
mod outbox;
mod request;
mod server;
mod socket;
mod upgrade;
mod wire;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::{Inbound, Response, Worker};

pub(crate) use connection::number;
pub use descriptors::raise_descriptor_limit;
pub(crate) use draining::Draining;
pub use fixed::Fixed;
pub(crate) use inlet::Inlet;
pub(crate) use moving::{Arrived, Moving};
pub use options::{ListenOptions, Threads};
pub(crate) use request::digits;
pub use server::{Listener, ServerHandle};
pub(crate) use upgrade::OnUpgrade;

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client leaves before the head of the answer, the body of the
    /// answer when it leaves after that.
    fn call(&self, worker: &Arc<Worker>, inbound: Inbound) -> impl Future<Output = Response> + Send;
}

/// What is spoken on accepted connections.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Serves one connection to its end, or until it is to be served elsewhere. Dropping the future cuts it off.
    fn serve(
        self: Arc<Self>,
        arrived: Arrived<TcpStream>,
    ) -> impl Future<Output = Option<Moving<TcpStream>>> + Send;
}

#[cfg(test)]
mod agreement_tests;
#[cfg(test)]
mod chunk_tests;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod moving_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
