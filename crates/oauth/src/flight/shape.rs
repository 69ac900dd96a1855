//! What is left of a request in a record: shapes that no secret fits into.
//!
//! Codes, verifiers, tokens and session secrets of this gateway have 43 characters or more. No word here is longer than
//! [`MAX_WORD`], and queries, where they travel, are left out.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use url::Url;

/// The longest word that is kept as it is, in characters.
pub const MAX_WORD: usize = 40;
/// The longest place or program name, in characters.
const MAX_TEXT: usize = 200;
/// How much of a longer word is kept.
const HEAD: usize = 8;

/// The program that sent a request, by the product names that it gives itself (RFC 9110 §10.1.5).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Agent(String);

impl Agent {
    /// Reads a `User-Agent`.
    #[must_use]
    pub fn of(header: &str) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+();:,@".contains(c);
        let words = header.split_ascii_whitespace();
        let kept = words.filter(|word| word.len() <= MAX_WORD && word.chars().all(plain));
        let line = kept.take(12).collect::<Vec<_>>().join(" ");
        Self(line.chars().take(MAX_TEXT / 2).collect())
    }

    /// Whether both may be one program: one that names itself in some of its requests only, or by its two HTTP clients
    /// (Node's `fetch` is both `node` and `undici`).
    #[must_use]
    pub fn is_kin(&self, other: &Self) -> bool {
        let family = |agent: &Self| match agent.0.as_str() {
            "undici" => "node".to_owned(),
            other => other.to_owned(),
        };
        // A browser always says that it is one.
        let is_silent = |one: &Self, other: &Self| one.0.is_empty() && !other.0.starts_with("Mozilla/");
        family(self) == family(other) || is_silent(self, other) || is_silent(other, self)
    }

    /// The names; empty where the program gave none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Agent {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<Agent> for String {
    fn from(agent: Agent) -> Self {
        agent.0
    }
}

/// A URI or path, without user information, query and fragment, and with long words cut.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Place(String);

impl Place {
    /// Reads a URI or path.
    #[must_use]
    pub fn of(uri: &str) -> Self {
        let bare = uri.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = bare
            .split_once("://")
            .map_or((None, bare), |(scheme, rest)| (Some(scheme), rest));
        let (authority, path) = match (scheme, rest.find('/')) {
            (Some(_), Some(at)) => rest.split_at_checked(at).unwrap_or((rest, "")),
            (Some(_), None) => (rest, ""),
            (None, _) => ("", rest),
        };
        let host = authority.rsplit('@').next().unwrap_or_default();
        let labels: Vec<String> = host.split('.').map(cut).collect();
        let words: Vec<String> = path.split('/').map(cut).collect();
        let scheme = scheme.map(|scheme| format!("{}://", cut(scheme)));
        let whole = format!(
            "{}{}{}",
            scheme.unwrap_or_default(),
            labels.join("."),
            words.join("/")
        );
        Self(whole.chars().take(MAX_TEXT).collect())
    }

    /// The place.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Place {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.0
    }
}

/// A word that is short enough, or its begin. What was cut stays so when it is read again.
fn cut(word: &str) -> String {
    let shown = |c: char| {
        if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>') || c == '…' {
            c
        } else {
            '?'
        }
    };
    if word.chars().count() <= MAX_WORD {
        return word.chars().map(shown).collect();
    }
    let head: String = word.chars().take(HEAD).map(shown).collect();
    format!("{head}…")
}

/// What two values have in common if they are one: 48 bits of a SHA-256, from which no value can be found again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Fingerprint([u8; 6]);

impl Fingerprint {
    /// The fingerprint of these values in this order.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let hash = context.finish();
        Self(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// In what a redirect URI differs from the registered one that is most like it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Only in a `/` at the end.
    Slash,
    /// In the query.
    Query,
    /// In the path.
    Path,
    /// In the port, where that counts.
    Port,
    /// In the host; `localhost` and `127.0.0.1` are two.
    Host,
    /// In the scheme.
    Scheme,
}

impl Difference {
    /// The gravest difference to the nearest of the registered URIs; none if there is nothing to compare.
    #[must_use]
    pub fn between(asked: &str, registered: &[String]) -> Option<Self> {
        let asked = Url::parse(asked).ok()?;
        let known = registered.iter().filter_map(|one| Url::parse(one).ok());
        let differences = known.filter_map(|known| {
            let all = Self::all(&asked, &known);
            Some((all.len(), all.into_iter().max()?))
        });
        differences.min().map(|(_, gravest)| gravest)
    }

    fn all(asked: &Url, known: &Url) -> Vec<Self> {
        let slashless = |url: &Url| url.path().trim_end_matches('/').to_owned();
        let is_other_path = slashless(asked) != slashless(known);
        let table = [
            (Self::Scheme, asked.scheme() != known.scheme()),
            (Self::Host, asked.host_str() != known.host_str()),
            // Of loopback URIs it does not count.
            (
                Self::Port,
                asked.port() != known.port() && asked.scheme() == "https",
            ),
            (Self::Path, is_other_path),
            (Self::Slash, !is_other_path && asked.path() != known.path()),
            (Self::Query, asked.query() != known.query()),
        ];
        let found = table.into_iter().filter(|(_, differs)| *differs);
        found.map(|(difference, _)| difference).collect()
    }

    /// In words that follow "they differ in".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Slash => "the slash at the end",
            Self::Query => "the query",
            Self::Path => "the path",
            Self::Port => "the port",
            Self::Host => "the host",
            Self::Scheme => "the scheme",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_fits_into_a_shape() {
        let secret = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let uris = [
            format!("http://127.0.0.1:1/cb?code={secret}"),
            format!("http://127.0.0.1:1/{secret}/cb"),
            format!("http://{secret}@127.0.0.1:1/cb"),
            format!("http://{secret}.test/cb"),
            format!("cursor://{secret}/x#{secret}"),
            format!("/mcp/{secret}?token={secret}"),
            format!("{secret}://h"),
            secret.to_owned(),
        ];
        for uri in uris {
            let kept = Place::of(&uri);
            assert!(!kept.as_str().contains(secret), "{uri}: {kept:?}");
            // Reading a record again changes nothing.
            assert_eq!(Place::of(kept.as_str()), kept);
        }
        let agent = Agent::of(&format!("evil/1 {secret} Bearer+{secret}"));
        assert_eq!(agent.as_str(), "evil/1");
    }

    #[test]
    fn places_that_people_have_to_recognise_stay_whole() {
        for uri in [
            "http://127.0.0.1:41213/callback",
            "http://127.0.0.1:1/",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "http://[::1]:7777/cb",
            "/mcp/team",
        ] {
            assert_eq!(Place::of(uri).as_str(), uri);
        }
    }

    #[test]
    fn words_at_the_limit_and_one_past_it() {
        let (at, past) = ("a".repeat(MAX_WORD), "a".repeat(MAX_WORD + 1));
        assert_eq!(Place::of(&format!("/{at}")).as_str(), format!("/{at}"));
        assert_eq!(Place::of(&format!("/{past}")).as_str(), "/aaaaaaaa…");
        assert_eq!(Agent::of(&at).as_str(), at);
        assert_eq!(Agent::of(&past).as_str(), "");
    }

    #[test]
    fn differences_to_the_nearest_registered_uri() {
        let known = |uri: &str| vec![uri.to_owned(), "https://other.test/x".to_owned()];
        let table = [
            (
                "http://127.0.0.1:1/cb",
                "http://127.0.0.1:9/callback",
                Difference::Path,
            ),
            (
                "http://127.0.0.1:1/cb/",
                "http://127.0.0.1:9/cb",
                Difference::Slash,
            ),
            ("http://127.0.0.1:1/cb", "http://localhost:1/cb", Difference::Host),
            ("https://127.0.0.1/cb", "http://127.0.0.1/cb", Difference::Scheme),
            ("https://c.test:1/cb", "https://c.test/cb", Difference::Port),
            ("https://c.test/cb?a=1", "https://c.test/cb", Difference::Query),
            ("cursor://x/cb", "vscode://x/cb", Difference::Scheme),
        ];
        for (asked, registered, difference) in table {
            assert_eq!(
                Difference::between(asked, &known(registered)),
                Some(difference),
                "{asked}"
            );
        }
        assert_eq!(Difference::between("http://h/", &[]), None);
    }
}
