//! What the head of a request says: media types, session, version.

use http::header::{ACCEPT, CONTENT_TYPE, GetAll};
use http::{HeaderMap, HeaderName, HeaderValue};
use sallyport_mcp::mirror::{HeaderField, METHOD_HEADER, NAME_HEADER};

/// The legacy session (2025-06-18, Transports, Session Management).
pub(crate) const SESSION_ID: &str = "mcp-session-id";
/// The last event that a client has seen of a stream (2025-03-26, Transports, Resumability and Redelivery).
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";
/// The protocol's version (2025-06-18, Transports, Protocol Version Header).
pub(crate) const PROTOCOL_VERSION: &str = "mcp-protocol-version";

/// The forms of answer that a client takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Accept {
    /// One JSON document.
    pub(crate) json: bool,
    /// A stream of events.
    pub(crate) events: bool,
}

impl Accept {
    /// Everything, as transports without heads have it.
    pub(crate) const ALL: Self = Self {
        json: true,
        events: true,
    };

    /// Reads `Accept`. Without one everything is taken (RFC 9110 §12.5.1). Clients are to name both types; one of them
    /// is enough for us.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accept = Self {
            json: false,
            events: false,
        };
        let mut values = headers.get_all(ACCEPT).iter();
        // What nearly every client sends is not taken apart.
        if let (Some(value), None) = (values.next(), values.next())
            && value.as_bytes() == b"application/json, text/event-stream"
        {
            return Self::ALL;
        }
        let mut present = false;
        for value in headers.get_all(ACCEPT) {
            present = true;
            let ranges = value.to_str().unwrap_or_default().split(',');
            for range in ranges {
                let mut parts = range.split(';').map(str::trim);
                let media = parts.next().unwrap_or_default();
                if parts.any(refused) {
                    continue;
                }
                let is = |names: [&str; 3]| names.iter().any(|name| media.eq_ignore_ascii_case(name));
                accept.json |= is(["application/json", "application/*", "*/*"]);
                accept.events |= is(["text/event-stream", "text/*", "*/*"]);
            }
        }
        if present { accept } else { Self::ALL }
    }

    /// Whether no form of answer is taken: 406.
    pub(crate) fn nothing(self) -> bool {
        !self.json && !self.events
    }
}

/// `q=0`: not acceptable (RFC 9110 §12.4.2).
fn refused(parameter: &str) -> bool {
    let quality = parameter.strip_prefix("q=").or(parameter.strip_prefix("Q="));
    quality.is_some_and(|q| q.trim_end_matches('0').trim_end_matches('.').is_empty() && q.starts_with('0'))
}

/// Whether the body is announced as JSON, with whatever parameters. Nothing else is, so that no page of another site
/// can send a message without a preflight (OH-07).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let media = value.to_str().unwrap_or_default().split(';').next();
    media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// The names that nearly every request has, ready to be looked up.
static KNOWN: [HeaderName; 4] = [
    HeaderName::from_static(PROTOCOL_VERSION),
    HeaderName::from_static(SESSION_ID),
    HeaderName::from_static(METHOD_HEADER),
    HeaderName::from_static(NAME_HEADER),
];

/// All values of a header; none under a name that no header can have.
pub(crate) fn all<'h>(headers: &'h HeaderMap, name: &str) -> GetAll<'h, HeaderValue> {
    match KNOWN.iter().find(|known| known.as_str() == name) {
        Some(known) => headers.get_all(known),
        None => headers.get_all(name),
    }
}

/// The fields that every message is compared with, looked up once for all requests with the same head.
pub(crate) struct Fields([Field; KNOWN.len()]);

/// What a head has under one name.
enum Field {
    Missing,
    Single(HeaderValue),
    Repeated,
}

impl Fields {
    /// Those of this head.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(std::array::from_fn(|place| {
            let mut values = KNOWN.get(place).map(|name| headers.get_all(name).iter());
            let mut next = || values.as_mut().and_then(Iterator::next);
            match (next(), next()) {
                (None, _) => Field::Missing,
                (Some(value), None) => Field::Single(value.clone()),
                (Some(_), Some(_)) => Field::Repeated,
            }
        }))
    }

    /// What the head has under this name, if it is one of those that were looked up.
    pub(crate) fn get(&self, name: &str) -> Option<HeaderField<'_>> {
        let place = KNOWN.iter().position(|known| known.as_str() == name)?;
        Some(match self.0.get(place)? {
            Field::Missing => HeaderField::Missing,
            Field::Single(value) => HeaderField::Single(value.as_bytes()),
            Field::Repeated => HeaderField::Repeated,
        })
    }
}

/// A header that must not stand more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum One<'a> {
    /// Not there.
    Missing,
    /// There, in visible ASCII.
    Value(&'a str),
    /// There several times, or with other bytes.
    Bad,
}

/// Looks a header up.
pub(crate) fn one<'a>(headers: &'a HeaderMap, name: &str) -> One<'a> {
    let mut values = all(headers, name).iter();
    match (values.next(), values.next()) {
        (None, _) => One::Missing,
        (Some(value), None) => value.to_str().map_or(One::Bad, |v| One::Value(v.trim())),
        (Some(_), Some(_)) => One::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn p_28_accept_is_read_leniently() {
        let table: [(&[&str], bool, bool); 12] = [
            (&[], true, true),
            (&["*/*"], true, true),
            (&["application/json, text/event-stream"], true, true),
            (&["application/json", "text/event-stream"], true, true),
            (&["Application/JSON;charset=utf-8"], true, false),
            (&["text/event-stream"], false, true),
            (&["text/*"], false, true),
            (&["application/*;q=0.5"], true, false),
            (&["text/html"], false, false),
            (&["application/json;q=0"], false, false),
            (&["application/json; q=0.000, */*"], true, true),
            (&[""], false, false),
        ];
        for (values, json, events) in table {
            assert_eq!(
                Accept::of(&headers("accept", values)),
                Accept { json, events },
                "{values:?}"
            );
        }
    }

    #[test]
    fn oh_07_only_json_is_json() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
        ] {
            assert!(is_json(&headers("content-type", &[good])), "{good}");
        }
        for bad in [
            "text/plain",
            "application/json-seq",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert!(!is_json(&headers("content-type", &[bad])), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
        assert!(!is_json(&headers(
            "content-type",
            &["application/json", "application/json"]
        )));
    }

    #[test]
    fn p_21_a_repeated_header_is_bad() {
        assert_eq!(one(&headers(SESSION_ID, &["a", "a"]), SESSION_ID), One::Bad);
        assert_eq!(one(&headers(SESSION_ID, &[" a "]), SESSION_ID), One::Value("a"));
        assert_eq!(one(&HeaderMap::new(), SESSION_ID), One::Missing);
    }
}
