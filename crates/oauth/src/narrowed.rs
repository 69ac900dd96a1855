//! What a client may have that asks for some of the scopes that are its own already: never more (RFC 6749 §6).

use sallyport_core::ScopeSet;

/// Scopes of OpenID Connect that clients send along whatever was granted; they mean nothing here.
const IGNORED: [&str; 4] = ["offline_access", "openid", "profile", "email"];

/// The scopes of a token request: what is asked for where `granted` holds or contains all of it, and all that was granted
/// where nothing is asked for. `None` if more is asked for.
#[must_use]
pub fn narrowed(asked: Option<&str>, granted: &ScopeSet) -> Option<ScopeSet> {
    let asked = asked.unwrap_or_default();
    let mut words = asked
        .split(' ')
        .filter(|word| !word.is_empty() && !IGNORED.contains(word));
    if words.any(|word| !granted.contains(word)) {
        return None;
    }
    let narrowed = granted.intersection(&ScopeSet::parse(asked));
    Some(if narrowed.is_empty() {
        granted.clone()
    } else {
        narrowed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rf_04_narrower_is_fine_and_wider_is_nothing() {
        let cases = [
            ("mcp", None, Some("mcp")),
            ("mcp", Some(""), Some("mcp")),
            ("mcp", Some("openid offline_access"), Some("mcp")),
            ("mcp", Some("mcp:read"), Some("mcp:read")),
            (
                "mcp",
                Some("mcp:docs:write mcp:read openid"),
                Some("mcp:docs:write mcp:read"),
            ),
            ("mcp:read", Some("mcp:docs:read"), Some("mcp:docs:read")),
            ("mcp:read", Some("mcp"), None),
            ("mcp:read", Some("mcp:write"), None),
            ("mcp:read", Some("mcp:read mcp:docs:write"), None),
            ("mcp:docs:write", Some("mcp:mail:read"), None),
            ("mcp", Some("admin"), None),
            ("mcp", Some("\"mcp"), None),
        ];
        for (granted, asked, expected) in cases {
            let found = narrowed(asked, &ScopeSet::parse(granted));
            assert_eq!(found, expected.map(ScopeSet::parse), "{granted}: {asked:?}");
        }
    }
}
