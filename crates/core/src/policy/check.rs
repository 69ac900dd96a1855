//! The check: rules and a principal in, a permit or a refusal out.

use thiserror::Error;

use super::condition::{Broken, Case, Facts};
use super::permit::{Action, Permit};
use super::rule::{Rules, Selection};
use crate::{Level, Principal, ServerName};

/// What is asked for, and under which of the profile's lists and visible names it is judged.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// A tool, by the name that clients see.
    Tool(&'a str),
    /// A prompt, by the name that clients see.
    Prompt(&'a str),
    /// A resource, by the URI that clients see.
    Resource(&'a str),
    /// A resource template, by the URI template that clients see: it stands for resources that nobody has named yet.
    Template(&'a str),
}

/// Something that is asked for, and what is known of it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What, by the name that clients see.
    pub access: Access<'a>,
    /// The same by the name that its server has for it.
    pub own: &'a str,
    /// What is known of the call. What is no call is not judged by it.
    pub facts: Facts<'a>,
}

impl<'a> Access<'a> {
    /// The name, or URI.
    #[must_use]
    pub fn name(self) -> &'a str {
        match self {
            Self::Tool(name) | Self::Prompt(name) | Self::Resource(name) | Self::Template(name) => name,
        }
    }

    /// The method that a call of it has.
    fn method(self) -> &'static str {
        match self {
            Self::Tool(_) => "tools/call",
            Self::Prompt(_) => "prompts/get",
            Self::Resource(_) | Self::Template(_) => "resources/read",
        }
    }
}

/// Why the policy refused. To the client, everything but a missing scope and the call itself looks like something that does
/// not exist, and a scope is missing only where everything else allows it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
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
    /// A condition of the profile that looks neither at arguments nor at the time.
    #[error("{0}")]
    Standing(Broken),
    /// A condition of the profile that does: what is called is there, and this call of it is not allowed.
    #[error("{0}")]
    Call(Broken),
}

/// Judges one action. No rule means no. The facts are those of the call; for an action that is none they are not looked at.
///
/// # Errors
/// [`Denied`] says which rule was missing, for the audit trail.
pub fn check<A: Action>(
    rules: &Rules,
    principal: &Principal,
    asked: &Asked<'_>,
    action: A,
) -> Result<Permit<A>, Denied> {
    if !rules.users.admits(principal.user.as_str()) {
        return Err(Denied::User);
    }
    if !admits(rules, asked.access) {
        return Err(Denied::Rule);
    }
    if let Some(conditions) = &rules.conditions {
        let case = Case {
            principal,
            access: asked.access,
            method: if A::IS_CALL {
                A::METHOD
            } else {
                asked.access.method()
            },
            server: action.server(),
            own: asked.own,
        };
        conditions.stand(&case).map_err(Denied::Standing)?;
        if A::IS_CALL {
            conditions.hold(&case, &asked.facts).map_err(Denied::Call)?;
        }
    }
    if !principal.scopes.allow(action.server().as_str(), A::NEEDS) {
        return Err(Denied::Scope(A::NEEDS));
    }
    Ok(Permit::new(action))
}

/// Whether lists show this to the principal, as far as conditions go. That the lists of names admit it is settled when the
/// lists are made.
#[must_use]
pub fn shows(
    rules: &Rules,
    principal: &Principal,
    (access, method): (Access<'_>, &'static str),
    server: &ServerName,
    own: &str,
) -> bool {
    let case = Case {
        principal,
        access,
        method,
        server,
        own,
    };
    let conditions = rules.conditions.as_ref();
    conditions.is_none_or(|conditions| conditions.stand(&case).is_ok())
}

fn admits(rules: &Rules, access: Access<'_>) -> bool {
    let (selection, name): (&Selection, &str) = match access {
        Access::Tool(name) => (&rules.tools, name),
        Access::Prompt(name) => (&rules.prompts, name),
        Access::Resource(uri) | Access::Template(uri) => (&rules.resources, uri),
    };
    selection.admits(name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{CallTool, Conditions, GetTask, Glob};
    use super::*;
    use crate::clock::SystemClock;
    use crate::{ClientId, GrantId, Resource, ScopeSet, Timestamp, TokenId, UserId};

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

    const ECHO: Asked<'_> = Asked {
        access: Access::Tool("echo"),
        own: "echo",
        facts: Facts {
            arguments: b"{}",
            clock: &SystemClock,
        },
    };

    fn server() -> ServerName {
        ServerName::parse("demo").expect("a name")
    }

    fn ask(rules: &Rules, principal: &Principal) -> Result<Permit<CallTool>, Denied> {
        let (server, target) = (server(), "echo".into());
        check(rules, principal, &ECHO, CallTool { server, target })
    }

    /// Conditions of both kinds that hold or do not.
    #[derive(Debug)]
    struct Fixed {
        stand: bool,
        hold: bool,
    }

    fn fixed(holds: bool, rule: usize) -> Result<(), Broken> {
        let broken = Broken {
            rule,
            fault: None,
            message: None,
        };
        if holds { Ok(()) } else { Err(broken) }
    }

    impl Conditions for Fixed {
        fn stand(&self, case: &Case<'_>) -> Result<(), Broken> {
            assert_eq!((case.method, case.own), ("tools/call", "echo"));
            fixed(self.stand, 1)
        }
        fn hide(&self) -> bool {
            true
        }
        fn hold(&self, _: &Case<'_>, facts: &Facts<'_>) -> Result<(), Broken> {
            assert_eq!(facts.arguments, b"{}");
            fixed(self.hold, 2)
        }
    }

    fn under(stand: bool, hold: bool) -> Rules {
        Rules {
            conditions: Some(Arc::new(Fixed { stand, hold })),
            ..Rules::open()
        }
    }

    #[test]
    fn a_permit_for_a_call_takes_every_condition_and_one_for_its_task_the_standing_ones() {
        let (stands, calls) = (
            Denied::Standing(fixed(false, 1).unwrap_err()),
            Denied::Call(fixed(false, 2).unwrap_err()),
        );
        for (stand, hold, call, task) in [
            (true, true, None, None),
            (true, false, Some(&calls), None),
            (false, true, Some(&stands), Some(&stands)),
            (false, false, Some(&stands), Some(&stands)),
        ] {
            let (rules, principal) = (under(stand, hold), principal("u", "mcp"));
            assert_eq!(ask(&rules, &principal).err().as_ref(), call);
            let (server, target) = (server(), "task-1".into());
            let asked = check(&rules, &principal, &ECHO, GetTask { server, target });
            assert_eq!(asked.err().as_ref(), task);
            let kind = (Access::Tool("echo"), "tools/call");
            assert_eq!(shows(&rules, &principal, kind, &self::server(), "echo"), stand);
        }
    }

    #[test]
    fn is_11_conditions_come_after_names_and_before_scopes() {
        let (nobody, reader) = (principal("u", ""), principal("u", "mcp:read"));
        let closed = Rules {
            tools: Selection::default(),
            ..under(false, false)
        };
        assert_eq!(ask(&closed, &reader), Err(Denied::Rule));
        for who in [&nobody, &reader] {
            assert!(matches!(ask(&under(false, true), who), Err(Denied::Standing(_))));
            assert!(matches!(ask(&under(true, false), who), Err(Denied::Call(_))));
            assert_eq!(ask(&under(true, true), who), Err(Denied::Scope(Level::Write)));
        }
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
