//! Chunked bodies (RFC 9112 §7.1), read strictly and in any split.

use bytes::{Buf as _, BytesMut};

/// The longest line of a chunk's head or trailer, in bytes.
const MAX_LINE: usize = 4 * 1024;

/// The most bytes of chunk extensions and trailers in one body.
const MAX_OVERHEAD: usize = 64 * 1024;

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
pub(super) struct Chunked {
    state: State,
    overhead: usize,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size,
            overhead: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what is there of the body off the buffer. Nothing, unless done, means that more bytes are needed.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<BytesMut, &'static str> {
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
        let extension = rest.trim_ascii_start();
        if !(rest.is_empty() || extension.first() == Some(&b';')) {
            return Err("a chunk has no usable size");
        }
        self.spend(rest.len())?;
        Ok(value)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.overhead = self.overhead.saturating_add(bytes);
        if self.overhead > MAX_OVERHEAD {
            Err("its chunk extensions or trailers are too long")
        } else {
            Ok(())
        }
    }
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
