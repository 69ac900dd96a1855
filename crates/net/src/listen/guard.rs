//! What a request's framing must look like (RFC 9112 §2.2, §6, §7.1), checked on the bytes before hyper sees them.
//!
//! hyper repairs some requests that others read differently: a bare LF ends its lines, `Transfer-Encoding` wins over
//! `Content-Length`, equal lengths are merged. Behind a proxy that reads them the other way, each of these is a request
//! within a request. Here they are refused (HT-01, HT-02, HT-05, HT-08); what passes has one reading.

/// The longest line of a chunk's head or trailer, in bytes.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// The most bytes of chunk extensions and trailers in one body.
const MAX_OVERHEAD: usize = 16 * 1024;

/// Follows the bytes of one connection through its requests.
pub(super) struct Guard {
    state: State,
    facts: Facts,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    max_line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Between requests, where empty lines are skipped (RFC 9112 §2.2).
    Start,
    Headers,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

/// Where in a request the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Between,
    Head,
    Body,
}

/// What a head says of its body.
#[derive(Clone, Copy, Default, Debug)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    /// Bytes of chunk extensions and trailers.
    overhead: usize,
}

/// The bytes from `at` on must not be read by anyone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offence {
    pub(super) at: usize,
}

impl Guard {
    /// `max_line` bytes are kept of a line that comes in parts.
    pub(super) fn new(max_line: usize) -> Self {
        Self {
            state: State::Start,
            facts: Facts::default(),
            partial: Vec::new(),
            max_line,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Start if self.partial.is_empty() => Phase::Between,
            State::Start | State::Headers => Phase::Head,
            _ => Phase::Body,
        }
    }

    /// Looks at the bytes that follow those seen before.
    pub(super) fn inspect(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Length(left) => {
                    let (taken, left) = skip(rest, left);
                    at += taken;
                    self.state = if left == 0 {
                        State::Start
                    } else {
                        State::Length(left)
                    };
                }
                State::ChunkData(left) => {
                    let (taken, left) = skip(rest, left);
                    at += taken;
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkData(left)
                    };
                }
                _ => {
                    at += self
                        .take_line(rest)
                        .map_err(|inner| Offence { at: at + inner.at })?
                }
            }
        }
        Ok(())
    }

    /// Takes the bytes up to the end of the line, and judges the line if it ends.
    fn take_line(&mut self, rest: &[u8]) -> Result<usize, Offence> {
        let Some(feed) = memchr::memchr(b'\n', rest) else {
            let bound = if self.phase() == Phase::Body {
                MAX_CHUNK_LINE
            } else {
                self.max_line
            };
            if self.partial.len() + rest.len() > bound {
                return Err(Offence { at: 0 });
            }
            self.partial.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let here = rest.get(..feed).unwrap_or_default();
        let fine = if self.partial.is_empty() {
            here.strip_suffix(b"\r").is_some_and(|line| self.judge(line))
        } else {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(here);
            line.strip_suffix(b"\r").is_some_and(|line| self.judge(line))
        };
        if fine {
            Ok(feed + 1)
        } else {
            Err(Offence { at: feed })
        }
    }

    /// Judges one line, without its CRLF, and goes on to the next state.
    fn judge(&mut self, line: &[u8]) -> bool {
        let next = match self.state {
            State::Start if line.is_empty() => Some(State::Start),
            State::Start => {
                self.facts = Facts::default();
                Some(State::Headers)
            }
            State::Headers if line.is_empty() => Some(self.facts.body()),
            State::Headers => self.facts.header(line).then_some(State::Headers),
            State::ChunkSize => self.facts.chunk(line),
            State::ChunkEnd => line.is_empty().then_some(State::ChunkSize),
            State::Trailers if line.is_empty() => Some(State::Start),
            State::Trailers => self.facts.spend(line.len()).then_some(State::Trailers),
            State::Length(_) | State::ChunkData(_) => None,
        };
        if let Some(next) = next {
            self.state = next;
        }
        next.is_some()
    }
}

impl Facts {
    /// Notes what a header says of the body; false if that has more than one reading.
    fn header(&mut self, line: &[u8]) -> bool {
        // Most headers begin with other letters.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return true;
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return true;
        };
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value, 10);
            length.is_some() && !self.chunked && std::mem::replace(&mut self.length, length).is_none()
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let first = !std::mem::replace(&mut self.chunked, true);
            first && self.length.is_none() && value.eq_ignore_ascii_case(b"chunked")
        } else {
            true
        }
    }

    fn body(&self) -> State {
        match self.length {
            _ if self.chunked => State::ChunkSize,
            Some(length) if length > 0 => State::Length(length),
            _ => State::Start,
        }
    }

    /// `1*HEXDIG [ chunk-ext ]`
    fn chunk(&mut self, line: &[u8]) -> Option<State> {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at_checked(digits)?;
        let fine = extension.is_empty() || extension.first() == Some(&b';');
        if !fine || extension.contains(&b'\r') || !self.spend(extension.len()) {
            return None;
        }
        let size = number(size, 16)?;
        Some(if size == 0 {
            State::Trailers
        } else {
            State::ChunkData(size)
        })
    }

    fn spend(&mut self, bytes: usize) -> bool {
        self.overhead = self.overhead.saturating_add(bytes);
        self.overhead <= MAX_OVERHEAD
    }
}

/// How many of the bytes belong to the data, and how much of that is still to come.
fn skip(rest: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    (taken, left - u64::try_from(taken).unwrap_or(left))
}

/// Digits and nothing else, without overflow (RFC 9112 §6.3, §7.1).
fn number(text: &[u8], radix: u32) -> Option<u64> {
    if text.is_empty() || !text.iter().all(|b| char::from(*b).is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
