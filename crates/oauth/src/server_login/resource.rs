//! What a server says about itself (RFC 9728): which authorization servers it believes.

use url::Url;

use super::{Challenge, LoginError, object, scopes, texts};

const WHAT: &str = "server's metadata (RFC 9728)";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The most authorization servers that are looked at.
const MAX_ISSUERS: usize = 16;

/// A server's own words about who may use it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtectedResource {
    /// What tokens are to be for (RFC 8707).
    pub resource: String,
    /// `authorization_servers`, in the server's order.
    pub issuers: Vec<String>,
    /// `scopes_supported`.
    pub scopes: Vec<String>,
}

/// Where the document is looked for, in this order: where the challenge says, behind the well-known path with the endpoint's
/// own path, and at the root (2026-07-28, Protected Resource Metadata Discovery Requirements).
#[must_use]
pub fn candidates(server: &Url, challenge: Option<&Challenge>) -> Vec<Url> {
    let at = |path: &str| {
        let mut url = server.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        url
    };
    let mut candidates: Vec<Url> = challenge
        .and_then(|challenge| challenge.resource_metadata.clone())
        .into_iter()
        .collect();
    let path = server.path().trim_end_matches('/');
    candidates.push(at(&format!("{WELL_KNOWN}{path}")));
    if !path.is_empty() {
        candidates.push(at(WELL_KNOWN));
    }
    candidates.dedup();
    candidates
}

/// Reads the document of the server at `server`. One that is about anything else is not used (RFC 9728 §3.3; MD-03).
/// `signed_metadata` is not looked at (MD-10).
///
/// # Errors
/// [`LoginError`].
pub fn read(server: &Url, status: u16, body: &[u8]) -> Result<ProtectedResource, LoginError> {
    let document = object(WHAT, status, body)?;
    let resource = document.get("resource").and_then(|value| value.as_str());
    let resource = resource.ok_or(LoginError::Form(WHAT, "it has no `resource`"))?;
    if !covers(resource, server) {
        return Err(LoginError::OtherResource);
    }
    let issuers = texts(&document, "authorization_servers");
    let issuers: Vec<String> = issuers
        .into_iter()
        .flatten()
        .take(MAX_ISSUERS)
        .map(str::to_owned)
        .collect();
    if issuers.is_empty() {
        return Err(LoginError::NoIssuer);
    }
    Ok(ProtectedResource {
        resource: resource.to_owned(),
        issuers,
        scopes: texts(&document, "scopes_supported")
            .map(scopes)
            .unwrap_or_default(),
    })
}

/// What tokens are for where a server says nothing about itself: its URL as the operator wrote it, without fragment.
#[must_use]
pub fn canonical(server: &Url) -> String {
    let mut url = server.clone();
    url.set_fragment(None);
    let text = String::from(url);
    if server.path() == "/" && server.query().is_none() {
        return text.trim_end_matches('/').to_owned();
    }
    text
}

/// Whether a resource identifier is that of the server: its URL, or one above it on the same origin, by whole segments.
#[must_use]
pub fn covers(resource: &str, server: &Url) -> bool {
    let Ok(url) = Url::parse(resource) else {
        return false;
    };
    let same_place = url.origin() == server.origin() && url.origin().is_tuple();
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !same_place || !bare {
        return false;
    }
    let (path, whole) = (
        url.path().trim_end_matches('/'),
        server.path().trim_end_matches('/'),
    );
    if path == whole {
        return url.query().is_none() || url.query() == server.query();
    }
    let below = whole.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    below && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn the_document_is_looked_for_in_the_stated_order() {
        let found = |server: &str, told: Option<&str>| -> Vec<String> {
            let challenge = Challenge {
                resource_metadata: told.map(url),
                ..Challenge::default()
            };
            candidates(&url(server), Some(&challenge))
                .into_iter()
                .map(String::from)
                .collect()
        };
        assert_eq!(
            found("https://s.test/a/mcp?x=1", Some("https://s.test/meta")),
            [
                "https://s.test/meta",
                "https://s.test/.well-known/oauth-protected-resource/a/mcp",
                "https://s.test/.well-known/oauth-protected-resource",
            ]
        );
        assert_eq!(
            found("https://s.test:8443/", None),
            ["https://s.test:8443/.well-known/oauth-protected-resource"]
        );
    }

    #[test]
    fn md_03_only_the_servers_own_document_counts() {
        let read = |resource: &str| {
            let body = serde_json::json!({
                "resource": resource, "authorization_servers": ["https://as.test"], "scopes_supported": ["a", "b"],
            });
            read(&url("https://s.test/a/mcp"), 200, body.to_string().as_bytes())
        };
        for good in [
            "https://s.test/a/mcp",
            "https://S.test:443/a/mcp/",
            "https://s.test/a",
            "https://s.test",
            "https://s.test/",
        ] {
            let found = read(good).expect(good);
            assert_eq!((found.resource.as_str(), found.scopes.len()), (good, 2));
        }
        for bad in [
            "https://evil.test/a/mcp",
            "http://s.test/a/mcp",
            "https://s.test:8443/a/mcp",
            "https://s.test/a/mc",
            "https://s.test/a/mcp/more",
            "https://s.test/b",
            "https://s.test/a/mcp?x=1",
            "https://s.test/a?x=1",
            "https://s.test/a/mcp#x",
            "https://u@s.test/a/mcp",
            "https://s.test.evil.test/a/mcp",
            "urn:s.test",
            "",
        ] {
            assert_eq!(read(bad), Err(LoginError::OtherResource), "{bad}");
        }
    }

    #[test]
    fn a_document_without_what_is_needed_is_none() {
        let server = url("https://s.test/mcp");
        assert_eq!(read(&server, 404, b"{}"), Err(LoginError::Status(WHAT, 404)));
        for bad in ["", "[]", "null", "{}", r#"{"resource":7}"#] {
            assert!(
                matches!(read(&server, 200, bad.as_bytes()), Err(LoginError::Form(..))),
                "{bad}"
            );
        }
        let nobody = br#"{"resource":"https://s.test/mcp","authorization_servers":[7]}"#;
        assert_eq!(read(&server, 200, nobody), Err(LoginError::NoIssuer));
    }

    #[test]
    fn a_servers_own_name_is_its_url() {
        assert_eq!(canonical(&url("https://S.test/")), "https://s.test");
        assert_eq!(canonical(&url("https://s.test/mcp/#x")), "https://s.test/mcp/");
        assert_eq!(
            canonical(&url("https://s.test/mcp?a=b")),
            "https://s.test/mcp?a=b"
        );
    }
}
