//! The header fields of an answer, and what of them is asked for with each one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The header fields of an answer, kept as they came. Cheap to clone.
#[derive(Clone, Default)]
pub struct Headers(Arc<Fields>);

#[derive(Default)]
struct Fields {
    /// The whole head.
    text: Bytes,
    fields: Vec<Field>,
    media: Media,
    plain: bool,
}

/// Offsets into the text: heads are at most 64 KiB long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: (u16, u16),
    pub(super) value: (u16, u16),
}

/// A content type, as far as messages have it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    Events,
    /// Any other, none, or more than one.
    #[default]
    Other,
}

impl Media {
    /// Reads a field's value; case and parameters do not count (RFC 9110 §8.3.1).
    fn of(value: &str) -> Self {
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case("text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}

impl Headers {
    pub(super) fn new(text: Bytes, fields: Vec<Field>) -> Self {
        let mut all = Fields {
            text,
            fields,
            ..Fields::default()
        };
        all.media = all.get("content-type").map_or(Media::Other, Media::of);
        let mut codings = all.all("content-encoding");
        let plain = codings.all(|coding| coding.eq_ignore_ascii_case(b"identity"));
        drop(codings);
        all.plain = plain;
        Self(Arc::new(all))
    }

    /// The head as it came, with the status line and the empty line at the end.
    pub(super) fn text(&self) -> &[u8] {
        &self.0.text
    }

    /// The type of the body (RFC 9110 §8.3).
    #[must_use]
    pub fn media(&self) -> Media {
        self.0.media
    }

    /// Whether the body is what it stands for, not compressed (RFC 9110 §8.4).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.plain
    }

    /// The field's value, if the field is there exactly once and its value is text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// All values of the field, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0.all(name)
    }

    /// All fields in order; names as they came, in any case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = &self.0;
        fields.fields.iter().map(|field| {
            let name = std::str::from_utf8(fields.cut(field.name)).unwrap_or_default();
            (name, fields.cut(field.value))
        })
    }
}

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.all(name);
        let first = found.next()?;
        if found.next().is_some() {
            return None;
        }
        std::str::from_utf8(first).ok()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let name = name.as_bytes();
        self.fields
            .iter()
            .filter(move |field| self.cut(field.name).eq_ignore_ascii_case(name))
            .map(|field| self.cut(field.value))
    }

    fn cut(&self, (start, end): (u16, u16)) -> &[u8] {
        self.text.get(start.into()..end.into()).unwrap_or_default()
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be cookies, or ids of sessions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let text = Bytes::from_static(b"HTTP/1.1 200 OK\r\nSet-Cookie: canary\r\n\r\n");
        let field = Field {
            name: (17, 27),
            value: (29, 35),
        };
        let headers = Headers::new(text, vec![field]);
        assert_eq!(headers.get("set-cookie"), Some("canary"));
        assert_eq!(format!("{headers:?}"), "[\"Set-Cookie\"]");
    }

    #[test]
    fn ss_02_content_types_are_read_as_the_standard_says() {
        for (value, expected) in [
            ("application/json", Media::Json),
            ("Application/JSON", Media::Json),
            ("application/json ;x", Media::Json),
            ("application/json; charset=utf-8", Media::Json),
            ("TEXT/event-stream;charset=UTF-8", Media::Events),
            ("text/plain", Media::Other),
            ("application/json, text/event-stream", Media::Other),
            ("application/jsonx", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(Media::of(value), expected, "{value}");
        }
    }
}
