//! What the browser brings back from a provider (RFC 6749 §4.1.2, RFC 9207).

use sallyport_core::Secret;
use thiserror::Error;

use crate::params::{Params, ParamsError, Repeated};

/// The most that a callback's query may hold of one parameter, in bytes.
const MAX_VALUE: usize = 4096;

/// What came back, before anything of it is believed.
pub struct Callback {
    /// `state`: which log-in this is.
    pub state: String,
    /// `iss`: who says so, where the provider tells.
    pub issuer: Option<String>,
    /// The code, or why there is none.
    pub outcome: Outcome,
}

/// A code or an error.
pub enum Outcome {
    /// `code`.
    Code(Secret<String>),
    /// `error=access_denied`: the person said no, or the provider did.
    Denied,
    /// Another error, cleaned for the log. Its description is not looked at: anybody can write a link with one.
    Failed(String),
}

/// Why it is no answer of a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CallbackError {
    /// It cannot be read.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// A parameter came twice.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// Without `state`, or with neither code nor error, or with both.
    #[error("`state` and one of `code` and `error` are needed")]
    Incomplete,
}

impl Callback {
    /// Reads the query.
    ///
    /// # Errors
    /// [`CallbackError`].
    pub fn read(query: &str) -> Result<Self, CallbackError> {
        let params = Params::parse(query.as_bytes())?;
        let one = |name| -> Result<Option<String>, CallbackError> {
            let value = params.one(name)?;
            if value.is_some_and(|value| value.len() > MAX_VALUE) {
                return Err(ParamsError::TooLarge.into());
            }
            Ok(value.filter(|value| !value.is_empty()).map(str::to_owned))
        };
        let outcome = match (one("code")?, one("error")?) {
            (Some(code), None) => Outcome::Code(Secret::new(code)),
            (None, Some(error)) if error == "access_denied" => Outcome::Denied,
            (None, Some(error)) => Outcome::Failed(super::error_code(&error)),
            _ => return Err(CallbackError::Incomplete),
        };
        Ok(Self {
            state: one("state")?.ok_or(CallbackError::Incomplete)?,
            issuer: one("iss")?,
            outcome,
        })
    }

    /// Whether the answer may be the expected issuer's (RFC 9207 §2.4): compared as it is written. One that is promised
    /// has to be there, one that is there has to be right.
    #[must_use]
    pub fn is_from(&self, expected: &str, promised: bool) -> bool {
        match &self.issuer {
            Some(issuer) => issuer == expected,
            None => !promised,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn co_11_what_comes_back_is_read_strictly() {
        for bad in [
            "",
            "code=c",
            "state=s",
            "state=s&code=c&code=d",
            "state=s&state=t&code=c",
            "state=s&code=c&error=access_denied",
            "state=&code=c",
        ] {
            assert!(Callback::read(bad).is_err(), "{bad}");
        }
        let long = format!("state=s&code={}", "c".repeat(MAX_VALUE + 1));
        assert!(Callback::read(&long).is_err());
        let good = Callback::read("state=s&code=c&scope=x").unwrap();
        assert!(matches!(good.outcome, Outcome::Code(code) if code.expose() == "c"));
        let denied = Callback::read("state=s&error=access_denied&error_description=%3Cb%3E").unwrap();
        assert!(matches!(denied.outcome, Outcome::Denied));
        let failed = Callback::read("state=s&error=bad%3Cscript%3E").unwrap();
        assert!(matches!(failed.outcome, Outcome::Failed(code) if code == "badscript"));
    }

    #[test]
    fn co_11_the_issuer_is_compared_as_it_is_written() {
        let from = |query: &str, promised| {
            let callback = Callback::read(&format!("state=s&code=c{query}")).unwrap();
            callback.is_from("https://idp.test", promised)
        };
        assert!(from("&iss=https://idp.test", true) && from("", false));
        assert!(!from("", true));
        for other in [
            "https://idp.test/",
            "https://IDP.test",
            "https://evil.test",
            "http://idp.test",
        ] {
            assert!(!from(&format!("&iss={other}"), false), "{other}");
        }
    }
}
