//! The JSON-RPC envelope of one message, found in a single pass over its bytes (JSON-RPC 2.0 §4, MCP Base Protocol).
//!
//! Whatever decides about a message reads it from here, and what is sent on are the same bytes. So nothing may be read in
//! two ways: a member that is looked at and stands twice is refused, also when one of the two is written with escapes, in
//! another case, or with letters that some parsers fold.

mod batch;
mod error;
mod id;
mod keys;
mod level;
mod params;
mod progress;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use batch::{MAX_BATCH, is_batch, split_batch};
pub use error::ScanError;
pub use id::{MAX_ID_BYTES, MAX_ID_DIGITS, well_formed_id};
pub use keys::{Key, MetaKey};
pub use params::{Meta, Params, Reference, Text, scan_params};
pub use progress::{PlainProgress, plain_progress};

use crate::json::{Scanner, Span, is_object, unescape};
use crate::method::Method;
use keys::EnvelopeKey;
use level::Level;

/// Bounds on one message. Its size is bounded where it is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Levels of nesting, the message's own object included; never more than [`crate::json::MAX_DEPTH`].
    pub depth: usize,
    /// Bytes of `params._meta`.
    pub meta_bytes: usize,
}

impl Limits {
    /// For what clients send: 64 levels, 64 KiB of `_meta`.
    pub const CLIENT: Self = Self {
        depth: 64,
        meta_bytes: 64 << 10,
    };

    /// For what servers send: 128 levels, 1 MiB of `_meta`.
    pub const SERVER: Self = Self {
        depth: 128,
        meta_bytes: 1 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::CLIENT
    }
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It has a method and an id, and is to be answered.
    Request,
    /// It has a method and no id, and is never answered.
    Notification,
    /// It answers a request.
    Response,
}

/// One message; everything in it is borrowed from its bytes, and spans count from their start.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// The id: a string or integer token. An error response to an unreadable request has none.
    pub id: Option<Span>,
    /// The method, unescaped; none in a response.
    pub method: Option<Cow<'a, str>>,
    /// The parameters.
    pub params: Option<Params<'a>>,
    /// A response's result: any JSON value.
    pub result: Option<Span>,
    /// A response's error: an object.
    pub error: Option<Span>,
    /// Whether it has members that JSON-RPC does not know.
    pub has_others: bool,
    called: Method,
}

impl<'a> Envelope<'a> {
    /// The id's token, to be echoed as it is.
    #[must_use]
    pub fn id_raw(&self) -> Option<&'a [u8]> {
        self.id.map(|s| s.of(self.bytes))
    }

    /// The raw `params` object.
    #[must_use]
    pub fn params_raw(&self) -> Option<&'a [u8]> {
        self.params.as_ref().map(Params::raw)
    }

    /// The raw result of a response.
    #[must_use]
    pub fn result_raw(&self) -> Option<&'a [u8]> {
        self.result.map(|s| s.of(self.bytes))
    }

    /// The raw error object of a response.
    #[must_use]
    pub fn error_raw(&self) -> Option<&'a [u8]> {
        self.error.map(|s| s.of(self.bytes))
    }

    /// The method's text; empty in a response.
    #[must_use]
    pub fn method_name(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// The method; [`Method::Unknown`] in a response too.
    #[must_use]
    pub fn called(&self) -> Method {
        self.called
    }

    /// `params._meta`, if it is an object.
    #[must_use]
    pub fn meta(&self) -> Option<&Meta<'a>> {
        self.params.as_ref().and_then(|p| p.meta.as_ref())
    }

    /// Whether the message is of the kind that its method asks for: no request without id, no notification with one.
    /// Of an unknown method it cannot be told.
    #[must_use]
    pub fn fits_its_method(&self) -> bool {
        match self.called() {
            Method::Unknown => true,
            known => known.is_notification() == (self.kind == Kind::Notification),
        }
    }
}

/// Scans one message.
///
/// # Errors
/// [`ScanError`] says what is wrong; nothing of such a message may be used.
pub fn scan<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Envelope<'a>, ScanError> {
    // It is filled where the caller gets it: there is much of it to be copied.
    let mut scanned = Ok(Envelope {
        bytes,
        kind: Kind::Notification,
        id: None,
        method: None,
        params: None,
        result: None,
        error: None,
        has_others: false,
        called: Method::Unknown,
    });
    if let Ok(envelope) = &mut scanned
        && let Err(error) = fill(envelope, limits)
    {
        scanned = Err(error);
    }
    scanned
}

/// Scans the bytes of an envelope in which nothing else has been set.
fn fill(envelope: &mut Envelope<'_>, limits: &Limits) -> Result<(), ScanError> {
    let bytes = envelope.bytes;
    let mut scanner = Scanner::new(bytes, limits.depth)?;
    match scanner.peek()? {
        b'{' => {}
        b'[' => {
            scanner.skip_value()?;
            scanner.end()?;
            return Err(ScanError::Batch);
        }
        _ => {
            scanner.skip_value()?;
            scanner.end()?;
            return Err(ScanError::NotAnObject);
        }
    }
    let mut level = Level::<EnvelopeKey, { EnvelopeKey::COUNT }>::empty();
    level.scan(&mut scanner, |scanner, key| match key {
        EnvelopeKey::Params => {
            let span = params::object(*scanner, limits, &mut envelope.params)?;
            scanner.go_behind(span);
            Ok(span)
        }
        _ => Ok(scanner.value()?),
    })?;
    scanner.end()?;
    envelope.kind = kind(bytes, &level, envelope.params.is_some())?;
    envelope.id = level.get(EnvelopeKey::Id).filter(|s| s.of(bytes) != b"null");
    if let Some(span) = level.get(EnvelopeKey::Method) {
        let (called, name) = method(span.of(bytes)).ok_or(ScanError::Method)?;
        envelope.called = called;
        envelope.method = Some(name);
    }
    envelope.result = level.get(EnvelopeKey::Result);
    envelope.error = level.get(EnvelopeKey::Error);
    envelope.has_others = level.has_others();
    Ok(())
}

/// The method of this token, and its name. Nothing has to be decoded of those that are known.
fn method(raw: &[u8]) -> Option<(Method, Cow<'_, str>)> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    match Method::of_bytes(inner) {
        Method::Unknown => {
            let name = unescape(inner)?;
            Some((Method::parse(&name), name))
        }
        known => Some((known, Cow::Borrowed(known.as_str()))),
    }
}

/// Judges the members together.
fn kind(
    bytes: &[u8],
    level: &Level<EnvelopeKey, { EnvelopeKey::COUNT }>,
    has_params: bool,
) -> Result<Kind, ScanError> {
    let raw = |key| level.get(key).map(|span: Span| span.of(bytes));
    if raw(EnvelopeKey::Jsonrpc) != Some(b"\"2.0\"".as_slice()) {
        return Err(ScanError::Version);
    }
    let id = raw(EnvelopeKey::Id);
    let method = raw(EnvelopeKey::Method).is_some();
    let kind = match (method, raw(EnvelopeKey::Result), raw(EnvelopeKey::Error)) {
        (true, None, None) if id.is_some() => Kind::Request,
        (true, None, None) => Kind::Notification,
        (false, Some(_), None) if !has_params && id.is_some() => Kind::Response,
        (false, None, Some(error)) if !has_params && is_object(error) => Kind::Response,
        _ => return Err(ScanError::Kind),
    };
    // Only the error that answers an unreadable request may say that it does not know the id.
    let unknown = raw(EnvelopeKey::Error).is_some() && id == Some(b"null");
    if id.is_some_and(|raw| !well_formed_id(raw)) && !unknown {
        return Err(ScanError::Id);
    }
    Ok(kind)
}
