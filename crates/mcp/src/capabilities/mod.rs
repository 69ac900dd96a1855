//! What either side says it can do.

mod client;
mod handshake;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientCapabilities, Profile};
pub use handshake::{DiscoverResult, HandshakeError, InitializeResult};
pub(crate) use server::Members;
pub use server::{ResourcesCapability, ServerCapabilities, UI_EXTENSION};
