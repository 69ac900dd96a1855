//! URIs with the name of their server before them.

use std::borrow::Cow;

use sallyport_core::ServerName;

/// Where a URI leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UriRoute<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The URI as the server knows it.
    pub remote: Cow<'a, str>,
}

/// A server's name as the beginning of a URI scheme (RFC 3986 §3.1: letters, digits, `+`, `-`, `.`, a letter first).
fn label(server: &ServerName) -> String {
    let mut out = String::with_capacity(server.as_str().len() + 1);
    if server.as_str().bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        out.push('s');
    }
    out.extend(
        server
            .as_str()
            .chars()
            .map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }),
    );
    out
}

/// Labels for servers, in their order: two servers whose names give the same label get different ones.
pub(super) fn labels<'a>(servers: impl IntoIterator<Item = &'a ServerName>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for server in servers {
        let plain = label(server);
        let numbered = |n: usize| {
            if n == 0 {
                plain.clone()
            } else {
                format!("{plain}-{n}")
            }
        };
        let free = (0..=labels.len()).map(numbered).find(|l| !labels.contains(l));
        labels.push(free.unwrap_or(plain));
    }
    labels
}

/// `{label}+{uri}`; a `ui://` URI keeps its scheme, which hosts look at: `ui://{label}+{rest}`.
#[must_use]
pub fn prefixed_uri(label: &str, uri: &str) -> String {
    match uri.strip_prefix("ui://") {
        Some(rest) => format!("ui://{label}+{rest}"),
        None => format!("{label}+{uri}"),
    }
}

/// The label that a URI bears, and the URI without it.
pub(super) fn split_label<'u>(uri: &'u str, labels: &[String]) -> Option<(usize, Cow<'u, str>)> {
    let strip = |text: &'u str, label: &String| text.strip_prefix(label.as_str())?.strip_prefix('+');
    if let Some(rest) = uri.strip_prefix("ui://") {
        return labels
            .iter()
            .enumerate()
            .find_map(|(i, label)| Some((i, Cow::Owned(format!("ui://{}", strip(rest, label)?)))));
    }
    labels
        .iter()
        .enumerate()
        .find_map(|(i, label)| Some((i, Cow::Borrowed(strip(uri, label)?))))
}
