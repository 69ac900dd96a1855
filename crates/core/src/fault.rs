//! What failed while doing IO: whose fault it is, and whether it is safe to try again.

use std::error::Error as StdError;
use std::fmt;

/// Whose fault a failure is; it decides the answer's status and the metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The client sent what cannot be served.
    Client,
    /// This gateway, its store or its machine.
    Gateway,
    /// The server behind.
    Upstream,
}

/// Whether the operation may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Nothing has happened yet: repeating is safe.
    Safe,
    /// It may have had its effect: never repeat on our own.
    Never,
}

/// A failure of one IO operation.
#[derive(Debug)]
pub struct Fault {
    /// Whose fault it is.
    pub blame: Blame,
    /// Whether a repetition is safe.
    pub retry: Retry,
    /// What was being done, in a few words (`connect`, `read the answer`).
    pub operation: &'static str,
    source: Box<dyn StdError + Send + Sync>,
}

impl Fault {
    /// A failure with its cause.
    pub fn new(
        blame: Blame,
        retry: Retry,
        operation: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            blame,
            retry,
            operation,
            source: source.into(),
        }
    }

    /// A failure of the server behind, before anything was sent to it.
    pub fn unreached(operation: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Blame::Upstream, Retry::Safe, operation, source)
    }

    /// A failure of the server behind, after a request was sent to it.
    pub fn upstream(operation: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Blame::Upstream, Retry::Never, operation, source)
    }

    /// A failure of our own.
    pub fn gateway(operation: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Blame::Gateway, Retry::Never, operation, source)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.source)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}
