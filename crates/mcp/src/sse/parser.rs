//! Reading events, as they come in pieces.

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
    /// The event's name; none means `message`.
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
        !self.data.is_empty() && self.event.as_deref().is_none_or(|name| name == "message")
    }
}

/// Why a stream is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SseError {
    /// A line or an event is longer than the limit.
    #[error("an event is longer than the limit")]
    TooLong,
}

/// Takes a stream apart. It keeps at most one unfinished event, and what was pushed and not yet taken out.
#[derive(Debug)]
pub struct Parser {
    limits: SseLimits,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
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
            buffer: BytesMut::new(),
            searched: 0,
            after_cr: false,
            started: false,
            event: Event::default(),
            lines: BytesMut::new(),
            has_data: false,
            failed: false,
        }
    }

    /// Takes the next piece of the stream. Take out all events before the next one.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
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
        while let Some(line) = self.line()? {
            if !line.is_empty() {
                self.field(line)?;
            } else if let Some(event) = self.dispatch() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The next complete line, without its end.
    fn line(&mut self) -> Result<Option<Bytes>, SseError> {
        const BOM: &[u8] = "\u{feff}".as_bytes();
        if !self.started {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return Ok(None);
            }
            if self.buffer.starts_with(BOM) {
                self.buffer.advance(BOM.len());
            }
            self.started = true;
        }
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer.first() == Some(&b'\n') {
                self.buffer.advance(1);
            }
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'\n', b'\r', unsearched) else {
            self.searched = self.buffer.len();
            self.bounded(self.buffer.len())?;
            return Ok(None);
        };
        let length = self.searched + found;
        self.searched = 0;
        self.bounded(length)?;
        let line = self.buffer.split_to(length).freeze();
        self.after_cr = self.buffer.first() == Some(&b'\r');
        self.buffer.advance(1);
        Ok(Some(line))
    }

    /// A line may be as long as the data it can bear, and the longest field name with its colon and space.
    fn bounded(&self, line: usize) -> Result<(), SseError> {
        if line > self.limits.event_bytes.saturating_add(7) {
            return Err(SseError::TooLong);
        }
        Ok(())
    }

    fn field(&mut self, line: Bytes) -> Result<(), SseError> {
        let colon = memchr::memchr(b':', &line).unwrap_or(line.len());
        let mut value = line.slice((colon + 1).min(line.len())..);
        if value.first() == Some(&b' ') {
            value.advance(1);
        }
        match line.get(..colon).unwrap_or_default() {
            b"data" => self.data(value)?,
            b"event" => self.event.event = self.short(&value)?,
            b"id" if !value.contains(&0) => self.event.id = self.short(&value)?,
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digits = std::str::from_utf8(&value).unwrap_or_default();
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
