//! OAuth scopes (RFC 6749 §3.3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::permission::{Level, Permission, Reach};

/// One scope token: visible ASCII without `"` and `\` (RFC 6749 §3.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(Box<str>);

impl Scope {
    /// Use of the MCP endpoint with all that the person may do there: the scope that contains all others of ours
    /// ([`crate::permission`]).
    pub const MCP: &'static str = "mcp";

    /// Listing, looking and reading at every server.
    pub const READ: &'static str = "mcp:read";

    /// That, and calling tools.
    pub const WRITE: &'static str = "mcp:write";

    /// Takes a scope token if it is well formed.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        (!value.is_empty() && value.len() <= 128 && value.bytes().all(allowed)).then(|| Self(value.into()))
    }

    /// The scope's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether whoever has this scope has the other, too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let wider = || Some(Permission::of(self)?.contains(Permission::of(other)?));
        self == other || wider() == Some(true)
    }

    /// What both allow, in the spelling of the narrower one; in that of `other` where they allow the same.
    fn meet(&self, other: &Self) -> Option<Self> {
        if self.contains(other) {
            return Some(other.clone());
        }
        if other.contains(self) {
            return Some(self.clone());
        }
        Permission::of(self)?.meet(Permission::of(other)?)?.scope()
    }
}

/// A set of scopes, sorted, without repetitions. What it allows is worked out when it is made.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct ScopeSet {
    scopes: Vec<Scope>,
    reach: Reach,
}

impl ScopeSet {
    /// Reads the space-separated form; malformed tokens are left out (they can grant nothing).
    #[must_use]
    pub fn parse(value: &str) -> Self {
        value.split(' ').filter_map(Scope::parse).collect()
    }

    /// Whether the scope is in the set, by itself or in a wider one.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        Scope::parse(scope).is_some_and(|scope| self.holds(&scope))
    }

    fn holds(&self, scope: &Scope) -> bool {
        self.scopes.iter().any(|own| own.contains(scope))
    }

    /// Whether every scope of `other` is in this set, by itself or in a wider one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.scopes.iter().all(|scope| self.holds(scope))
    }

    /// What both sets allow. Where a scope of one contains one of the other, it is the narrower one.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let pairs = self
            .scopes
            .iter()
            .flat_map(|own| other.scopes.iter().map(move |theirs| (own, theirs)));
        let both: Self = pairs.filter_map(|(own, theirs)| own.meet(theirs)).collect();
        // What was met only in part is left out where the whole of it is there.
        let named = |scope: &Scope| self.scopes.contains(scope) || other.scopes.contains(scope);
        let wider = |scope: &Scope| both.scopes.iter().any(|own| own != scope && own.contains(scope));
        let kept = both.iter().filter(|scope| named(scope) || !wider(scope));
        kept.cloned().collect()
    }

    /// The scopes of both sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The scopes that no other one of the set contains: what there is to say about it.
    #[must_use]
    pub fn widest(&self) -> Self {
        let said = |scope: &Scope, by: &Scope| {
            by != scope && by.contains(scope) && !(scope.contains(by) && scope < by)
        };
        let kept = self
            .scopes
            .iter()
            .filter(|scope| !self.scopes.iter().any(|other| said(scope, other)));
        kept.cloned().collect()
    }

    /// Whether as much may be done at the server.
    #[must_use]
    pub fn allow(&self, server: &str, level: Level) -> bool {
        self.reach.allows(server, level)
    }

    /// How much may be done at every server, if anything.
    #[must_use]
    pub fn everywhere(&self) -> Option<Level> {
        self.reach.everywhere()
    }

    /// Whether anything may be done at MCP endpoints.
    #[must_use]
    pub fn open_anything(&self) -> bool {
        !self.reach.is_empty()
    }

    /// The scopes with which as much could be done at the server: these, and the one that is missing. It is for one server
    /// where these are for single servers, and for all of them otherwise, so that a person is asked once.
    #[must_use]
    pub fn stepped_up(&self, server: &str, level: Level) -> Self {
        let named = self.everywhere().is_none() && self.open_anything();
        let server = named.then_some(server);
        let missing = Permission { server, level }.scope();
        self.iter().cloned().chain(missing).collect()
    }

    /// Whether there is no scope in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(iter: I) -> Self {
        let mut scopes: Vec<Scope> = iter.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        let reach = Reach::of(&scopes);
        Self { scopes, reach }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.scopes.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl From<ScopeSet> for String {
    fn from(set: ScopeSet) -> Self {
        set.to_string()
    }
}

impl From<String> for ScopeSet {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_the_wire_form() {
        let set = ScopeSet::parse("mcp  openid mcp \"bad\"");
        assert_eq!(set.to_string(), "mcp openid");
        assert!(set.covers(&ScopeSet::parse("mcp")));
        assert!(!ScopeSet::parse("mcp").covers(&set));
        assert_eq!(ScopeSet::parse("").to_string(), "");
    }
    #[test]
    fn az_08_what_two_sets_have_in_common_is_never_more_than_either() {
        let cases = [
            ("mcp", "mcp", "mcp"),
            ("mcp", "mcp:read", "mcp:read"),
            ("mcp:read", "mcp", "mcp:read"),
            ("mcp:read", "mcp:docs:write", "mcp:docs:read"),
            ("mcp:docs:write", "mcp:docs:read", "mcp:docs:read"),
            ("mcp:docs:write", "mcp:mail:write", ""),
            ("mcp", "openid mcp:read mcp:docs:write", "mcp:docs:write mcp:read"),
            ("mcp", "mcp mcp:read", "mcp mcp:read"),
            ("mcp:read", "mcp mcp:write", "mcp:read"),
            ("openid", "mcp", ""),
            ("", "mcp", ""),
        ];
        for (one, other, both) in cases {
            let (one, other) = (ScopeSet::parse(one), ScopeSet::parse(other));
            let found = one.intersection(&other);
            assert_eq!(found.to_string(), both, "{one} with {other}");
            assert!(one.covers(&found) && other.covers(&found), "{one} with {other}");
        }
    }

    #[test]
    fn what_a_set_allows() {
        let allow = |scopes: &str, server: &str, level| ScopeSet::parse(scopes).allow(server, level);
        assert!(allow("mcp", "docs", Level::Write));
        assert!(allow("mcp:read", "docs", Level::Read) && !allow("mcp:read", "docs", Level::Write));
        assert!(
            allow("mcp:docs:write", "docs", Level::Write) && !allow("mcp:docs:write", "mail", Level::Read)
        );
        let mixed = "mcp:read mcp:docs:write";
        assert!(allow(mixed, "docs", Level::Write) && !allow(mixed, "mail", Level::Write));
        assert!(!ScopeSet::parse("openid mcp:docs").open_anything());
        assert!(ScopeSet::parse("mcp:docs:read").open_anything());
    }

    #[test]
    fn p_119_a_step_up_names_what_there_is_and_what_is_missing() {
        let up = |scopes: &str, level| ScopeSet::parse(scopes).stepped_up("docs", level).to_string();
        assert_eq!(up("mcp:read", Level::Write), "mcp:read mcp:write");
        assert_eq!(up("mcp:mail:write", Level::Read), "mcp:docs:read mcp:mail:write");
        assert_eq!(
            up("mcp:docs:read openid", Level::Write),
            "mcp:docs:read mcp:docs:write openid"
        );
    }

    #[test]
    fn what_is_contained_need_not_be_said() {
        let widest = |scopes: &str| ScopeSet::parse(scopes).widest().to_string();
        assert_eq!(widest("mcp mcp:read mcp:write mcp:docs:read"), "mcp");
        assert_eq!(
            widest("mcp:read mcp:docs:write mcp:mail:read"),
            "mcp:docs:write mcp:read"
        );
        assert_eq!(widest("openid mcp:read"), "mcp:read openid");
    }
}
