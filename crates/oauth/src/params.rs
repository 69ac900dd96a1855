//! Request parameters: a query or an `application/x-www-form-urlencoded` body, read strictly.

use thiserror::Error;
use url::form_urlencoded;

/// The longest query or form that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// The most parameters that are read.
pub const MAX_PARAMS: usize = 64;

/// Why parameters could not be read. Nothing in them can be trusted then, not even where to send an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ParamsError {
    /// More than [`MAX_BYTES`] or [`MAX_PARAMS`].
    #[error("the request is too large")]
    TooLarge,
    /// A broken percent-encoding, bytes that are not UTF-8, or control characters (RFC 6749 appendix A).
    #[error("the request holds broken encodings or control characters")]
    Malformed,
}

/// A parameter that may be there once was there more often (OAuth 2.1 §3.1). Its name is a fixed text of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("`{0}` may be given only once")]
pub struct Repeated(pub &'static str);

/// The parameters of one request, decoded, in order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string or a form body.
    ///
    /// # Errors
    /// [`ParamsError`]: unlike a lenient parser it replaces nothing, so that what is checked is what was sent.
    pub fn parse(encoded: &[u8]) -> Result<Self, ParamsError> {
        if encoded.len() > MAX_BYTES {
            return Err(ParamsError::TooLarge);
        }
        let mut pairs = Vec::new();
        for pair in encoded.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PARAMS {
                return Err(ParamsError::TooLarge);
            }
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The parameter's one value. A parameter without a value counts as not given (RFC 6749 §3.1).
    ///
    /// # Errors
    /// [`Repeated`] if it is given more than once, with or without values.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut found = self.all(name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Repeated(name)),
            (value, None) => Ok(value.filter(|v| !v.is_empty())),
        }
    }

    /// Every value of the parameter, empty ones too.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The names, in order, with repetitions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(n, _)| n.as_str())
    }

    /// The same parameters with every value of `name` replaced by one, or removed.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<String>) -> Self {
        self.0.retain(|(n, _)| n != name);
        if let Some(value) = value {
            self.0.push((name.to_owned(), value));
        }
        self
    }

    /// The query string of these parameters.
    #[must_use]
    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }
}

pub(crate) fn decode(encoded: &[u8]) -> Result<String, ParamsError> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            other => other,
        });
    }
    let text = String::from_utf8(out).map_err(|_| ParamsError::Malformed)?;
    if text.chars().any(char::is_control) {
        Err(ParamsError::Malformed)
    } else {
        Ok(text)
    }
}

fn hex(digit: Option<u8>) -> Result<u8, ParamsError> {
    digit
        .and_then(|d| char::from(d).to_digit(16))
        .and_then(|d| u8::try_from(d).ok())
        .ok_or(ParamsError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn az_03_a_parameter_counts_once_or_not_at_all() {
        let params = Params::parse(b"a=1&b=2&a=1&empty=&none").unwrap();
        assert_eq!(params.one("a"), Err(Repeated("a")));
        assert_eq!(params.one("b"), Ok(Some("2")));
        assert_eq!(params.one("empty"), Ok(None));
        assert_eq!(params.one("none"), Ok(None));
        assert_eq!(params.one("absent"), Ok(None));
        let twice = Params::parse(b"state=&state=x").unwrap();
        assert_eq!(twice.one("state"), Err(Repeated("state")));
    }

    #[test]
    fn tk_14_broken_encodings_and_control_characters_are_refused() {
        for bad in [
            "a=%",
            "a=%4",
            "a=%zz",
            "a=%ff",
            "a=%00",
            "%0a=1",
            "a=%0d%0ab",
            "a=%c3",
            "a=\u{7f}",
        ] {
            assert_eq!(
                Params::parse(bad.as_bytes()),
                Err(ParamsError::Malformed),
                "{bad}"
            );
        }
        assert_eq!(Params::parse(b"a=\xff"), Err(ParamsError::Malformed));
    }

    #[test]
    fn limits_hold_at_and_past_the_bound() {
        let at = format!("a={}", "x".repeat(MAX_BYTES - 2));
        assert!(Params::parse(at.as_bytes()).is_ok());
        assert_eq!(
            Params::parse(format!("{at}x").as_bytes()),
            Err(ParamsError::TooLarge)
        );
        let many = "a&".repeat(MAX_PARAMS);
        assert!(Params::parse(many.as_bytes()).is_ok());
        assert_eq!(
            Params::parse(format!("{many}a").as_bytes()),
            Err(ParamsError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(pairs in prop::collection::vec(("[a-z_]{1,8}", "[^\\p{Cc}]{0,24}"), 0..8)) {
            let params = Params(pairs);
            prop_assert!(Params::parse(params.encode().as_bytes()) == Ok(params));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(params) = Params::parse(&bytes) {
                prop_assert!(params.names().count() <= MAX_PARAMS);
            }
        }

        #[test]
        fn agrees_with_the_lenient_parser_where_both_read(text in "[a-z0-9=&+%~ ]{0,64}") {
            if let Ok(params) = Params::parse(text.as_bytes()) {
                let lenient: Vec<_> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
                prop_assert_eq!(params.0, lenient);
            }
        }
    }

    impl std::fmt::Debug for Params {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Params").field(&self.0).finish()
        }
    }
}
