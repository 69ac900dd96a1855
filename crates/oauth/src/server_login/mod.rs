//! The gateway as an OAuth client of the servers behind it (2026-07-28, Authorization): what their answers say, and what is
//! asked of their authorization servers. No IO.
//!
//! [`challenge`] is what a server says that wants a token, [`resource`] what it says about itself (RFC 9728), [`issuer`] what
//! its authorization server says (RFC 8414), [`client`] who we are there, [`request`] what is asked, [`tokens`] what is got.

pub mod challenge;
pub mod client;
pub mod issuer;
pub mod request;
pub mod resource;
pub mod tokens;

use serde_json::Value;
use thiserror::Error;
use url::Url;

pub use challenge::Challenge;

/// The largest metadata document or answer that is read, in bytes (MD-08).
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// The most scopes that are taken from one list.
pub const MAX_SCOPES: usize = 100;

/// The longest scope, in bytes.
const MAX_SCOPE: usize = 256;

/// Why nobody can log in at a server. The texts are for the person and for the operator; none holds more of another's words
/// than a host or an error code.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LoginError {
    /// Another status than the one that was hoped for.
    #[error("the {0} answered with status {1}")]
    Status(&'static str, u16),
    /// Not what it should be.
    #[error("the {0} cannot be used: {1}")]
    Form(&'static str, &'static str),
    /// The document is about another resource (RFC 9728 §3.3).
    #[error(
        "the server's metadata is about another resource than the server itself, so it is not used (RFC 9728 §3.3)"
    )]
    OtherResource,
    /// The server names no authorization server.
    #[error("the server does not say where to log in")]
    NoIssuer,
    /// The operator's authorization server is not among those that the server names.
    #[error("the server does not name the authorization server that is configured for it")]
    NotConfigured,
    /// The document names another issuer than the one it was asked of (RFC 8414 §3.3).
    #[error("the authorization server's metadata names another issuer, so it is not used (RFC 8414 §3.3)")]
    OtherIssuer,
    /// No PKCE with S256.
    #[error("the authorization server does not say that it has PKCE with S256, without which nobody logs in")]
    NoPkce,
    /// No way to become a client.
    #[error(
        "the authorization server registers nobody by itself: register Sallyport there and configure `auth.client_id` for this server"
    )]
    NoRegistration,
    /// An error in the words of OAuth (RFC 6749 §5.2).
    #[error("the {0} says `{1}`")]
    Refused(&'static str, String),
}

/// The URLs that the operator wrote: those may be plain http, and so may others on the same hosts; everything else is https.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a>(pub &'a [Url]);

impl Named<'_> {
    /// Whether the host is one that the operator named.
    #[must_use]
    pub fn has_host(&self, url: &Url) -> bool {
        self.0.iter().any(|named| named.host() == url.host())
    }

    /// The URL, if it may be called or shown to a browser (MD-05).
    ///
    /// # Errors
    /// [`LoginError::Form`] about `what`.
    pub fn usable(&self, what: &'static str, text: &str) -> Result<Url, LoginError> {
        let bad = |why| LoginError::Form(what, why);
        let url = Url::parse(text).map_err(|_| bad("it names what is no URL"))?;
        let plain = || {
            let named = self.0.iter().filter(|named| named.scheme() == "http");
            url.scheme() == "http" && named.into_iter().any(|named| named.host() == url.host())
        };
        if url.scheme() != "https" && !plain() {
            return Err(bad("it names a URL that is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(bad("it names a URL with user information or a fragment"));
        }
        // It is written into a policy header of the page that leads there.
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if !url.host_str().is_some_and(|host| host.bytes().all(allowed)) {
            return Err(bad("it names a host that is none"));
        }
        Ok(url)
    }
}

/// A list of scopes, as far as they are scopes (RFC 6749 §3.3): each once, in their order.
fn scopes<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_scope = |word: &&str| {
        (1..=MAX_SCOPE).contains(&word.len())
            && word
                .bytes()
                .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let mut list: Vec<String> = Vec::new();
    for word in words.filter(is_scope).take(MAX_SCOPES) {
        if !list.iter().any(|known| known == word) {
            list.push(word.to_owned());
        }
    }
    list
}

/// Both, each scope once: what was granted and what is asked for besides (2026-07-28, Step-Up Authorization Flow).
#[must_use]
pub fn union(before: &[String], more: &[String]) -> Vec<String> {
    scopes(before.iter().chain(more).map(String::as_str))
}

/// The texts of a list in a document.
fn texts<'v>(document: &'v Value, name: &str) -> Option<impl Iterator<Item = &'v str>> {
    let list = document.get(name)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str))
}

/// The object of an answer with status 200.
fn object(what: &'static str, status: u16, body: &[u8]) -> Result<Value, LoginError> {
    if status != 200 {
        return Err(LoginError::Status(what, status));
    }
    let value: Option<Value> = serde_json::from_slice(body).ok();
    value
        .filter(Value::is_object)
        .ok_or(LoginError::Form(what, "it is no JSON object"))
}

/// The `error` of an answer, as far as it may be shown (RFC 6749 §5.2).
fn error_code(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let code: String = value
        .get("error")?
        .as_str()?
        .chars()
        .filter(plain)
        .take(64)
        .collect();
    (!code.is_empty()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md_05_only_https_and_what_the_operator_wrote_in_plain() {
        let named = [
            Url::parse("http://inner.test:81/mcp").unwrap(),
            Url::parse("https://s.test/mcp").unwrap(),
        ];
        let named = Named(&named);
        for good in [
            "https://as.test/x?y=1",
            "http://inner.test:99/as",
            "https://inner.test",
        ] {
            assert!(named.usable("x", good).is_ok(), "{good}");
        }
        for bad in [
            "http://s.test/as",
            "http://as.test/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "a:$(id)",
            "https://u@as.test/",
            "https://as.test/#x",
            "ftp://inner.test/",
            "https://a;b.test/",
            "https://a'b.test/",
            "/relative",
            "",
        ] {
            assert!(named.usable("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_scopes_and_each_is_there_once() {
        let union = union(
            &["a".to_owned(), "b".to_owned()],
            &[
                "b".to_owned(),
                "c:d".to_owned(),
                "no scope".to_owned(),
                String::new(),
                "\"".to_owned(),
            ],
        );
        assert_eq!(union, ["a", "b", "c:d"]);
        let many: Vec<String> = (0..=MAX_SCOPES).map(|n| n.to_string()).collect();
        assert_eq!(super::union(&many, &[]).len(), MAX_SCOPES);
    }
}
