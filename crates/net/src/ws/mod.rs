//! MCP over WebSocket (RFC 6455): each message is one text message, in both directions. The subprotocol is `mcp`, or
//! `mcp-protocol` for those who know it by that name. No extension is negotiated, so that nothing is ever decompressed.

mod accept;
mod connect;
mod framing;

use crate::carrier::{Pace, Reason};

pub use accept::{HandshakeError, accept};
pub use connect::connect;

/// The subprotocols that are spoken, the preferred one first.
pub const SUBPROTOCOLS: [&str; 2] = ["mcp", "mcp-protocol"];

/// What a WebSocket is run with.
#[derive(Clone)]
pub struct Options {
    /// The longest message that is taken, in bytes, and so the longest frame: 4 MiB, the limit of a request over HTTP.
    /// Longer ones end the connection with 1009.
    pub message_bytes: usize,
    /// How long connecting and the opening handshake may take together, for clients: 10 s.
    pub handshake: std::time::Duration,
    /// Its times.
    pub pace: Pace,
    /// Who knows why it is closed when its user closes it; `None` is 1000.
    pub reason: Option<Reason>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            handshake: std::time::Duration::from_secs(10),
            pace: Pace::default(),
            reason: None,
        }
    }
}

#[cfg(test)]
mod handshake_tests;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod time_tests;
