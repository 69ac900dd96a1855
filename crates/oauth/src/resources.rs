//! The protected resources that tokens can be for, and what a `resource` parameter means (RFC 8707).

use sallyport_core::Resource;
use thiserror::Error;

/// The resources of this gateway. There is always at least the default one.
#[derive(Clone, Debug)]
pub struct Resources {
    default: Resource,
    others: Vec<Resource>,
}

/// The `resource` parameter names none of ours, several, or another one than before: `invalid_target`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("`resource` must name one protected resource of this gateway, as its metadata spells it")]
pub struct InvalidTarget;

impl Resources {
    /// The default resource and all others.
    #[must_use]
    pub fn new(default: Resource, others: impl IntoIterator<Item = Resource>) -> Self {
        let others = others.into_iter().filter(|r| *r != default).collect();
        Self { default, others }
    }

    /// Which resource an authorization request is about. Without a `resource` (clients from before RFC 9728) it is the
    /// default one, never all of them (AU-01). Repeating the same one is allowed (RFC 8707 §2), naming two is not:
    /// every token has one audience.
    ///
    /// # Errors
    /// [`InvalidTarget`].
    pub fn resolve<'a>(&self, values: impl Iterator<Item = &'a str>) -> Result<Resource, InvalidTarget> {
        Ok(single(values)?
            .map_or(Ok(&self.default), |asked| self.find(&asked).ok_or(InvalidTarget))?
            .clone())
    }

    fn find(&self, asked: &Resource) -> Option<&Resource> {
        std::iter::once(&self.default)
            .chain(&self.others)
            .find(|r| *r == asked)
    }
}

/// Checks the `resource` of a token request against the grant's: leaving it out keeps it, another one is an error
/// (AU-03, RF-05).
///
/// # Errors
/// [`InvalidTarget`].
pub fn keep<'a>(granted: &Resource, values: impl Iterator<Item = &'a str>) -> Result<(), InvalidTarget> {
    match single(values)? {
        Some(asked) if asked != *granted => Err(InvalidTarget),
        Some(_) | None => Ok(()),
    }
}

fn single<'a>(values: impl Iterator<Item = &'a str>) -> Result<Option<Resource>, InvalidTarget> {
    let mut found = None;
    for value in values.filter(|v| !v.is_empty()) {
        let one = Resource::parse(value).map_err(|_| InvalidTarget)?;
        if found.get_or_insert_with(|| one.clone()) != &one {
            return Err(InvalidTarget);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> Resource {
        Resource::parse(text).unwrap()
    }

    fn resources() -> Resources {
        Resources::new(
            resource("http://h:1/mcp"),
            [resource("http://h:1/mcp/x"), resource("http://h:1/mcp")],
        )
    }

    #[test]
    fn au_01_without_resource_it_is_the_default_one() {
        assert_eq!(
            resources().resolve([].into_iter()),
            Ok(resource("http://h:1/mcp"))
        );
        assert_eq!(
            resources().resolve([""].into_iter()),
            Ok(resource("http://h:1/mcp"))
        );
    }

    #[test]
    fn au_02_only_our_own_resources_in_any_spelling() {
        for good in ["http://h:1/mcp", "http://h:1/mcp/", "HTTP://H:1/mcp"] {
            assert_eq!(
                resources().resolve([good].into_iter()),
                Ok(resource("http://h:1/mcp")),
                "{good}"
            );
        }
        assert_eq!(
            resources().resolve(["http://h:1/mcp/x"].into_iter()),
            Ok(resource("http://h:1/mcp/x"))
        );
        for bad in [
            "http://h:1/mcp/y",
            "/mcp",
            "http://h:1/mcp#x",
            "http://evil.test/mcp",
            "http://h:1",
            "mcp",
        ] {
            assert_eq!(
                resources().resolve([bad].into_iter()),
                Err(InvalidTarget),
                "{bad}"
            );
        }
        assert_eq!(
            resources().resolve(["http://h:1/mcp", "http://h:1/mcp/x"].into_iter()),
            Err(InvalidTarget)
        );
        assert!(
            resources()
                .resolve(["http://h:1/mcp", "http://h:1/mcp/"].into_iter())
                .is_ok()
        );
    }

    #[test]
    fn au_03_rf_05_a_token_request_cannot_switch() {
        let granted = resource("http://h:1/mcp");
        assert_eq!(keep(&granted, [].into_iter()), Ok(()));
        assert_eq!(keep(&granted, ["http://h:1/mcp/"].into_iter()), Ok(()));
        assert_eq!(
            keep(&granted, ["http://h:1/mcp/x"].into_iter()),
            Err(InvalidTarget)
        );
        assert_eq!(
            keep(&granted, ["http://h:1/mcp", "http://h:1/mcp/x"].into_iter()),
            Err(InvalidTarget)
        );
    }
}
