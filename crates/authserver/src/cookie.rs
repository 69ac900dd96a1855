//! The two cookies: who is logged in, and which browser a form was made for.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HeaderValue};

/// A cookie of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cookie {
    /// The browser session.
    Session,
    /// What the forms of somebody who is not logged in are bound to.
    Browser,
}

impl Cookie {
    /// With https the prefix keeps other hosts and plain http from setting it (CO-06).
    fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Self::Session, true) => "__Host-sallyport-session",
            (Self::Session, false) => "sallyport-session",
            (Self::Browser, true) => "__Host-sallyport-browser",
            (Self::Browser, false) => "sallyport-browser",
        }
    }

    /// The value that the browser sent, if it is one of ours by its form: 32 bytes in base64url.
    pub(crate) fn read(self, headers: &HeaderMap, https: bool) -> Option<String> {
        let pairs = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(';'));
        let mut values = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(n, _)| *n == self.name(https));
        let (_, value) = values.next()?;
        let good = value.len() == 43
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        good.then(|| value.to_owned())
    }

    /// `Set-Cookie` with a new value; it ends with the browser's session, or earlier in the store.
    pub(crate) fn set(self, value: &str, https: bool) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("{}={value}{}", self.name(https), attributes(https))).ok()
    }

    /// `Set-Cookie` that removes it.
    pub(crate) fn clear(self, https: bool) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("{}={}; Max-Age=0", self.name(https), attributes(https))).ok()
    }
}

/// Lax, not Strict: a person comes to the authorization endpoint from a page of the client and is logged in there.
fn attributes(https: bool) -> &'static str {
    if https {
        "; Path=/; Secure; HttpOnly; SameSite=Lax"
    } else {
        "; Path=/; HttpOnly; SameSite=Lax"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn co_06_flags_and_prefix() {
        let value = "a".repeat(43);
        let secure = Cookie::Session.set(&value, true).unwrap();
        assert_eq!(
            secure.to_str().unwrap(),
            format!("__Host-sallyport-session={value}; Path=/; Secure; HttpOnly; SameSite=Lax")
        );
        let plain = Cookie::Browser.set(&value, false).unwrap();
        assert_eq!(
            plain.to_str().unwrap(),
            format!("sallyport-browser={value}; Path=/; HttpOnly; SameSite=Lax")
        );
        assert!(
            Cookie::Session
                .clear(true)
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("Max-Age=0")
        );
    }

    #[test]
    fn only_the_right_name_and_form_is_read() {
        let value = "b".repeat(43);
        let read = |text: String, https| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(&text).unwrap());
            Cookie::Session.read(&headers, https)
        };
        assert_eq!(
            read(format!("x=1; sallyport-session={value}; y=2"), false),
            Some(value.clone())
        );
        assert_eq!(read(format!("sallyport-session={value}"), true), None);
        assert_eq!(read("sallyport-session=short".into(), false), None);
        assert_eq!(read(format!("sallyport-session={}", "*".repeat(43)), false), None);
        assert_eq!(read("nonsense".into(), false), None);
    }
}
