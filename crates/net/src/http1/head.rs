//! The head of a request, built from nothing: what is not put in is not sent.

use std::fmt;

use http::{HeaderName, HeaderValue, Method};
use thiserror::Error;

/// Headers that belong to the connection or to the framing of a message: the client itself writes them.
const RESERVED: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-connection",
    "http2-settings",
];

/// A header that cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// The name is not a token (RFC 9110 §5.1).
    #[error("not a header name")]
    Name,
    /// The value holds CR, LF, NUL or another control character (RFC 9110 §5.5).
    #[error("not a header value")]
    Value,
    /// The header is written by the client itself.
    #[error("this header is set by the gateway itself")]
    Reserved,
}

/// Method and headers of a request. Target and `Host` come from the [`Target`](crate::Target), the length from the body.
/// It is cheap to clone: what is the same for every request of a server is put in once.
#[derive(Clone)]
pub struct RequestHead {
    method: Method,
    lines: Vec<u8>,
}

impl RequestHead {
    /// A head without headers.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            lines: Vec::new(),
        }
    }

    /// The same headers with another method.
    #[must_use]
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`HeaderError`]; nothing was added then.
    pub fn put(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Name)?;
        let value = value.as_ref();
        HeaderValue::from_bytes(value).map_err(|_| HeaderError::Value)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(HeaderError::Reserved);
        }
        self.line(name.as_str(), value);
        Ok(())
    }

    /// Adds a header of ours whose name is known to be a token and not reserved; the value is checked.
    ///
    /// # Errors
    /// [`HeaderError::Value`]; nothing was added then.
    pub fn put_known(
        &mut self,
        name: &'static HeaderName,
        value: impl AsRef<[u8]>,
    ) -> Result<(), HeaderError> {
        let value = value.as_ref();
        let visible = |b: &u8| matches!(b, b'\t' | 0x20..=0x7e | 0x80..);
        if !value.iter().all(visible) {
            return Err(HeaderError::Value);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(HeaderError::Reserved);
        }
        self.line(name.as_str(), value);
        Ok(())
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        self.lines.reserve(name.len() + value.len() + 4);
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Writes the whole head. `fixed` is the target's part; the length is left out where there is no body to expect.
    pub(super) fn write(&self, fixed: &str, length: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(fixed.as_bytes());
        out.extend_from_slice(&self.lines);
        let bodyless = matches!(
            self.method,
            Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
        );
        if length > 0 || !bodyless {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for RequestHead {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.split(|b| *b == b'\n');
        let names = lines.filter_map(|line| line.split(|b| *b == b':').next());
        let names: Vec<_> = names
            .filter(|n| !n.is_empty())
            .map(String::from_utf8_lossy)
            .collect();
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("headers", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_holds_what_was_put_in_and_the_length() {
        let mut head = RequestHead::new(Method::POST);
        head.put("Accept", "application/json").unwrap();
        let mut out = Vec::new();
        head.write("/mcp HTTP/1.1\r\nhost: h\r\n", 2, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /mcp HTTP/1.1\r\nhost: h\r\naccept: application/json\r\ncontent-length: 2\r\n\r\n"
        );
    }

    #[test]
    fn an_empty_post_has_a_length_and_a_get_has_none() {
        for (method, expected) in [
            (Method::POST, true),
            (Method::GET, false),
            (Method::DELETE, false),
        ] {
            let mut out = Vec::new();
            RequestHead::new(method).write("/ HTTP/1.1\r\n", 0, &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap().contains("content-length"),
                expected
            );
        }
    }

    #[test]
    fn ht_05_headers_that_would_split_the_request_are_refused() {
        let mut head = RequestHead::new(Method::GET);
        for value in ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "\u{7f}"] {
            assert_eq!(head.put("x", value), Err(HeaderError::Value), "{value:?}");
            assert_eq!(
                head.put_known(&http::header::ACCEPT, value),
                Err(HeaderError::Value),
                "{value:?}"
            );
        }
        for name in ["", "a b", "a:b", "a\r\n", "é"] {
            assert_eq!(head.put(name, "v"), Err(HeaderError::Name), "{name:?}");
        }
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "Upgrade",
        ] {
            assert_eq!(head.put(name, "v"), Err(HeaderError::Reserved), "{name:?}");
        }
        assert_eq!(
            head.put_known(&http::header::HOST, "v"),
            Err(HeaderError::Reserved)
        );
        assert!(head.lines.is_empty());
    }

    #[test]
    fn lk_01_debug_shows_no_values() {
        let mut head = RequestHead::new(Method::GET);
        head.put("authorization", "Bearer canary").unwrap();
        let shown = format!("{head:?}");
        assert!(
            shown.contains("authorization") && !shown.contains("canary"),
            "{shown}"
        );
    }
}
