//! The head of a request and how long its body is (RFC 9112 §3, §5, §6), read strictly: what two readers may read
//! differently is refused, because behind a proxy that reads it the other way it is a request within a request (HT-01,
//! HT-02, HT-05).

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use memchr::memmem::Finder;

/// Room for the fields that a request has as a rule.
const USUAL_FIELDS: usize = 12;

/// How the body of a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    /// After so many bytes.
    Known(u64),
    /// With the last chunk.
    Chunked,
}

/// Why a request is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It has no reading, or more than one: 400.
    Broken,
    /// Its head is too long, or has too many fields: 431 (RFC 6585 §5).
    TooLarge,
    /// It expects something else than `100-continue`: 417 (RFC 9110 §10.1.1).
    Expectation,
    /// It asks for a tunnel: 501 (RFC 9110 §9.3.6).
    Tunnel,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Method, target, version and headers.
    pub(crate) parts: Arc<Parts>,
    /// How its body ends.
    pub(crate) length: Length,
    /// What else matters for the connection.
    pub(crate) facts: Facts,
}

/// What the fields of a head say of the connection and of the body.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Facts {
    length: Option<u64>,
    chunked: bool,
    hosts: u8,
    /// The client ends the connection with this request.
    pub(crate) closes: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects: bool,
    /// The body has a content coding.
    pub(crate) encoded: bool,
    /// `Connection` names `upgrade`.
    pub(crate) upgrades: bool,
    /// There is an `Upgrade`.
    pub(crate) protocol: bool,
}

/// The empty line at the end of a head. Made once: making it takes longer than looking for it.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Finds the end of a head, looking at each byte once.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct HeadEnd {
    /// Where the present line begins.
    line: usize,
    /// Up to where there is no end of it.
    seen: usize,
}

impl HeadEnd {
    /// The head's length once it is complete. `limit` is the longest head that is taken.
    ///
    /// # Errors
    /// [`Refusal::Broken`] for a line that does not end in CRLF, [`Refusal::TooLarge`] past the limit.
    pub(crate) fn find(&mut self, buffer: &[u8], limit: usize) -> Result<Option<usize>, Refusal> {
        // Most heads come as a whole. Their lines are looked at when they are read.
        if self.seen == 0
            && let Some(at) = END.find(buffer)
        {
            let end = at + 4;
            return if end > limit {
                Err(Refusal::TooLarge)
            } else {
                Ok(Some(end))
            };
        }
        while let Some(at) = buffer
            .get(self.seen..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let end = self.seen + at + 1;
            if end > limit {
                return Err(Refusal::TooLarge);
            }
            let line = buffer.get(self.line..end).unwrap_or_default();
            if !line.ends_with(b"\r\n") {
                return Err(Refusal::Broken);
            }
            if line.len() == 2 {
                return Ok(Some(end));
            }
            (self.line, self.seen) = (end, end);
        }
        if buffer.len() > limit {
            return Err(Refusal::TooLarge);
        }
        self.seen = buffer.len();
        Ok(None)
    }

    /// Whether not even the first line is complete.
    pub(crate) fn is_at_start(&self) -> bool {
        self.line == 0
    }
}

/// How many bytes at the front are empty lines, which a server skips before a request (RFC 9112 §2.2).
pub(crate) fn blank(buffer: &[u8]) -> usize {
    let lines = buffer.chunks_exact(2).take_while(|pair| *pair == b"\r\n");
    lines.count() * 2
}

/// Reads a complete head, its last CRLF included, of at most so many fields.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn read(text: &Bytes, max_fields: usize) -> Result<Head, Refusal> {
    let (line, mut at) = next_line(text, 0).ok_or(Refusal::Broken)?;
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.version_mut()) = request_line(text, line)?;
    let mut headers = HeaderMap::with_capacity(USUAL_FIELDS);
    let mut facts = Facts::default();
    loop {
        let (line, next) = next_line(text, at).ok_or(Refusal::Broken)?;
        let Some(first) = line.first() else {
            if next == text.len() {
                break;
            }
            return Err(Refusal::Broken);
        };
        if headers.len() >= max_fields {
            return Err(Refusal::TooLarge);
        }
        let (name, value) = field(text, line, at).ok_or(Refusal::Broken)?;
        // The fields that say something to the connection begin with these letters.
        if matches!(first | 0x20, b'c' | b'e' | b'h' | b't' | b'u') {
            facts.note(&name, value.as_bytes())?;
        }
        headers.append(name, value);
        at = next;
    }
    *request.headers_mut() = headers;
    let (parts, ()) = request.into_parts();
    let length = facts.settle(parts.version)?;
    if parts.method == Method::CONNECT {
        return Err(Refusal::Tunnel);
    }
    let parts = Arc::new(parts);
    Ok(Head { parts, length, facts })
}

/// The line that begins at `at`, without its CRLF, and where the next one begins.
fn next_line(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = text.get(at..)?;
    let feed = memchr::memchr(b'\n', rest)?;
    let line = rest.get(..feed)?.strip_suffix(b"\r")?;
    Some((line, at + feed + 1))
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3), with one blank each.
fn request_line(text: &Bytes, line: &[u8]) -> Result<(Method, Uri, Version), Refusal> {
    let blank = memchr::memchr(b' ', line).ok_or(Refusal::Broken)?;
    let (method, rest) = line.split_at_checked(blank).unwrap_or_default();
    let rest = rest.get(1..).unwrap_or_default();
    let (target, version) = if let Some(target) = rest.strip_suffix(b" HTTP/1.1") {
        (target, Version::HTTP_11)
    } else if let Some(target) = rest.strip_suffix(b" HTTP/1.0") {
        (target, Version::HTTP_10)
    } else {
        return Err(Refusal::Broken);
    };
    // A fragment is no part of a target, and whoever cuts it off reads another one.
    if !target.iter().all(|b| matches!(b, b'!'..=b'~')) || target.contains(&b'#') {
        return Err(Refusal::Broken);
    }
    let method = Method::from_bytes(method).map_err(|_| Refusal::Broken)?;
    let start = blank + 1;
    let uri = Uri::from_maybe_shared(text.slice(start..start + target.len())).map_err(|_| Refusal::Broken)?;
    if is_target(&method, &uri, target) {
        Ok((method, uri, version))
    } else {
        Err(Refusal::Broken)
    }
}

/// Whether the target has the form that goes with its method (RFC 9112 §3.2).
fn is_target(method: &Method, uri: &Uri, target: &[u8]) -> bool {
    match target {
        [b'/', ..] => *method != Method::CONNECT,
        b"*" => *method == Method::OPTIONS,
        _ if *method == Method::CONNECT => uri.authority().is_some() && uri.scheme().is_none(),
        _ => uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https")),
    }
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 §5). Name and value are checked by those who hold them: a name is a
/// token, so that neither a blank before the colon nor a folded line passes, and a value has no control characters.
fn field(text: &Bytes, line: &[u8], at: usize) -> Option<(HeaderName, HeaderValue)> {
    // Names are short.
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = HeaderName::from_bytes(name).ok()?;
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let value = value.get(1..)?;
    let before = value.iter().take_while(|b| is_blank(b)).count();
    let after = value.iter().rev().take_while(|b| is_blank(b)).count();
    let start = at + colon + 1 + before;
    let end = (at + line.len()).saturating_sub(after).max(start);
    let value = HeaderValue::from_maybe_shared(text.slice(start..end)).ok()?;
    Some((name, value))
}

impl Facts {
    /// Notes what a field says; an error if that has more than one reading.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Refusal> {
        if *name == CONTENT_LENGTH {
            let length = digits(value).ok_or(Refusal::Broken)?;
            if self.length.replace(length).is_some() {
                return Err(Refusal::Broken);
            }
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Broken);
            }
            self.chunked = true;
        } else if *name == HOST {
            self.hosts = self.hosts.saturating_add(1);
        } else if *name == CONNECTION {
            for option in value.split(|b| *b == b',') {
                let option = option.trim_ascii();
                self.closes |= option.eq_ignore_ascii_case(b"close");
                self.upgrades |= option.eq_ignore_ascii_case(b"upgrade");
            }
        } else if *name == EXPECT {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expectation);
            }
            self.expects = true;
        } else if *name == CONTENT_ENCODING {
            self.encoded |= !value.eq_ignore_ascii_case(b"identity");
        } else if *name == UPGRADE {
            self.protocol = true;
        }
        Ok(())
    }

    /// What all fields together say.
    fn settle(&mut self, version: Version) -> Result<Length, Refusal> {
        if version == Version::HTTP_10 {
            // Its connections end with their first answer, and it knows neither chunks nor interim answers.
            if self.chunked {
                return Err(Refusal::Broken);
            }
            (self.closes, self.expects, self.upgrades) = (true, false, false);
        }
        // Without a Host, or with two, the target has no one reading (RFC 9112 §3.2).
        if self.hosts > 1 || (self.hosts == 0 && version == Version::HTTP_11) {
            return Err(Refusal::Broken);
        }
        match self.length {
            Some(_) if self.chunked => Err(Refusal::Broken),
            _ if self.chunked => Ok(Length::Chunked),
            length => Ok(Length::Known(length.unwrap_or(0))),
        }
    }
}

/// A decimal number without sign, list or overflow (RFC 9112 §6.3).
pub(crate) fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0u64, |n, digit| {
        n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
