//! `WWW-Authenticate` of a server that wants a token (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use url::Url;

/// The most of the header that is read, in bytes.
const MAX_HEADER: usize = 8 * 1024;

/// What a server says about the token that it wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Challenge {
    /// `resource_metadata`: where it describes itself.
    pub resource_metadata: Option<Url>,
    /// `scope`: what the token has to allow.
    pub scopes: Vec<String>,
    /// `error`.
    pub error: Option<String>,
}

impl Challenge {
    /// The `Bearer` challenge among the header's values, if there is one. What cannot be read of it is left out.
    #[must_use]
    pub fn read<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut found: Option<Self> = None;
        for value in values.filter(|value| value.len() <= MAX_HEADER) {
            let Ok(text) = std::str::from_utf8(value) else {
                continue;
            };
            let mut is_bearer = false;
            for part in Parts(text) {
                match part {
                    Part::Scheme(scheme) => {
                        is_bearer = scheme.eq_ignore_ascii_case("bearer") && found.is_none();
                        if is_bearer {
                            found = Some(Self::default());
                        }
                    }
                    Part::Param(name, value) if is_bearer => {
                        if let Some(found) = &mut found {
                            found.take(name, &value);
                        }
                    }
                    Part::Param(..) => {}
                }
            }
        }
        found
    }

    fn take(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("resource_metadata") {
            let url = Url::parse(value).ok();
            self.resource_metadata = url.filter(|url| matches!(url.scheme(), "https" | "http"));
        } else if name.eq_ignore_ascii_case("scope") {
            self.scopes = super::scopes(value.split(' '));
        } else if name.eq_ignore_ascii_case("error") {
            let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            self.error = Some(value.chars().filter(plain).take(64).collect());
        }
    }

    /// Whether a token is refused only because it does not allow enough (RFC 6750 §3.1).
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

/// A piece of the header.
enum Part<'a> {
    Scheme(&'a str),
    Param(&'a str, String),
}

/// The pieces of the header: what cannot be read is skipped up to the next comma.
struct Parts<'a>(&'a str);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            self.0 = self.0.trim_start_matches([' ', '\t', ',']);
            if self.0.is_empty() {
                return None;
            }
            let end = self.0.find(|c: char| !is_token(c)).unwrap_or(self.0.len());
            let (word, rest) = self.0.split_at(end);
            if word.is_empty() {
                self.skip();
                continue;
            }
            let Some(value) = rest.trim_start_matches([' ', '\t']).strip_prefix('=') else {
                self.0 = rest;
                return Some(Part::Scheme(word));
            };
            let value = value.trim_start_matches([' ', '\t']);
            match value.strip_prefix('"') {
                Some(quoted) => {
                    let (text, rest) = unquoted(quoted);
                    self.0 = rest;
                    return Some(Part::Param(word, text));
                }
                None => {
                    let end = value.find(|c: char| !is_token(c)).unwrap_or(value.len());
                    let (text, rest) = value.split_at(end);
                    self.0 = rest;
                    if text.is_empty() {
                        // The padding of a token68.
                        self.skip();
                        continue;
                    }
                    return Some(Part::Param(word, text.to_owned()));
                }
            }
        }
    }
}

impl Parts<'_> {
    fn skip(&mut self) {
        self.0 = self.0.find(',').map_or("", |at| self.0.split_at(at).1);
    }
}

/// A quoted string's text, and what follows it.
fn unquoted(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, quoted.split_at(at + 1).1),
            '\\' => text.extend(chars.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    (text, "")
}

/// RFC 9110 §5.6.2, and what stands in bare values though it should be quoted: URLs.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/?".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Challenge> {
        Challenge::read([value.as_bytes()].into_iter())
    }

    #[test]
    fn what_servers_write_is_read() {
        let url = |text: &str| Url::parse(text).ok();
        for value in [
            r#"Bearer realm="x", resource_metadata="https://s.test/.well-known/a", scope="r w", error="invalid_token""#,
            r#"bearer scope="r w",error=invalid_token,resource_metadata=https://s.test/.well-known/a"#,
            r#"Basic realm="a, Bearer scope=\"no\"", Bearer resource_metadata = "https://s.test/.well-known/a" , scope="r w r", error="invalid_token", Digest scope="z""#,
            r#"Negotiate abc==, Bearer error="invalid_token", scope="r w", resource_metadata="https://s.test/.well-known/a""#,
        ] {
            let challenge = read(value).expect(value);
            assert_eq!(
                challenge.resource_metadata,
                url("https://s.test/.well-known/a"),
                "{value}"
            );
            assert_eq!(challenge.scopes, ["r", "w"], "{value}");
            assert_eq!(challenge.error.as_deref(), Some("invalid_token"), "{value}");
            assert!(!challenge.wants_more());
        }
        assert_eq!(read("Bearer"), Some(Challenge::default()));
        assert!(read(r#"Bearer error="insufficient_scope""#).is_some_and(|c| c.wants_more()));
    }

    #[test]
    fn what_is_none_is_left_out() {
        for none in ["", "Basic realm=\"x\"", ",,,", "\"", "=", "DPoP algs=\"ES256\""] {
            assert_eq!(read(none), None, "{none}");
        }
        let odd = read("Bearer resource_metadata=\"javascript:alert(1)\", scope=\"\\\"\", error=\"<b>\"");
        let odd = odd.expect("a challenge");
        assert_eq!(odd.resource_metadata, None);
        assert!(odd.scopes.is_empty());
        assert_eq!(odd.error.as_deref(), Some("b"));
        let at = format!("Bearer scope=\"{}\"", "x ".repeat(MAX_HEADER / 2 - 8).trim_end());
        assert!(at.len() <= MAX_HEADER && read(&at).is_some());
        assert_eq!(read(&format!("{at}{}", " ".repeat(MAX_HEADER))), None);
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_without_harm(value in "[ -~]{0,200}") {
            let _ = read(&value);
        }
    }
}
