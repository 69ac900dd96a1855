//! The head of an answer, and how its body is framed (RFC 9112 §4, §6).

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use http_body::Body as _;
use sallyport_core::clock::SystemClock;
use sallyport_core::{Clock as _, Timestamp};
use tokio::time::Instant;

use super::fixed::Fixed;
use super::outbox::Outbox;
use crate::Body;
use crate::body::Piece;

/// How the body of an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// There is none, whatever the head says.
    Bodyless,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What of the request decides how its answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    is_head: bool,
    knows_chunks: bool,
}

impl Asked {
    pub(super) fn of(method: &Method, version: Version) -> Self {
        Self {
            is_head: *method == Method::HEAD,
            knows_chunks: version == Version::HTTP_11,
        }
    }

    /// The framing of an answer to it.
    pub(super) fn framing(self, status: StatusCode, body: &Body) -> Framing {
        let without = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.is_head || without || status.is_informational() {
            return Framing::Bodyless;
        }
        match body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None if self.knows_chunks => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }
}

impl Framing {
    /// Adds a piece of the body; false if it goes beyond the length that was told.
    pub(super) fn push(&mut self, piece: Piece, out: &mut Outbox) -> bool {
        if piece.is_empty() {
            return true;
        }
        match self {
            Self::Bodyless => {}
            Self::Length(left) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                let Some(rest) = left.checked_sub(length) else {
                    return false;
                };
                *left = rest;
                out.push(piece);
            }
            Self::Chunked => out.push_chunk(piece),
            Self::UntilClose => out.push(piece),
        }
        true
    }

    /// Adds the end of the body; false if it is shorter than was told.
    pub(super) fn end(self, out: &mut Outbox) -> bool {
        match self {
            Self::Length(left) => return left == 0,
            Self::Chunked => out.push_static(b"0\r\n\r\n"),
            Self::Bodyless | Self::UntilClose => {}
        }
        true
    }
}

/// What the head of an answer is written from.
pub(super) struct AnswerHead<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) framing: Framing,
    /// The length that a body would have which is not sent, as with HEAD.
    pub(super) unsent: Option<u64>,
    /// The connection ends with this answer.
    pub(super) closes: bool,
    /// What every answer says.
    pub(super) fixed: &'a Fixed,
    pub(super) now: Instant,
}

impl AnswerHead<'_> {
    /// Writes the head. What frames the body is written here and nowhere else: a length that the service has set counts
    /// only where no body is sent.
    pub(super) fn write(&self, outbox: &mut Outbox) {
        let out = outbox.text();
        // Writing to memory cannot fail.
        if self.status == StatusCode::OK {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            let reason = self.status.canonical_reason().unwrap_or("");
            let _ = write!(out, "HTTP/1.1 {} {reason}\r\n", self.status.as_str());
        }
        let (mut told, mut is_special) = (None, false);
        for (name, value) in self.headers {
            is_special |= self.fixed.has(name);
            if *name == CONTENT_LENGTH {
                told = Some(value);
            } else if !(*name == TRANSFER_ENCODING || *name == DATE) {
                line(out, name, value.as_bytes());
            }
        }
        if is_special {
            self.fixed.write_besides(self.headers, out);
        } else {
            out.extend_from_slice(self.fixed.text());
        }
        match (self.framing, told) {
            (Framing::Length(length), _) => number(out, length),
            (Framing::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            (Framing::UntilClose, _) => {}
            (Framing::Bodyless, _)
                if self.status.is_informational() || self.status == StatusCode::NO_CONTENT => {}
            (Framing::Bodyless, Some(value)) => line(out, &CONTENT_LENGTH, value.as_bytes()),
            (Framing::Bodyless, None) => {
                if let Some(length) = self.unsent {
                    number(out, length);
                }
            }
        }
        if self.closes {
            line(out, &CONNECTION, b"close");
        }
        if !self.status.is_informational() {
            out.extend_from_slice(b"date: ");
            date(self.now, out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        outbox.note();
    }
}

fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A date as headers have it, and until when it is the present one.
struct Today {
    text: String,
    until: Instant,
}

thread_local! {
    static TODAY: RefCell<Option<Today>> = const { RefCell::new(None) };
}

/// The present date (RFC 9110 §5.6.7), written anew at most once in a second on each thread.
fn date(now: Instant, out: &mut Vec<u8>) {
    TODAY.with_borrow_mut(|today| {
        let today = match today {
            Some(today) if now < today.until => today,
            _ => {
                let time = SystemClock.now();
                let second = Duration::from_secs(u64::try_from(time.as_secs()).unwrap_or(0));
                // Up to the end of this second.
                let gone = time.since(Timestamp::from_secs(time.as_secs()));
                today.insert(Today {
                    text: httpdate::fmt_http_date(UNIX_EPOCH + second),
                    until: now + Duration::from_secs(1).saturating_sub(gone),
                })
            }
        };
        out.extend_from_slice(today.text.as_bytes());
    });
}
