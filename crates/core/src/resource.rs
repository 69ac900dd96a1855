//! Protected resources and the audience of tokens (RFC 8707, RFC 9728).

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

/// The identifier of a protected resource: the exact URL under which clients reach it. It is what `resource` names in
/// requests (RFC 8707 §2) and what `aud` holds in tokens (RFC 9068 §3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resource(Box<str>);

/// Why a `resource` value is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "`resource` must be an absolute http or https URL without fragment or user information (RFC 8707 §2)"
)]
pub struct InvalidResource;

impl Resource {
    /// Reads a `resource` parameter: scheme and host are lower-cased, a default port and trailing slashes are removed,
    /// so that the spellings that clients send for one URL become one value.
    ///
    /// # Errors
    /// [`InvalidResource`] for anything but an absolute http(s) URL without fragment and user information.
    pub fn parse(value: &str) -> Result<Self, InvalidResource> {
        let url = Url::parse(value).map_err(|_| InvalidResource)?;
        let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https")
            || !plain
            || url.host_str().is_none()
            || value.contains('#')
        {
            return Err(InvalidResource);
        }
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }

    /// The canonical text, never with a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_url_has_one_form() {
        for same in [
            "https://a.example/mcp",
            "HTTPS://A.example:443/mcp",
            "https://a.example/mcp/",
        ] {
            assert_eq!(
                Resource::parse(same).map(|r| r.to_string()),
                Ok("https://a.example/mcp".into())
            );
        }
        assert_eq!(
            Resource::parse("http://h:1/").map(|r| r.to_string()),
            Ok("http://h:1".into())
        );
    }

    #[test]
    fn au_02_unusable_resources_are_refused() {
        for bad in [
            "/mcp",
            "",
            "urn:x",
            "https://a/mcp#x",
            "https://a/mcp#",
            "https://u@a/mcp",
            "ftp://a/mcp",
        ] {
            assert_eq!(Resource::parse(bad), Err(InvalidResource), "{bad}");
        }
    }

    #[test]
    fn other_paths_and_cases_stay_other_resources() {
        let of = |s| Resource::parse(s).map(|r| r.to_string());
        assert_ne!(of("https://a/mcp"), of("https://a/mcp/x"));
        assert_ne!(of("https://a/mcp"), of("https://a/MCP"));
        assert_ne!(of("https://a/mcp"), of("https://a:444/mcp"));
    }
}
