//! What a scope allows at MCP endpoints, and which scope contains which.
//!
//! | scope | allows |
//! | --- | --- |
//! | `mcp` | everything that the person may do there |
//! | `mcp:read` | to list, look and read, at every server |
//! | `mcp:write` | that, and to call tools |
//! | `mcp:SERVER:read` | to list, look and read, at one server |
//! | `mcp:SERVER:write` | that, and to call its tools |
//!
//! A scope never gives what the rules of the endpoint refuse; it narrows what they allow.

use crate::{Scope, ServerName};

/// How much may be done at a server. The wider one contains the narrower one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// To list, to look and to read.
    Read,
    /// To have something done, too.
    Write,
}

impl Level {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What one scope allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission<'a> {
    /// At which server; `None` is every one of the endpoint.
    pub server: Option<&'a str>,
    /// How much.
    pub level: Level,
}

impl<'a> Permission<'a> {
    /// Reads a scope; `None` for one that means nothing at MCP endpoints.
    #[must_use]
    pub fn of(scope: &'a Scope) -> Option<Self> {
        let mut words = scope.as_str().split(':');
        if words.next() != Some(Scope::MCP) {
            return None;
        }
        let (server, level) = match (words.next(), words.next(), words.next()) {
            (None, ..) => (None, Level::Write),
            (Some(level), None, _) => (None, Level::parse(level)?),
            (Some(server), Some(level), None) => {
                ServerName::parse(server).ok()?;
                (Some(server), Level::parse(level)?)
            }
            _ => return None,
        };
        Some(Self { server, level })
    }

    /// Whether whoever may do this may do the other, too.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        (self.server.is_none() || self.server == other.server) && self.level >= other.level
    }

    /// What both allow.
    #[must_use]
    pub fn meet(self, other: Self) -> Option<Self> {
        let server = match (self.server, other.server) {
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.or(two),
        };
        let level = self.level.min(other.level);
        Some(Self { server, level })
    }

    /// The scope that allows just this.
    #[must_use]
    pub fn scope(self) -> Option<Scope> {
        let level = self.level.word();
        Scope::parse(&match self.server {
            Some(server) => format!("{}:{server}:{level}", Scope::MCP),
            None => format!("{}:{level}", Scope::MCP),
        })
    }
}

/// What a set of scopes allows, worked out once, so that a request costs a comparison.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Reach {
    everywhere: Option<Level>,
    servers: Box<[(Box<str>, Level)]>,
}

impl Reach {
    pub(crate) fn of(scopes: &[Scope]) -> Self {
        let permissions = || scopes.iter().filter_map(Permission::of);
        let here = |p: Permission<'_>| p.server.is_none().then_some(p.level);
        let there = |p: Permission<'_>| p.server.map(|server| (server.into(), p.level));
        Self {
            everywhere: permissions().filter_map(here).max(),
            servers: permissions().filter_map(there).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.everywhere.is_none() && self.servers.is_empty()
    }

    pub(crate) fn everywhere(&self) -> Option<Level> {
        self.everywhere
    }

    pub(crate) fn allows(&self, server: &str, level: Level) -> bool {
        let here = |(name, most): &(Box<str>, Level)| **name == *server && *most >= level;
        self.everywhere.is_some_and(|most| most >= level) || self.servers.iter().any(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_mean_something_here_and_others() {
        let of = |text: &str| {
            let scope = Scope::parse(text)?;
            let permission = Permission::of(&scope)?;
            Some((permission.server.map(str::to_owned), permission.level))
        };
        assert_eq!(of("mcp"), Some((None, Level::Write)));
        assert_eq!(of("mcp:read"), Some((None, Level::Read)));
        assert_eq!(of("mcp:docs:write"), Some((Some("docs".into()), Level::Write)));
        // A server may have any name, also that of a level.
        assert_eq!(of("mcp:read:read"), Some((Some("read".into()), Level::Read)));
        for none in [
            "openid",
            "mcp:",
            "mcp:docs",
            "mcp:*",
            "mcp:docs:",
            "mcp:docs:admin",
            "mcp:docs:read:x",
            "mcp::read",
            "mcp:a__b:read",
            "MCP",
            "mcp.read",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn p_123_a_wider_scope_contains_the_narrower_ones() {
        let contains = |wide: &str, narrow: &str| {
            let (wide, narrow) = (Scope::parse(wide).unwrap(), Scope::parse(narrow).unwrap());
            wide.contains(&narrow)
        };
        let order = [
            ("mcp:write", "mcp:read"),
            ("mcp:write", "mcp:docs:write"),
            ("mcp:read", "mcp:docs:read"),
            ("mcp:docs:write", "mcp:docs:read"),
            ("mcp", "mcp:docs:read"),
        ];
        for (wide, narrow) in order {
            assert!(contains(wide, narrow), "{wide} {narrow}");
            assert!(!contains(narrow, wide), "{narrow} {wide}");
        }
        for (one, other) in [
            ("mcp:read", "mcp:docs:write"),
            ("mcp:docs:write", "mcp:mail:read"),
            ("mcp", "openid"),
        ] {
            assert!(!contains(one, other) && !contains(other, one), "{one} {other}");
        }
        // Two names of one thing, until there is more than reading and writing.
        assert!(contains("mcp", "mcp:write") && contains("mcp:write", "mcp"));
        assert!(contains("openid", "openid"));
    }
}
