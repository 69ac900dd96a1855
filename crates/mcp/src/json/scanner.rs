//! The scanner: a position in a text, moved over one token or value at a time. It never recurses.

use super::special::{ascii, plain, special_or_beyond};
use super::{JsonError, MAX_DEPTH, Span};

/// A string token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StringToken {
    /// With its quotes.
    pub(crate) span: Span,
    /// Whether it holds escapes, so that its value is not what lies between the quotes.
    pub(crate) escaped: bool,
}

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many levels are open around the position.
    depth: usize,
    limit: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the start of a text. That it is UTF-8 is found out string by string; all else is ASCII.
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
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What stands between a string token's quotes, escapes and all: UTF-8.
    pub(crate) fn inner(&self, token: StringToken) -> &'a [u8] {
        let (start, end) = (token.span.start() + 1, token.span.end().saturating_sub(1));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The next byte that is no white space, left where it is.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, JsonError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(JsonError::Truncated)
    }

    /// Moves over one structural byte.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Moves over `byte` if it comes next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> Result<bool, JsonError> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Ok(there)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Err(JsonError::Truncated) => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters an object or array whose opening byte is next.
    pub(crate) fn open(&mut self, byte: u8) -> Result<(), JsonError> {
        self.expect(byte)?;
        self.deeper()
    }

    /// Leaves the level entered last, after its closing byte.
    pub(crate) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Moves over the next value, whatever it is, and tells where it lies.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Span, JsonError> {
        let first = self.peek()?;
        let start = self.at;
        if first == b'"' {
            self.string()?;
        } else {
            self.skip_value()?;
        }
        Ok(Span::new(start, self.at))
    }

    /// Moves over an object's key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<StringToken, JsonError> {
        self.peek()?;
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Moves over a string token. Nearly every key ends within eight bytes, so that one look will do.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<StringToken, JsonError> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let [b'"', rest @ ..] = rest else {
            return Err(self.unexpected());
        };
        if let Some(word) = rest.first_chunk::<8>() {
            let marks = special_or_beyond(u64::from_le_bytes(*word));
            let length = (marks.trailing_zeros() / 8) as usize;
            if rest.get(length) == Some(&b'"') {
                self.at = start + length + 2;
                let span = Span::new(start, self.at);
                return Ok(StringToken { span, escaped: false });
            }
        }
        self.at = start + 1;
        self.long_string(start)
    }

    /// Moves over the rest of a string token that began at `start`.
    fn long_string(&mut self, start: usize) -> Result<StringToken, JsonError> {
        let mut escaped = false;
        loop {
            self.characters()?;
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    let span = Span::new(start, self.at);
                    return Ok(StringToken { span, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected()),
                None => return Err(JsonError::Truncated),
            }
        }
    }

    /// Moves over the characters up to the next quote, backslash or control character.
    fn characters(&mut self) -> Result<(), JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let ascii = ascii(rest);
        self.at += ascii;
        let rest = rest.get(ascii..).unwrap_or_default();
        if rest.first().is_some_and(|byte| !byte.is_ascii()) {
            let count = plain(rest);
            let stretch = rest.get(..count).unwrap_or_default();
            simdutf8::basic::from_utf8(stretch).map_err(|_| JsonError::Utf8)?;
            self.at += count;
        }
        Ok(())
    }

    /// Moves over the next value. Levels are counted and remembered as bits, one for each open object or array.
    pub(crate) fn skip_value(&mut self) -> Result<(), JsonError> {
        let outside = self.depth;
        let mut objects: u128 = 0;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' => {
                    self.at += 1;
                    self.deeper()?;
                    objects = (objects << 1) | 1;
                    if !self.take(b'}')? {
                        self.key()?;
                        continue;
                    }
                    self.depth -= 1;
                    objects >>= 1;
                }
                b'[' => {
                    self.at += 1;
                    self.deeper()?;
                    objects <<= 1;
                    if !self.take(b']')? {
                        continue;
                    }
                    self.depth -= 1;
                    objects >>= 1;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return Err(self.unexpected()),
            }
            if self.after_value(outside, &mut objects)? {
                return Ok(());
            }
        }
    }

    /// Moves over what may follow a value inside: closing bytes, or a comma and in an object the next key. True when
    /// no level is open any more.
    #[inline]
    fn after_value(&mut self, outside: usize, objects: &mut u128) -> Result<bool, JsonError> {
        while self.depth > outside {
            let in_object = *objects & 1 == 1;
            match self.peek()? {
                b',' => {
                    self.at += 1;
                    if in_object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                b'}' if in_object => {}
                b']' if !in_object => {}
                _ => return Err(self.unexpected()),
            }
            self.at += 1;
            self.depth -= 1;
            *objects >>= 1;
        }
        Ok(true)
    }

    fn deeper(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > self.limit {
            return Err(JsonError::TooDeep);
        }
        Ok(())
    }

    /// RFC 8259 §6.
    fn number(&mut self) -> Result<(), JsonError> {
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            return Err(self.unexpected());
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(())
    }

    /// RFC 8259 §7. A lone surrogate is legal here and passes untouched; it has no value, so that decoding refuses it.
    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self
                    .bytes
                    .get(self.at + 2..self.at + 6)
                    .ok_or(JsonError::Truncated)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.unexpected());
                }
                self.at += 6;
            }
            Some(_) => return Err(self.unexpected()),
            None => return Err(JsonError::Truncated),
        }
        Ok(())
    }

    /// The error for the byte at the position.
    pub(crate) fn unexpected(&self) -> JsonError {
        if self.at >= self.bytes.len() {
            JsonError::Truncated
        } else {
            JsonError::Syntax { at: self.at }
        }
    }
}
