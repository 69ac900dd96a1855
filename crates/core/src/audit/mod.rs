//! The audit trail: what is recorded, and the two ways to record it.
//!
//! An event has no room for secrets, arguments or results: only names, ids and outcomes.

pub mod text;

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ClientId, GrantId, Principal, ProfileSlug, RequestId, ServerName, Timestamp, UserId};

/// What happened. The text form is part of the trail's format: add, never rename.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The gateway started.
    Start,
    /// The configuration was read again, or refused.
    Reload,
    /// A person typed a password.
    Login,
    /// A person ended the browser session.
    Logout,
    /// The first administrator was made with the setup link.
    Setup,
    /// A local user was created.
    UserCreate,
    /// A local user was put into groups, or taken out of them.
    UserGroups,
    /// A local user was given another password.
    UserPassword,
    /// A local user was removed.
    UserRemove,
    /// A client was registered (RFC 7591).
    ClientRegister,
    /// A client's registration was changed, or given another token (RFC 7592).
    ClientUpdate,
    /// A client was ended, and every grant to it.
    ClientDelete,
    /// A person answered the consent page.
    Consent,
    /// A token pair was issued for a code.
    TokenIssue,
    /// A token pair was issued for a refresh token.
    TokenRefresh,
    /// A code or refresh token was used again: the grant was revoked.
    ReuseDetected,
    /// A grant was revoked.
    Revoke,
    /// An API key was made, or took the place of another.
    ApiKeyIssue,
    /// A request was refused at the door.
    Denied,
    /// A legacy session was opened.
    SessionOpen,
    /// A tool was called.
    ToolCall,
    /// A task, which a call of a tool has become, was given its inputs.
    TaskUpdate,
    /// A task was cancelled.
    TaskCancel,
    /// A task was seen to have ended.
    TaskEnd,
    /// A resource was read.
    ResourceRead,
    /// A prompt was fetched.
    PromptGet,
    /// Another key signs access tokens.
    KeyRotate,
    /// Another master key seals.
    VaultRotate,
    /// A server was added or removed by command.
    ServerChange,
    /// A person answered about a call that needs a yes.
    CallApprove,
    /// The definition of a tool was approved.
    ToolApprove,
    /// A tool was held back, because its definition is not approved; or was let through all the same.
    ToolHold,
    /// An account at a server was connected.
    AccountConnect,
    /// The tokens of an account at a server were renewed.
    AccountRenew,
    /// An account at a server was disconnected, or its tokens are no good any more.
    AccountEnd,
    /// A child process of a stdio server was started.
    ProcessSpawn,
    /// The trail itself: it went on after it could not be written, or without its checkpoint.
    Trail,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Begun; a record with the same request follows when it ends.
    Started,
    /// Done.
    Ok,
    /// Refused by a rule.
    Denied,
    /// Failed.
    Failed,
    /// The caller left before the end.
    Cancelled,
}

/// One event, without its time and place in the chain, which the trail adds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Through which client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// Under which grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// At which profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileSlug>,
    /// At which server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerName>,
    /// On what: a tool's name, a user's name; at most [`Event::MAX_TEXT`] bytes are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Box<str>>,
    /// Why, in words of ours or a fixed label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// The inbound request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
}

impl Event {
    /// The longest `target` or `reason` that is kept, in bytes; longer ones are cut (AL-06).
    pub const MAX_TEXT: usize = 256;

    /// An event with nothing but what happened and how it ended.
    #[must_use]
    #[inline]
    pub fn new(action: Action, outcome: Outcome) -> Self {
        Self {
            action,
            outcome,
            user: None,
            client: None,
            grant: None,
            profile: None,
            server: None,
            target: None,
            reason: None,
            request: None,
            peer: None,
        }
    }

    /// With the principal's person, client and grant.
    #[must_use]
    #[inline]
    pub fn by(mut self, principal: &Principal) -> Self {
        self.user = Some(principal.user.clone());
        self.client = Some(principal.client.clone());
        self.grant = Some(principal.grant.clone());
        self
    }

    /// With what it was done to.
    #[must_use]
    #[inline]
    pub fn on(mut self, target: &str) -> Self {
        self.target = Some(cut(target).into());
        self
    }

    /// Who did it.
    #[must_use]
    pub fn who(&self) -> Who {
        Who {
            user: self.user.clone(),
            client: self.client.clone(),
            grant: self.grant.clone(),
            profile: self.profile.clone(),
            peer: self.peer,
            text: Box::default(),
        }
        .written()
    }

    /// The event as it is written down, with [`Event::who`].
    #[must_use]
    pub fn entry<'a>(&'a self, who: &'a Who) -> Entry<'a> {
        Entry {
            action: self.action,
            outcome: self.outcome,
            who: Some(who),
            server: self.server.as_ref(),
            target: self.target.as_deref(),
            reason: self.reason.as_deref(),
            request: self.request,
            at: None,
        }
    }

    /// With the reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        self.reason = Some(if reason.len() > Self::MAX_TEXT {
            cut(&reason).to_owned().into()
        } else {
            reason
        });
        self
    }
}

/// Who does something, through what and from where: what all records of one caller have in common.
#[derive(Clone, Debug)]
pub struct Who {
    user: Option<UserId>,
    client: Option<ClientId>,
    grant: Option<GrantId>,
    profile: Option<ProfileSlug>,
    peer: Option<IpAddr>,
    /// All of it as members of a record.
    text: Box<[u8]>,
}

impl Who {
    /// The longest client id that is kept, in bytes: a metadata document's URL.
    pub const MAX_CLIENT: usize = 2048;

    /// The person, client and grant of a principal, at a profile, from this address.
    #[must_use]
    pub fn new(principal: &Principal, profile: Option<&ProfileSlug>, peer: IpAddr) -> Self {
        Self {
            user: Some(principal.user.clone()),
            client: Some(principal.client.clone()),
            grant: Some(principal.grant.clone()),
            profile: profile.cloned(),
            peer: Some(peer),
            text: Box::default(),
        }
        .written()
    }

    fn written(mut self) -> Self {
        let mut text = Vec::new();
        let mut member = |key: &str, value: Option<&str>, max: usize| {
            if let Some(value) = value {
                text::member(key, value, max, &mut text);
            }
        };
        member("user", self.user.as_ref().map(UserId::as_str), usize::MAX);
        member(
            "client",
            self.client.as_ref().map(ClientId::as_str),
            Self::MAX_CLIENT,
        );
        member("grant", self.grant.as_ref().map(GrantId::as_str), usize::MAX);
        member(
            "profile",
            self.profile.as_ref().map(ProfileSlug::as_str),
            usize::MAX,
        );
        if let Some(peer) = self.peer {
            text::address(peer, &mut text);
        }
        self.text = text.into();
        self
    }

    /// As members of a record, each with a comma before it.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

/// An event as it is written down: what [`Event`] owns, borrowed. Every call has two of them, about things that the call
/// holds anyway.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// [`Event::action`].
    pub action: Action,
    /// [`Event::outcome`].
    pub outcome: Outcome,
    /// [`Event::user`], [`Event::client`], [`Event::grant`], [`Event::profile`] and [`Event::peer`].
    pub who: Option<&'a Who>,
    /// [`Event::server`].
    pub server: Option<&'a ServerName>,
    /// [`Event::target`]; what is too long is cut when it is written.
    pub target: Option<&'a str>,
    /// [`Event::reason`]; the same.
    pub reason: Option<&'a str>,
    /// [`Event::request`].
    pub request: Option<RequestId>,
    /// When it happened, where that has been read already; else it is the moment at which it is entered.
    pub at: Option<Timestamp>,
}

impl Entry<'_> {
    /// The same with everything of its own.
    #[must_use]
    pub fn to_event(&self) -> Event {
        let mut event = Event::new(self.action, self.outcome);
        if let Some(who) = self.who {
            event.user.clone_from(&who.user);
            event.client.clone_from(&who.client);
            event.grant.clone_from(&who.grant);
            event.profile.clone_from(&who.profile);
            event.peer = who.peer;
        }
        event.server = self.server.cloned();
        event.target = self.target.map(|target| cut(target).into());
        event.request = self.request;
        match self.reason {
            Some(reason) => event.because(reason.to_owned()),
            None => event,
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(Event::MAX_TEXT))
        .unwrap_or(text)
}

/// The trail cannot be written: what waits for its record must be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the audit trail cannot be written")]
pub struct AuditUnavailable;

/// A future that is boxed because the trait is used as an object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The audit trail.
pub trait Audit: Send + Sync + 'static {
    /// Records and waits until the record is durable: administration, issue of tokens, release of credentials.
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>>;

    /// Records without waiting; durable within 100 ms by group commit: calls.
    ///
    /// # Errors
    /// [`AuditUnavailable`] once the trail cannot be written or its queue is full: the call must be refused.
    fn enter(&self, entry: &Entry<'_>) -> Result<(), AuditUnavailable>;

    /// The same for an event of its own.
    ///
    /// # Errors
    /// As [`Audit::enter`].
    fn record(&self, event: &Event) -> Result<(), AuditUnavailable> {
        self.enter(&event.entry(&event.who()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn al_06_texts_are_cut_at_the_bound() {
        let at = "x".repeat(Event::MAX_TEXT);
        let past = format!("{at}y");
        assert_eq!(
            Event::new(Action::ToolCall, Outcome::Ok)
                .on(&at)
                .target
                .as_deref(),
            Some(at.as_str())
        );
        assert_eq!(
            Event::new(Action::ToolCall, Outcome::Ok)
                .on(&past)
                .target
                .as_deref(),
            Some(at.as_str())
        );
        let wide = "é".repeat(200);
        assert!(
            Event::new(Action::Denied, Outcome::Denied)
                .because(wide)
                .reason
                .is_some_and(|r| r.len() <= 256)
        );
    }
}
