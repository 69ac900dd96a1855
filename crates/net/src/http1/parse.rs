//! The head of an answer and how long its body is (RFC 9112 §4, §6.3). Where the standard lets a reader guess, this one
//! refuses: what two readers may read differently can be used to smuggle (HT-01, HT-02).

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use httparse::{Header, ParserConfig, Response, Status};

use super::headers::{Field, Headers};
use super::pool::IDLE;
use super::{MAX_HEAD, MAX_HEADERS};
use crate::listen::digits;

/// How the body of an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    /// After so many bytes.
    Known(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) length: Length,
    /// Whether the connection may serve another request after this answer.
    pub(super) reusable: bool,
    /// How long the connection may be kept while nothing is asked.
    pub(super) keep: Duration,
}

/// Finds the end of a head, looking at each byte once.
#[derive(Default, Debug)]
pub(super) struct HeadEnd {
    seen: usize,
}

impl HeadEnd {
    /// The head's length once it is complete.
    pub(super) fn find(&mut self, buffer: &[u8]) -> Result<Option<usize>, &'static str> {
        while let Some(at) = buffer
            .get(self.seen..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let end = self.seen + at + 1;
            let line = buffer.get(..end).unwrap_or_default();
            if !line.ends_with(b"\r\n") {
                return Err("a line ends without CR");
            }
            self.seen = end;
            if end > MAX_HEAD {
                break;
            }
            if line.ends_with(b"\r\n\r\n") {
                return Ok(Some(end));
            }
        }
        if buffer.len() >= MAX_HEAD {
            return Err("its head is too long");
        }
        self.seen = self.seen.max(buffer.len());
        Ok(None)
    }
}

/// Takes a complete head of `end` bytes off the buffer.
pub(super) fn take_head(buffer: &mut BytesMut, end: usize, method: &Method) -> Result<Head, &'static str> {
    let text = Bytes::copy_from_slice(buffer.get(..end).unwrap_or_default());
    buffer.advance(end.min(buffer.len()));
    let mut slots = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_HEADERS];
    let mut parsed = Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, &text, &mut slots)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => "it has too many headers",
            httparse::Error::Status => "its status line is broken",
            httparse::Error::Version => "its version is not HTTP/1",
            _ => "its head is broken",
        })?;
    if status != Status::Complete(text.len()) {
        return Err("its head is broken");
    }
    let status = parsed
        .code
        .filter(|code| (100..=599).contains(code))
        .ok_or("its status is out of range")?;
    let persistent = parsed.version == Some(1);
    let framing = Framing::read(parsed.headers, persistent)?;
    let mut fields = Vec::with_capacity(parsed.headers.len());
    for header in &*parsed.headers {
        fields.push(field(&text, header).ok_or("its head is broken")?);
    }
    let (length, clean) = framing.length(status, method);
    let headers = Headers::new(text, fields);
    Ok(Head {
        status,
        keep: keep_alive(&headers),
        headers,
        reusable: persistent && clean && !framing.close && length != Length::UntilClose,
        length,
    })
}

/// How long the server keeps idle connections, less a second for what is on its way.
fn keep_alive(headers: &Headers) -> Duration {
    let told = headers.get("keep-alive").and_then(|value| {
        let parameters = value.split(',');
        parameters
            .filter_map(|p| p.trim().strip_prefix("timeout="))
            .find_map(|n| n.trim().parse::<u64>().ok())
    });
    told.map_or(IDLE, |seconds| Duration::from_secs(seconds.saturating_sub(1)))
}

/// The last head of a connection. Most servers write the same head before each answer, within a second: the same bytes
/// have the same reading.
#[derive(Default)]
pub(super) struct Familiar(Option<Head>);

/// Longer heads are not remembered, in bytes.
pub(super) const REMEMBERED: usize = 2 * 1024;

impl Familiar {
    /// Remembers the head of an answer to a request whose answers have bodies.
    pub(super) fn remember(&mut self, head: &Head, method: &Method) {
        let fits = head.headers.text().len() <= REMEMBERED && head.status >= 200 && *method != Method::HEAD;
        self.0 = fits.then(|| head.clone());
    }

    /// Takes the head off the buffer if it is the last one again.
    pub(super) fn take(&self, buffer: &mut BytesMut, method: &Method) -> Option<Head> {
        let last = self.0.as_ref().filter(|_| *method != Method::HEAD)?;
        let text = last.headers.text();
        if !buffer.starts_with(text) {
            return None;
        }
        buffer.advance(text.len());
        Some(last.clone())
    }
}

fn field(text: &[u8], header: &Header<'_>) -> Option<Field> {
    let base = text.as_ptr().addr();
    let span = |part: &[u8]| {
        let start = part.as_ptr().addr().checked_sub(base)?;
        Some((
            u16::try_from(start).ok()?,
            u16::try_from(start.checked_add(part.len())?).ok()?,
        ))
    };
    // An empty value points nowhere in particular.
    let value = if header.value.is_empty() {
        Some((0, 0))
    } else {
        span(header.value)
    };
    Some(Field {
        name: span(header.name.as_bytes())?,
        value: value?,
    })
}

/// The fields that say where the message ends.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

impl Framing {
    fn read(headers: &[Header<'_>], persistent: bool) -> Result<Self, &'static str> {
        let mut framing = Self::default();
        for header in headers {
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = digits(header.value).ok_or("its Content-Length is not a number")?;
                if framing.length.replace(length).is_some() {
                    return Err("it has two Content-Length");
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if framing.chunked {
                    return Err("it has two Transfer-Encoding");
                }
                if !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err("its Transfer-Encoding is not chunked");
                }
                framing.chunked = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                let mut options = header.value.split(|b| *b == b',');
                framing.close |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
        }
        if framing.chunked && framing.length.is_some() {
            return Err("it has Content-Length and Transfer-Encoding");
        }
        if framing.chunked && !persistent {
            return Err("it has Transfer-Encoding in HTTP/1.0");
        }
        Ok(framing)
    }

    /// How the body ends, and whether what the head says of it is consistent (HT-14).
    fn length(&self, status: u16, method: &Method) -> (Length, bool) {
        if method == Method::HEAD || status == 304 {
            return (Length::Known(0), true);
        }
        if (100..200).contains(&status) || status == 204 {
            return (Length::Known(0), !self.chunked && self.length.unwrap_or(0) == 0);
        }
        let length = match self.length {
            _ if self.chunked => Length::Chunked,
            Some(length) => Length::Known(length),
            None => Length::UntilClose,
        };
        (length, true)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
