//! The head of an answer and how long its body is (RFC 9112 §4, §6.3). Where the standard lets a reader guess, this one
//! refuses: what two readers may read differently can be used to smuggle (HT-01, HT-02).

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use httparse::{Header, ParserConfig, Response, Status};

use super::{MAX_HEAD, MAX_HEADERS};
use crate::listen::digits;

/// The header fields of an answer, kept as they came.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    text: Bytes,
    fields: Vec<Field>,
}

/// Offsets into the text: heads are at most 64 KiB long.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: (u16, u16),
    value: (u16, u16),
}

impl Headers {
    /// The field's value, if the field is there exactly once and its value is text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.all(name);
        let first = found.next()?;
        if found.next().is_some() {
            return None;
        }
        std::str::from_utf8(first).ok()
    }

    /// All values of the field, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let name = name.as_bytes();
        self.fields
            .iter()
            .filter(move |field| self.cut(field.name).eq_ignore_ascii_case(name))
            .map(|field| self.cut(field.value))
    }

    /// All fields in order; names as they came, in any case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let name = std::str::from_utf8(self.cut(field.name)).unwrap_or_default();
            (name, self.cut(field.value))
        })
    }

    fn cut(&self, (start, end): (u16, u16)) -> &[u8] {
        self.text.get(start.into()..end.into()).unwrap_or_default()
    }
}

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
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) length: Length,
    /// Whether the connection may serve another request after this answer.
    pub(super) reusable: bool,
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
    Ok(Head {
        status,
        headers: Headers {
            fields,
            text: text.clone(),
        },
        reusable: persistent && clean && !framing.close && length != Length::UntilClose,
        length,
    })
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
