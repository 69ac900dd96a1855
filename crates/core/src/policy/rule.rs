//! Allow and deny lists of names, and the rules of a profile.

use std::sync::Arc;

use thiserror::Error;

use super::condition::Conditions;

/// A pattern over whole names: `*` stands for any run of characters, everything else for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob(Box<str>);

/// Why a pattern was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a pattern has 1 to 128 characters; `*` is its only special character")]
pub struct InvalidGlob;

impl Glob {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// [`InvalidGlob`] for an empty or over-long pattern.
    pub fn parse(pattern: &str) -> Result<Self, InvalidGlob> {
        if pattern.is_empty() || pattern.len() > 128 {
            Err(InvalidGlob)
        } else {
            Ok(Self(pattern.into()))
        }
    }

    /// Whether the whole of `name` fits the pattern. Linear in the name for each `*`, without recursion.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if &*self.0 == "*" {
            return true;
        }
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
        true
    }
}

/// An allow-list and a deny-list. Deny wins; what no pattern allows is denied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Patterns of what is allowed; none allows nothing.
    pub allow: Vec<Glob>,
    /// Patterns of what is denied whatever `allow` says.
    pub deny: Vec<Glob>,
}

impl Selection {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            allow: vec![Glob("*".into())],
            deny: Vec::new(),
        }
    }

    /// Whether `name` is allowed.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        !self.deny.iter().any(|g| g.matches(name)) && self.allow.iter().any(|g| g.matches(name))
    }
}

/// The rules of one profile.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Which people may use the profile, by user id.
    pub users: Selection,
    /// Which tools may be seen and called, by the name that clients see.
    pub tools: Selection,
    /// Which prompts, by the name that clients see.
    pub prompts: Selection,
    /// Which resources, by the URI that clients see.
    pub resources: Selection,
    /// What is to hold besides; `None` where there is nothing.
    pub conditions: Option<Arc<dyn Conditions>>,
}

impl Rules {
    /// Rules that allow everything to everyone who is logged in.
    #[must_use]
    pub fn open() -> Self {
        let all = Selection::all;
        Self {
            users: all(),
            tools: all(),
            prompts: all(),
            resources: all(),
            conditions: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str) -> Glob {
        Glob(pattern.into())
    }

    #[test]
    fn patterns_cover_whole_names() {
        let table = [
            ("*", "anything", true),
            ("*", "", true),
            ("echo", "echo", true),
            ("echo", "echo2", false),
            ("git_*", "git_log", true),
            ("git_*", "agit_log", false),
            ("*_log", "git_log", true),
            ("*_log", "git_logs", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("**", "x", true),
            ("*b*b", "ab", false),
        ];
        for (pattern, name, fits) in table {
            assert_eq!(glob(pattern).matches(name), fits, "{pattern} on {name}");
        }
    }

    #[test]
    fn deny_wins_and_silence_denies() {
        let nothing = Selection::default();
        assert!(!nothing.admits("echo"));
        let some = Selection {
            allow: vec![glob("git_*")],
            deny: vec![glob("git_push")],
        };
        assert!(some.admits("git_log"));
        assert!(!some.admits("git_push"));
        assert!(!some.admits("echo"));
    }
}
