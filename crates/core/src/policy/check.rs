//! The check: rules and a principal in, a permit or a refusal out.

use thiserror::Error;

use super::permit::{Action, Permit};
use super::rule::{Rules, Selection};
use crate::{Level, Principal};

/// What is asked for, and under which of the profile's lists and visible names it is judged.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// A tool, by the name that clients see.
    Tool(&'a str),
    /// A prompt, by the name that clients see.
    Prompt(&'a str),
    /// A resource or template, by the URI that clients see.
    Resource(&'a str),
}

/// Why the policy refused. To the client, everything but a missing scope looks like something that does not exist, and a
/// scope is missing only where everything else allows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Denied {
    /// The person may not use this profile.
    #[error("the profile does not admit this user")]
    User,
    /// The token does not allow as much at the server.
    #[error("the token lacks the scope")]
    Scope(Level),
    /// The profile's lists do not allow the name.
    #[error("no rule of the profile allows it")]
    Rule,
}

/// Judges one action. No rule means no.
///
/// # Errors
/// [`Denied`] says which rule was missing, for the audit trail.
pub fn check<A: Action>(
    rules: &Rules,
    principal: &Principal,
    access: Access<'_>,
    action: A,
) -> Result<Permit<A>, Denied> {
    if !rules.users.admits(principal.user.as_str()) {
        return Err(Denied::User);
    }
    if !admits(rules, access) {
        return Err(Denied::Rule);
    }
    if !principal.scopes.allow(action.server().as_str(), A::NEEDS) {
        return Err(Denied::Scope(A::NEEDS));
    }
    Ok(Permit::new(action))
}

fn admits(rules: &Rules, access: Access<'_>) -> bool {
    let (selection, name): (&Selection, &str) = match access {
        Access::Tool(name) => (&rules.tools, name),
        Access::Prompt(name) => (&rules.prompts, name),
        Access::Resource(uri) => (&rules.resources, uri),
    };
    selection.admits(name)
}

#[cfg(test)]
mod tests {
    use super::super::{CallTool, Glob};
    use super::*;
    use crate::{ClientId, GrantId, Resource, ScopeSet, ServerName, Timestamp, TokenId, UserId};

    fn principal(user: &str, scopes: &str) -> Principal {
        Principal {
            user: UserId::new(user),
            client: ClientId::new("c"),
            grant: GrantId::new("g"),
            token: TokenId::new("t"),
            scopes: ScopeSet::parse(scopes),
            audience: Resource::parse("http://h/mcp").expect("a resource"),
            expires: Timestamp::EPOCH,
        }
    }

    fn ask(rules: &Rules, principal: &Principal) -> Result<Permit<CallTool>, Denied> {
        let server = ServerName::parse("demo").expect("a name");
        check(
            rules,
            principal,
            Access::Tool("echo"),
            CallTool {
                server,
                target: "echo".into(),
            },
        )
    }

    #[test]
    fn no_rule_no_call() {
        assert_eq!(ask(&Rules::default(), &principal("u", "mcp")), Err(Denied::User));
        let users_only = Rules {
            users: Selection::all(),
            ..Rules::default()
        };
        assert_eq!(ask(&users_only, &principal("u", "mcp")), Err(Denied::Rule));
        assert!(ask(&Rules::open(), &principal("u", "mcp")).is_ok());
    }

    #[test]
    fn a_token_without_the_scope_gets_nothing() {
        for scopes in [
            "openid",
            "",
            "mcp:read",
            "mcp:demo:read",
            "mcp:other:write",
            "mcp:demo",
        ] {
            let asked = ask(&Rules::open(), &principal("u", scopes));
            assert_eq!(asked, Err(Denied::Scope(Level::Write)), "{scopes}");
        }
        for scopes in ["mcp", "mcp:write", "mcp:demo:write", "mcp:read mcp:demo:write"] {
            assert!(ask(&Rules::open(), &principal("u", scopes)).is_ok(), "{scopes}");
        }
    }

    #[test]
    fn is_11_a_scope_is_missed_only_where_a_rule_allows() {
        let users_only = Rules {
            users: Selection::all(),
            ..Rules::default()
        };
        assert_eq!(ask(&users_only, &principal("u", "mcp:read")), Err(Denied::Rule));
    }

    #[test]
    fn a_person_outside_the_list_gets_nothing() {
        let mut rules = Rules::open();
        rules.users = Selection {
            allow: vec![Glob::parse("v").expect("a pattern")],
            deny: Vec::new(),
        };
        assert_eq!(ask(&rules, &principal("u", "mcp")), Err(Denied::User));
    }
}
