//! Redirect URIs: which may be registered, and which a request may name.
//!
//! They are compared as strings; the one freedom is the port of a loopback URI (RFC 8252 §7.3, OAuth 2.1 §2.3.1).

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// The longest redirect URI that is accepted, in bytes.
pub const MAX_BYTES: usize = 2048;

/// The private-use schemes that are accepted if the operator says nothing else: those of known MCP clients.
pub const DEFAULT_PRIVATE_SCHEMES: &[&str] = &[
    "claude",
    "cline",
    "code-oss",
    "cursor",
    "goose",
    "jetbrains",
    "kiro",
    "lmstudio",
    "raycast",
    "trae",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "warp",
    "windsurf",
    "zed",
];

/// Schemes that run or read something where they are opened: never accepted, whatever the operator's list says.
const DANGEROUS_SCHEMES: &[&str] = &[
    "about",
    "blob",
    "chrome",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "jar",
    "mailto",
    "ms-msdt",
    "search-ms",
    "smb",
    "ssh",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// Where a redirect goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectKind {
    /// A site on the web.
    Https,
    /// A program on the person's own computer; any program can listen there.
    Loopback,
    /// An app that the operating system knows by a scheme; any app can claim it.
    PrivateUse,
}

/// Why a redirect URI cannot be registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RedirectError {
    /// Empty, longer than [`MAX_BYTES`], or with characters that a URI cannot hold.
    #[error("must be a URI of at most 2048 visible ASCII characters, without backslash")]
    Form,
    /// With a `#` (RFC 6749 §3.1.2).
    #[error("must not have a fragment")]
    Fragment,
    /// With a user name or password before the host.
    #[error("must not have user information")]
    UserInfo,
    /// Plain http to another host than loopback.
    #[error("must be https, or http on 127.0.0.1, [::1] or localhost")]
    PlainHttp,
    /// A scheme that is not on the operator's list.
    #[error(
        "has a scheme that this gateway does not accept; its operator can add it to the list of private-use schemes"
    )]
    Scheme,
    /// A private-use scheme for a client with a secret.
    #[error("has a private-use scheme, which only a public client may use")]
    Confidential,
}

/// Judges one redirect URI of a registration. `private_schemes` is the operator's list, in lower case.
///
/// # Errors
/// [`RedirectError`] says what is wrong with this URI.
pub fn classify(uri: &str, private_schemes: &[String]) -> Result<RedirectKind, RedirectError> {
    let visible = uri
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
    if uri.is_empty() || uri.len() > MAX_BYTES || !visible {
        return Err(RedirectError::Form);
    }
    if uri.contains('#') {
        return Err(RedirectError::Fragment);
    }
    let url = Url::parse(uri).map_err(|_| RedirectError::Form)?;
    if !url.username().is_empty() || url.password().is_some() || authority(uri).contains('@') {
        return Err(RedirectError::UserInfo);
    }
    match url.scheme() {
        "https" if uri.starts_with("https://") && url.host_str().is_some_and(plain_host) => {
            Ok(RedirectKind::Https)
        }
        "https" => Err(RedirectError::Form),
        "http" => loopback(uri)
            .map(|_| RedirectKind::Loopback)
            .ok_or(RedirectError::PlainHttp),
        scheme if DANGEROUS_SCHEMES.contains(&scheme) => Err(RedirectError::Scheme),
        scheme if private_schemes.iter().any(|s| s == scheme) => Ok(RedirectKind::PrivateUse),
        _ => Err(RedirectError::Scheme),
    }
}

/// Whether the redirect URI of a request is one of the registered: the same string, or the same loopback URI on
/// another port.
#[must_use]
pub fn is_registered(requested: &str, registered: &[String]) -> bool {
    let asked = loopback(requested);
    registered
        .iter()
        .any(|one| one == requested || (asked.is_some() && loopback(one) == asked))
}

/// The URI without its port if it is a loopback one: what a remembered consent is kept under.
#[must_use]
pub fn without_port(uri: &str) -> String {
    loopback(uri).map_or_else(|| uri.to_owned(), |(host, rest)| format!("http://{host}{rest}"))
}

/// The `form-action` source that lets a form's answer redirect to this URI (CSP 3 §6.4.1). Browsers block the redirect
/// of a form's answer to anything that the page did not name.
#[must_use]
pub fn csp_source(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    match url.scheme() {
        // The grammar of CSP sources knows no IPv6 literals.
        "http" | "https" if url.host_str().is_some_and(|h| h.starts_with('[')) => {
            Some(format!("{}:", url.scheme()))
        }
        "http" | "https" => Some(url.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    }
}

/// What a person should look at before saying yes: the host and port, or for an app the whole URI without its query,
/// because many can claim a scheme (RU-12).
#[must_use]
pub fn destination(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else {
        return String::new();
    };
    match (url.host_str(), url.port()) {
        _ if !matches!(url.scheme(), "http" | "https") => uri
            .split('?')
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect(),
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}

/// A host without the odd characters that the URL standard lets through: it is written into a policy header.
fn plain_host(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(allowed)
}

/// Host and everything behind the port of a plain-http loopback URI, from the text itself: nothing is normalised.
fn loopback(uri: &str) -> Option<(&'static str, &str)> {
    let after_scheme = uri.strip_prefix("http://")?;
    ["127.0.0.1", "[::1]", "localhost"].into_iter().find_map(|host| {
        let rest = after_scheme.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            None => rest,
            Some(with_port) => {
                let digits = with_port.bytes().take_while(u8::is_ascii_digit).count();
                let (port, rest) = with_port.split_at_checked(digits)?;
                (port.parse::<u16>().ok()? != 0).then_some(rest)?
            }
        };
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
    })
}

fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
