//! Where to listen, where to write, where to connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{HIDDEN, Text, shown_as_text, text_schema};
use crate::config::read::{Context, Read};
use crate::config::tree::Node;

/// An address to listen on: `127.0.0.1:8717`, `[::1]:8717`, `localhost:8717`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address(pub SocketAddr);

impl Address {
    /// Reads an IP address and a port; `localhost` stands for `127.0.0.1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Read for Address {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        const FORM: &str = "an IP address and a port: `127.0.0.1:8717`, `[::]:8717`";
        let scalar = cx.scalar(node, FORM)?;
        match Self::parse(&scalar.text) {
            Some(address) => Some(address),
            None => cx.refuse(
                node,
                format!(
                    "`{}` is not an address to listen on; write {FORM}",
                    scalar.shown()
                ),
            ),
        }
    }
}

shown_as_text!(Address);
text_schema!(Address, ".+:[0-9]{1,5}");

/// A directory or file, `~/` and relative paths already resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePath(pub PathBuf);

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Read for FilePath {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        if text.is_empty() {
            return cx.refuse(node, "the path is empty; name a path");
        }
        Some(Self(cx.sources.path(&text)))
    }
}

shown_as_text!(FilePath);
text_schema!(FilePath, ".+");

/// An http or https URL without user information and fragment; what follows `?` is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebUrl {
    /// The URL.
    pub url: url::Url,
    shown: String,
}

impl WebUrl {
    /// Checks and takes a URL.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = "this is neither an http nor an https URL; write `https://host/path`";
        let (url, shown) = checked(text, &["http", "https"], wrong)?;
        Ok(Self { url, shown })
    }
}

/// The URL of a server, with one of the schemes that servers are spoken to by; what follows `?` is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerUrl {
    /// The URL.
    pub url: url::Url,
    shown: String,
}

impl ServerUrl {
    /// Checks and takes a URL.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = "a server's URL begins with http, https, ws, wss, tcp or tls; write `https://host/path`";
        let (url, shown) = checked(text, &["http", "https", "ws", "wss", "tcp", "tls"], wrong)?;
        let framed = matches!(url.scheme(), "tcp" | "tls");
        if framed && (url.port().is_none() || !matches!(url.path(), "" | "/") || url.query().is_some()) {
            return Err("framed TCP is spoken at a host and a port; write `tcp://host:port`".to_owned());
        }
        Ok(Self { url, shown })
    }
}

/// A URL with one of these schemes, and how it is shown.
fn checked(text: &str, schemes: &[&str], wrong: &str) -> Result<(url::Url, String), String> {
    let url = url::Url::parse(text)
        .map_err(|error| format!("this is not a URL: {error}; write `https://host/path`"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(wrong.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a user name or password; put credentials into `headers`".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL has a fragment; remove `#` and what follows".to_owned());
    }
    let mut plain = url.clone();
    plain.set_query(url.query().map(|_| HIDDEN));
    let shown = match (plain.path(), plain.query()) {
        ("/", None) => plain.as_str().trim_end_matches('/').to_owned(),
        _ => plain.to_string(),
    };
    Ok((url, shown))
}

/// How a checked URL is read and shown.
macro_rules! checked_url {
    ($name:ident, $pattern:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.shown)
            }
        }

        impl Read for $name {
            fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
                let text = Text::read(node, cx)?;
                match Self::parse(&text.value) {
                    Ok(url) => Some(match text.written {
                        Some(written) => Self {
                            shown: written,
                            ..url
                        },
                        None => url,
                    }),
                    Err(message) => cx.refuse(node, message),
                }
            }
        }

        shown_as_text!($name);
        text_schema!($name, $pattern);
    };
}

checked_url!(WebUrl, "https?://.+");
checked_url!(ServerUrl, "(https?|wss?|tcp|tls)://.+");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_an_ip_and_a_port() {
        for (text, address) in [
            ("127.0.0.1:8717", Some("127.0.0.1:8717")),
            ("[::1]:0", Some("[::1]:0")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("8717", None),
            (":8717", None),
            ("example.com:80", None),
            ("127.0.0.1:65536", None),
        ] {
            assert_eq!(
                Address::parse(text).map(|a| a.to_string()).as_deref(),
                address,
                "{text}"
            );
        }
    }
}
