//! MCP over framed TCP: a header of 12 bytes, then a payload ([`codec`]). The client offers versions, the server says which
//! one is spoken, the client shows its token ([`hello`]); from then on each frame carries a JSON-RPC message, answers in
//! any order. A token is renewed by showing another one the same way.

pub mod codec;
mod connect;
mod conversation;
pub mod hello;
mod listen;

use std::time::Duration;

use crate::carrier::Pace;

pub use codec::{CodecError, Decoder, Frame, Kind, MAX_PAYLOAD};
pub use connect::connect;
pub use hello::AuthFrame;
pub use listen::{Gate, Refused, listen};

/// What a connection is run with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The longest message that is taken, in bytes: 4 MiB, the limit of a request over HTTP, and never more than
    /// [`MAX_PAYLOAD`].
    pub message_bytes: usize,
    /// How long it may take until a version is agreed on and the token is shown: 5 s. For clients, with connecting.
    pub hello: Duration,
    /// Its times.
    pub pace: Pace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            hello: Duration::from_secs(5),
            pace: Pace::default(),
        }
    }
}

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod tests;
