//! Conversations: servers that are spoken to over one carrier of whole messages, in either era.
//!
//! A child's pipes, a WebSocket, framed TCP and the pair of stream and posts of HTTP+SSE differ in how they begin, in
//! how they end and in what frames a message. Everything else is here: ids, calls, questions, news, and what waits.

mod calls;
mod dispatch;
mod handshake;
mod open;
mod outbox;
mod porter;
mod post;
mod reading;
mod reply;
mod talk;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use handshake::introduce;
pub(crate) use open::open;
pub(crate) use outbox::{Outbox, WriteError};
pub(crate) use porter::Porter;
pub(crate) use reading::{Messages, Read, Reading, Unusable};
pub(crate) use talk::{Carrier, Conversation};
pub(crate) use watch::Limits;

pub(crate) use calls::number;
