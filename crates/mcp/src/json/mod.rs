//! JSON as bytes: one pass that checks the grammar (RFC 8259) and remembers where things are. Nothing is copied unless a
//! string has escapes, and nothing is changed unless it is spliced.

mod canonical;
mod object;
mod scanner;
mod special;
mod step;
#[cfg(test)]
mod tests;
mod text;
mod verifier;

use std::fmt;
use std::ops::Range;

use thiserror::Error;

pub use canonical::canonical;
pub use object::{Element, Member, Object, elements, find, find_span, find_within, leading, members};
pub(crate) use scanner::{Scanner, StringToken};
pub(crate) use text::unescape;
pub(crate) use text::well_formed;
pub use text::{decode, quote, quote_into};
pub use verifier::Verifier;

/// The deepest nesting that any scan accepts, whatever its caller asks for.
pub const MAX_DEPTH: usize = 128;

/// A range of bytes in one message. Messages are below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// From `start` up to `end`, exclusive. Offsets above 4 GiB saturate; scans refuse such messages.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let narrow = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start: narrow(start),
            end: narrow(end),
        }
    }

    /// As [`Span::new`], for what lies in a text that is known to be below 4 GiB.
    #[inline]
    fn below_4_gib(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The first byte's offset.
    #[must_use]
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// The offset after the last byte.
    #[must_use]
    pub fn end(self) -> usize {
        self.end as usize
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.end().saturating_sub(self.start())
    }

    /// Whether it covers nothing; no JSON value does.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// As a range for slices.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start()..self.end()
    }

    /// The bytes it covers; empty if `bytes` is not the message that it was found in.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    /// The same place, counted from `base` instead of from the message's start.
    #[must_use]
    pub fn from_base(self, base: usize) -> Self {
        Self::new(self.start().saturating_sub(base), self.end().saturating_sub(base))
    }

    /// The same place in a message in which this one begins at `base`.
    #[must_use]
    pub fn at_base(self, base: usize) -> Self {
        Self::new(self.start().saturating_add(base), self.end().saturating_add(base))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Why bytes are no JSON text that can be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 §8.1).
    #[error("not valid UTF-8")]
    Utf8,
    /// Against the grammar at this byte.
    #[error("not valid JSON at byte {at}")]
    Syntax {
        /// The offset of the byte that did not fit.
        at: usize,
    },
    /// It ends in the middle of a value.
    #[error("the JSON text ends too early")]
    Truncated,
    /// Nested deeper than the limit.
    #[error("nested too deeply")]
    TooDeep,
    /// A message of 4 GiB or more.
    #[error("too large")]
    TooLarge,
}

/// Checks that `bytes` are exactly one JSON value of at most `depth` levels.
///
/// # Errors
/// [`JsonError`] says what is wrong.
pub fn check(bytes: &[u8], depth: usize) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(bytes, depth)?;
    scanner.skip_value()?;
    scanner.end()
}

/// Whether `raw`, a checked JSON value, is an object.
#[must_use]
pub fn is_object(raw: &[u8]) -> bool {
    raw.first() == Some(&b'{')
}

/// Whether `raw`, a checked JSON value, is a string.
#[must_use]
pub fn is_string(raw: &[u8]) -> bool {
    raw.first() == Some(&b'"')
}
