//! An HTTP/1.1 client that runs inside the caller's future: no task, no channel (RFC 9112, read strictly).
//!
//! A request is written once. Whether it may be repeated after a failure is told by
//! [`Fault::retry`](sallyport_core::fault::Fault): [`Retry::Safe`](sallyport_core::fault::Retry::Safe) only while not
//! a byte of it had been written.

mod answer;
pub(crate) mod chunked;
mod connection;
mod head;
mod headers;
mod parse;
mod pool;
mod send;
mod spare;
mod trouble;

pub use answer::{Answer, AnswerBody};
pub use head::{HeaderError, RequestHead};
pub use headers::{Headers, Media};
pub use pool::{IDLE, MAX_IDLE, Pool};
pub use send::send;
pub use trouble::Trouble;

use std::time::Duration;

/// The longest head of an answer, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most header fields in the head of an answer.
pub const MAX_HEADERS: usize = 100;

/// How long each stage of an exchange may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// To resolve, connect and agree on TLS.
    pub connect: Duration,
    /// From the request's last byte to the end of the answer's head. Also the longest time without any progress while the
    /// request is written.
    pub first_byte: Duration,
    /// Silence while the body of the answer is read. [`Duration::MAX`] for streams that may be silent.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;
