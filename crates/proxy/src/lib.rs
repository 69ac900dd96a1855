//! The MCP data path: what a client sends is authenticated, parsed, routed, decided, built anew and sent to the server
//! behind; what the server answers goes back in the client's revision. `call.rs` is the list of the steps: read it first.
#![forbid(unsafe_code)]

mod approve;
mod ask;
mod asked;
mod at_servers;
mod call;
mod caller;
mod cors;
mod deliver;
mod door;
pub mod exchange;
mod follow;
mod front;
mod head;
mod hub;
mod limits;
mod linger;
pub mod metrics;
mod notice;
mod park;
mod progress;
mod proof;
mod proxy;
mod pulse;
mod record;
mod refusal;
mod relay;
mod replay;
mod route;
mod running;
mod session;
pub mod spec;
mod standing;
mod state;
mod strangers;
mod stream;
mod stream_get;
mod sync;
mod tasks;
#[cfg(test)]
mod tests;
mod translate;
mod turnout;
mod unfold;
pub mod upstream;
mod verify;
mod visit;
mod world;

pub use at_servers::ServerSessions;
pub use front::duplex::{Conversation, Credential, Ended, Entrance, Manner, Turned};
pub use front::lines::lines;
pub use metrics::Metrics;
pub use proxy::{Proxy, ProxyDeps};
pub use verify::is_verify;
