//! The scanner: a position in a text, moved over one token or value at a time. It never recurses.

use super::{JsonError, MAX_DEPTH, Span, step};

/// A string token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StringToken {
    /// With its quotes.
    pub(crate) span: Span,
    /// What stands between them, the first byte lowest and zeros behind the last; all zero if that was not found out at
    /// one look, because it is long, escaped, or near the end of the text.
    pub(crate) word: u64,
    /// Whether it holds escapes, so that its value is not what lies between the quotes.
    pub(crate) escaped: bool,
}

/// A position in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many levels are open around the position.
    depth: usize,
    limit: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the start of a text. That it is UTF-8 is found out string by string; all else is ASCII.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], depth: usize) -> Result<Self, JsonError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(JsonError::TooLarge);
        }
        Ok(Self {
            bytes,
            at: 0,
            depth: 0,
            limit: depth.min(MAX_DEPTH),
        })
    }

    /// The whole text, whether it was moved over or not.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The offset of the next byte.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Moves behind a value that a copy has moved over.
    #[inline]
    pub(crate) fn go_behind(&mut self, value: Span) {
        self.at = value.end();
    }

    /// What stands between a string token's quotes, escapes and all: UTF-8.
    #[inline]
    pub(crate) fn inner(&self, token: StringToken) -> &'a [u8] {
        let (start, end) = (token.span.start() + 1, token.span.end().saturating_sub(1));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The next byte that is no white space, left where it is.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<u8, JsonError> {
        match step::peek(self.bytes, self.at) {
            Ok((at, byte)) => {
                self.at = at;
                Ok(byte)
            }
            Err(miss) => {
                self.at = self.bytes.len();
                Err(miss.into())
            }
        }
    }

    /// Moves over one structural byte.
    #[inline(always)]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Moves over `byte` if it comes next.
    #[inline(always)]
    pub(crate) fn take(&mut self, byte: u8) -> Result<bool, JsonError> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Ok(there)
    }

    /// Nothing but white space may follow.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Err(JsonError::Truncated) => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters an object or array whose opening byte is next.
    #[inline]
    pub(crate) fn open(&mut self, byte: u8) -> Result<(), JsonError> {
        self.expect(byte)?;
        self.deeper()
    }

    /// Leaves the level entered last, after its closing byte.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Moves over the next value, whatever it is, and tells where it lies.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Span, JsonError> {
        let first = self.peek()?;
        let start = self.at;
        if first == b'"' {
            self.at = step::string(self.bytes, start)?.at();
        } else {
            self.skip_value()?;
        }
        Ok(Span::below_4_gib(start, self.at))
    }

    /// Moves over an object's key and its colon.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<StringToken, JsonError> {
        let (start, _) = step::peek(self.bytes, self.at)?;
        let (end, word) = step::short_string(self.bytes, start)?;
        self.at = step::colon(self.bytes, end.at())?;
        Ok(StringToken {
            span: Span::below_4_gib(start, end.at()),
            word,
            escaped: end.escaped(),
        })
    }

    /// Moves over the next value, wherever it ends.
    #[inline]
    pub(crate) fn skip_value(&mut self) -> Result<(), JsonError> {
        let room = self.limit.saturating_sub(self.depth);
        self.at = step::skip(self.bytes, self.at, room)?;
        Ok(())
    }

    #[inline]
    fn deeper(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > self.limit {
            return Err(JsonError::TooDeep);
        }
        Ok(())
    }

    /// The error for the byte at the position.
    pub(crate) fn unexpected(&self) -> JsonError {
        step::Miss::unexpected(self.bytes, self.at).into()
    }
}
