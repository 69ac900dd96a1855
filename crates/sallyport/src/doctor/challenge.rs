//! Reads `WWW-Authenticate` as clients do (RFC 9110 §11.6.1, RFC 9728 §5.1).

/// What a challenge for bearer tokens says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Bearer {
    /// Where the resource's document is.
    pub(super) metadata: Option<String>,
    /// The scopes to ask for.
    pub(super) scope: Option<String>,
    /// Why a token was not good.
    pub(super) error: Option<String>,
}

impl Bearer {
    /// The first challenge for bearer tokens of the values of the header.
    pub(super) fn find<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        values.into_iter().find_map(Self::of)
    }

    fn of(value: &str) -> Option<Self> {
        const SCHEME: &str = "bearer";
        let lower = value.to_ascii_lowercase();
        let starts = |at: usize| {
            let before = lower.get(..at).unwrap_or_default().trim_end();
            let after = lower.get(at + SCHEME.len()..).unwrap_or_default();
            (before.is_empty() || before.ends_with(',')) && (after.is_empty() || after.starts_with(' '))
        };
        let (at, _) = lower.match_indices(SCHEME).find(|(at, _)| starts(*at))?;
        let rest = value.get(at + SCHEME.len()..)?;
        Some(Self {
            metadata: parameter(rest, "resource_metadata"),
            scope: parameter(rest, "scope"),
            error: parameter(rest, "error"),
        })
    }
}

/// The value of a parameter: a token or a quoted string.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    None
}

/// A value, and what stands after it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return Some((text.get(..end)?.to_owned(), text.get(end..)?));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_they_are_written() {
        let of = |text: &str| Bearer::find([text].into_iter());
        let url = "https://h/.well-known/oauth-protected-resource/mcp";
        let full = of(&format!(
            "Bearer error=\"invalid_token\", error_description=\"a \\\"b\\\", c=d\", resource_metadata=\"{url}\", scope=\"a b\""
        ))
        .unwrap();
        assert_eq!(full.metadata.as_deref(), Some(url));
        assert_eq!(full.scope.as_deref(), Some("a b"));
        assert_eq!(full.error.as_deref(), Some("invalid_token"));
        assert_eq!(of("bearer scope=a").unwrap().scope.as_deref(), Some("a"));
        assert_eq!(of("Bearer"), Some(Bearer::default()));
        assert_eq!(
            of("Basic realm=\"x\", Bearer scope=\"a\"")
                .unwrap()
                .scope
                .as_deref(),
            Some("a")
        );
        for text in ["Basic realm=\"Bearer\"", "Negotiate", "", "Bearerish x=1"] {
            assert_eq!(of(text), None, "{text}");
        }
        // What cannot be read says nothing.
        assert_eq!(of("Bearer scope=\"a").unwrap().scope, None);
    }
}
