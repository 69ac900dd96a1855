//! Where log-ins begin and end, for whoever keeps a record of them.

use std::net::IpAddr;

use crate::capability::TokenError;
use crate::{GrantId, Principal};

/// Why somebody was turned away at an MCP endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turned {
    /// No bearer token.
    NoToken,
    /// Something else than one bearer token.
    Malformed,
    /// The token is bound to a key, and the proof does not show that the sender holds it.
    Proof,
    /// The token does not count here.
    Token(TokenError),
    /// The token has not the scope.
    Scope,
    /// The profile does not admit the person.
    NotAdmitted,
}

/// Somebody who was turned away at an MCP endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// From which address.
    pub peer: IpAddr,
    /// `User-Agent`.
    pub agent: &'a str,
    /// The endpoint's path.
    pub path: &'a str,
    /// Why.
    pub turned: Turned,
    /// Whose token was shown, where it is known.
    pub grant: Option<&'a GrantId>,
}

/// Hears of the begin and the end of log-ins. Called on the threads that serve: it must not wait, and may forget.
pub trait WatchLogins: Send + Sync {
    /// Somebody was told where to log in, or that the log-in does not count.
    fn turned_away(&self, knock: Knock<'_>);

    /// An access token was seen for the first time and is good.
    fn first_use(&self, principal: &Principal);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl WatchLogins for Nobody {
    fn turned_away(&self, _: Knock<'_>) {}

    fn first_use(&self, _: &Principal) {}
}
