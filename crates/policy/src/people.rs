//! What rules know of people.

use std::collections::HashMap;

use sallyport_core::UserId;

/// Everybody of whom more is known than the id.
pub type People = HashMap<UserId, Person>;

/// What is known of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The name: `ada`, `github:octocat`, or that of the client.
    pub name: Box<str>,
    /// What kind of principal.
    pub kind: Kind,
    /// The groups, each as its source spells it.
    pub groups: Box<[Box<str>]>,
    /// Whether it is an administrator.
    pub admin: bool,
}

/// What kind a principal is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A person who logs in here.
    Person,
    /// A client in its own name.
    Client,
    /// Whoever another issuer vouches for, and everybody else of whom nothing is known.
    Foreign,
    /// Whoever runs the gateway's commands or its standard input, or everybody where nobody logs in.
    Operator,
}

impl Kind {
    /// As expressions see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Client => "client",
            Self::Foreign => "foreign",
            Self::Operator => "operator",
        }
    }
}
