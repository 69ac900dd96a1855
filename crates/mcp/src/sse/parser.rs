//! Reading events, as they come in pieces.

use std::ops::Range;

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

/// Bounds on one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SseLimits {
    /// Bytes of one line, and of one event's data: 4 MiB.
    pub event_bytes: usize,
    /// Bytes of an event's id or name: 1 KiB.
    pub field_bytes: usize,
}

impl Default for SseLimits {
    fn default() -> Self {
        Self {
            event_bytes: 4 << 20,
            field_bytes: 1 << 10,
        }
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// The data, lines joined by `\n`; empty in an event that only primes the client.
    pub data: Bytes,
    /// The event's name; none stands for `message`, whether or not it was said.
    pub event: Option<Box<str>>,
    /// The id to resume after.
    pub id: Option<Box<str>>,
    /// After how many milliseconds to come back once the stream has ended.
    pub retry_ms: Option<u64>,
}

impl Event {
    /// Whether it bears a message: it has data, and no name but `message`.
    #[must_use]
    pub fn is_message(&self) -> bool {
        !self.data.is_empty() && self.event.is_none()
    }
}

/// Why a stream is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SseError {
    /// A line or an event is longer than the limit.
    #[error("an event is longer than the limit")]
    TooLong,
}

/// Takes a stream apart. It keeps at most one unfinished event, and what was pushed and not yet taken out. The data of
/// an event is not copied where it came in one piece.
#[derive(Debug)]
pub struct Parser {
    limits: SseLimits,
    /// The newest piece, as far as it has not been taken out.
    piece: Bytes,
    /// A line that began in earlier pieces.
    begun: BytesMut,
    /// A carriage return ended the last line: a line feed right after it belongs to it.
    after_cr: bool,
    started: bool,
    /// The unfinished event; its data as far as it has one line.
    event: Event,
    /// The data once it has several lines.
    lines: BytesMut,
    has_data: bool,
    failed: bool,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(limits: SseLimits) -> Self {
        Self {
            limits,
            piece: Bytes::new(),
            begun: BytesMut::new(),
            after_cr: false,
            started: false,
            event: Event::default(),
            lines: BytesMut::new(),
            has_data: false,
            failed: false,
        }
    }

    /// Takes the next piece of the stream. Take out all events before the next one.
    pub fn push(&mut self, piece: &Bytes) {
        if self.piece.is_empty() {
            self.piece = piece.clone();
        } else {
            self.piece = [&self.piece[..], &piece[..]].concat().into();
        }
    }

    /// The next complete event; `None` if more of the stream is needed.
    ///
    /// # Errors
    /// [`SseError::TooLong`], and again on every later call: there is no way back into the stream.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        if self.failed {
            return Err(SseError::TooLong);
        }
        let found = self.read();
        self.failed = found.is_err();
        found
    }

    fn read(&mut self) -> Result<Option<Event>, SseError> {
        if let Some(event) = self.plain() {
            return Ok(Some(event));
        }
        let mut piece = std::mem::take(&mut self.piece);
        let mut at = 0;
        while let Some(line) = self.line(&piece, &mut at)? {
            let event = if self.begun.is_empty() {
                self.take(&piece, line)?
            } else {
                self.begun.extend_from_slice(piece.get(line).unwrap_or_default());
                let line = self.begun.split().freeze();
                self.take(&line, 0..line.len())?
            };
            if event.is_some() {
                piece.advance(at.min(piece.len()));
                self.piece = piece;
                return Ok(event);
            }
        }
        self.begun.extend_from_slice(piece.get(at..).unwrap_or_default());
        Ok(None)
    }

    /// The next event, if it is all there and written as nearly every server writes a message: the name, one line of
    /// data, and nothing else.
    fn plain(&mut self) -> Option<Event> {
        const NAME: &[u8] = b"event: message\n";
        const DATA: &[u8] = b"data: ";
        let is_amid =
            self.after_cr || self.has_data || !self.begun.is_empty() || self.event != Event::default();
        if is_amid {
            return None;
        }
        let named = self.piece.strip_prefix(NAME).unwrap_or(&self.piece);
        let line = named.strip_prefix(DATA)?;
        let length = memchr::memchr2(b'\n', b'\r', line)?;
        let is_end = line.get(length..length + 2) == Some(b"\n\n");
        if !is_end || length > self.limits.event_bytes {
            return None;
        }
        let start = self.piece.len() - line.len();
        let data = self.piece.slice(start..start + length);
        self.piece.advance(start + length + 2);
        self.started = true;
        Some(Event {
            data,
            ..Event::default()
        })
    }

    /// Where the next complete line of the piece is, without its end.
    fn line(&mut self, piece: &[u8], at: &mut usize) -> Result<Option<Range<usize>>, SseError> {
        if self.after_cr
            && let Some(next) = piece.get(*at)
        {
            self.after_cr = false;
            *at += usize::from(*next == b'\n');
        }
        let rest = piece.get(*at..).unwrap_or_default();
        let end = memchr::memchr2(b'\n', b'\r', rest);
        let length = end.unwrap_or(rest.len());
        self.bounded(self.begun.len() + length)?;
        Ok(end.map(|_| {
            let line = *at..*at + length;
            self.after_cr = rest.get(length) == Some(&b'\r');
            *at = line.end + 1;
            line
        }))
    }

    /// A line may be as long as the data it can bear, and the longest field name with its colon and space.
    fn bounded(&self, line: usize) -> Result<(), SseError> {
        if line > self.limits.event_bytes.saturating_add(7) {
            return Err(SseError::TooLong);
        }
        Ok(())
    }

    /// Takes a line: the event if it ends one.
    fn take(&mut self, source: &Bytes, mut line: Range<usize>) -> Result<Option<Event>, SseError> {
        const BOM: &[u8] = "\u{feff}".as_bytes();
        if !std::mem::replace(&mut self.started, true)
            && source.get(line.clone()).is_some_and(|line| line.starts_with(BOM))
        {
            line.start += BOM.len();
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        self.field(source, line).map(|()| None)
    }

    fn field(&mut self, source: &Bytes, line: Range<usize>) -> Result<(), SseError> {
        let text = source.get(line.clone()).unwrap_or_default();
        let colon = memchr::memchr(b':', text).unwrap_or(text.len());
        let (name, value) = text.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => self.data(source.slice(line.end - value.len()..line.end))?,
            b"event" if value == b"message" => self.event.event = None,
            b"event" => self.event.event = self.short(value)?,
            b"id" if !value.contains(&0) => self.event.id = self.short(value)?,
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(value).unwrap_or_default();
                self.event.retry_ms = digits.parse().ok().or(self.event.retry_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn short(&self, value: &[u8]) -> Result<Option<Box<str>>, SseError> {
        if value.len() > self.limits.field_bytes {
            return Err(SseError::TooLong);
        }
        Ok(std::str::from_utf8(value).ok().map(Box::from))
    }

    fn data(&mut self, value: Bytes) -> Result<(), SseError> {
        let before = self.event.data.len().max(self.lines.len());
        if before.saturating_add(value.len()).saturating_add(1) > self.limits.event_bytes.saturating_add(1) {
            return Err(SseError::TooLong);
        }
        if !self.has_data {
            self.has_data = true;
            self.event.data = value;
            return Ok(());
        }
        if !self.event.data.is_empty() {
            self.lines
                .extend_from_slice(&std::mem::take(&mut self.event.data));
        }
        self.lines.extend_from_slice(b"\n");
        self.lines.extend_from_slice(&value);
        if self.lines.len() > self.limits.event_bytes {
            return Err(SseError::TooLong);
        }
        Ok(())
    }

    /// Ends the event. One that has neither data nor an id nor a time is none.
    fn dispatch(&mut self) -> Option<Event> {
        let mut event = std::mem::take(&mut self.event);
        if !self.lines.is_empty() {
            event.data = self.lines.split().freeze();
        }
        let had_data = std::mem::take(&mut self.has_data);
        (had_data || event.id.is_some() || event.retry_ms.is_some()).then_some(event)
    }
}
