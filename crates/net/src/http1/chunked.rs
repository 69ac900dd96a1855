//! Chunked bodies (RFC 9112 §7.1), read strictly and in any split.

use bytes::{Buf as _, BytesMut};
use http::{HeaderName, HeaderValue};

/// The longest line of a chunk's head or trailer, in bytes.
const MAX_LINE: usize = 4 * 1024;

/// The most bytes of chunk extensions and trailers in the body of an answer.
const MAX_OVERHEAD: usize = 64 * 1024;

/// The same in the body of a request, which comes from anyone.
const MAX_REQUEST_OVERHEAD: usize = 16 * 1024;

/// Pieces from this size on are cut out of the buffer instead of copied: they hold all of its memory.
pub(super) const SHARE_FROM: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// At the line that tells the size of the next chunk.
    Size,
    /// Within a chunk.
    Data(u64),
    /// At the line end after a chunk.
    DataEnd,
    /// Within the trailers.
    Trailers,
    Done,
}

/// Reads a chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// How many bytes of extensions and trailers there may still be.
    overhead: usize,
    /// By the grammar alone; else what servers are known to send is taken too.
    strict: bool,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size,
            overhead: MAX_OVERHEAD,
            strict: false,
        }
    }

    /// For the body of a request: no blanks around sizes, and trailers that are fields.
    pub(crate) fn of_request() -> Self {
        Self {
            state: State::Size,
            overhead: MAX_REQUEST_OVERHEAD,
            strict: true,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what is there of the body off the buffer. Nothing, unless done, means that more bytes are needed.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<BytesMut, &'static str> {
        let mut out = BytesMut::new();
        let mut at = 0;
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            match self.state {
                State::Data(left) => {
                    let there = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    if there == 0 {
                        break;
                    }
                    let after = left - u64::try_from(there).unwrap_or(left);
                    self.state = if after == 0 {
                        State::DataEnd
                    } else {
                        State::Data(after)
                    };
                    if out.is_empty() && there >= SHARE_FROM {
                        buffer.advance(at);
                        return Ok(buffer.split_to(there));
                    }
                    if out.is_empty() {
                        out.reserve(rest.len());
                    }
                    out.extend_from_slice(rest.get(..there).unwrap_or_default());
                    at += there;
                }
                State::DataEnd if rest.starts_with(b"\r\n") => {
                    self.state = State::Size;
                    at += 2;
                }
                State::Done => break,
                State::Size | State::DataEnd | State::Trailers => {
                    let Some(end) = line_end(rest)? else { break };
                    self.line(rest.get(..end.saturating_sub(2)).unwrap_or_default())?;
                    at += end;
                }
            }
        }
        buffer.advance(at);
        Ok(out)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.state = match self.state {
            State::Size => {
                let size = self.size(line)?;
                if size == 0 {
                    State::Trailers
                } else {
                    State::Data(size)
                }
            }
            State::DataEnd if line.is_empty() => State::Size,
            State::DataEnd => return Err("a chunk is longer than its size"),
            State::Trailers if line.is_empty() => State::Done,
            State::Trailers => {
                self.spend(line.len())?;
                if self.strict && !is_field(line) {
                    return Err("a trailer is not a field");
                }
                State::Trailers
            }
            State::Data(_) | State::Done => self.state,
        };
        Ok(())
    }

    /// `1*HEXDIG [ chunk-ext ]`
    fn size(&mut self, line: &[u8]) -> Result<u64, &'static str> {
        let mut value = 0;
        let digits = line
            .iter()
            .map_while(|b| char::from(*b).to_digit(16))
            .inspect(|digit| value = (value << 4) | u64::from(*digit))
            .count();
        let (size, rest) = line.split_at_checked(digits).ok_or("a chunk has no size")?;
        if size.is_empty() || size.len() > 16 {
            return Err("a chunk has no usable size");
        }
        let extension = if self.strict {
            rest
        } else {
            rest.trim_ascii_start()
        };
        let is_control = |b: &u8| b.is_ascii_control() && *b != b'\t';
        if !(rest.is_empty() || extension.first() == Some(&b';'))
            || (self.strict && rest.iter().any(is_control))
        {
            return Err("a chunk has no usable size");
        }
        self.spend(rest.len())?;
        Ok(value)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        let left = self.overhead.checked_sub(bytes);
        self.overhead = left.ok_or("its chunk extensions or trailers are too long")?;
        Ok(())
    }
}

/// `field-name ":" field-value` (RFC 9112 §5)
fn is_field(line: &[u8]) -> bool {
    let Some((name, [_, value @ ..])) = line
        .iter()
        .position(|b| *b == b':')
        .and_then(|colon| line.split_at_checked(colon))
    else {
        return false;
    };
    HeaderName::from_bytes(name).is_ok() && HeaderValue::from_bytes(value).is_ok()
}

/// The end of the line at the start of the buffer, CRLF included.
fn line_end(buffer: &[u8]) -> Result<Option<usize>, &'static str> {
    // Nearly every line is the size of a chunk, of a few digits.
    if let Some(short) = buffer.first_chunk::<8>()
        && let Some(digits) = short.iter().position(|b| !b.is_ascii_hexdigit())
        && short.get(digits..digits + 2) == Some(b"\r\n")
    {
        return Ok(Some(digits + 2));
    }
    let window = buffer.get(..MAX_LINE.min(buffer.len())).unwrap_or_default();
    let Some(at) = memchr::memchr(b'\n', window) else {
        return if window.len() == MAX_LINE {
            Err("a line of its chunked body is too long")
        } else {
            Ok(None)
        };
    };
    let line = window.get(..at).unwrap_or_default();
    if line.last() != Some(&b'\r') || line.iter().filter(|b| **b == b'\r').count() > 1 || line.contains(&0) {
        return Err("a line of its chunked body is broken");
    }
    Ok(Some(at + 1))
}
