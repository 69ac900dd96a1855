//! Accounts at servers: what the data path and the pages may ask of whoever keeps them. Neither sees a secret that is not for
//! the very request that it sends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use crate::{Secret, ServerName, UserId};

/// What takes a while.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// On whose behalf a server is called.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Holder {
    /// A person: by their own account, never by anybody else's.
    Person(UserId),
    /// The gateway, to learn what the server offers: by the shared account, or else the one that was connected first.
    Gateway,
}

/// The id of an account.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Takes an id as it was stored.
    #[must_use]
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The credential of one account, for as long as it is good. It is wiped when the last who holds it lets go.
pub struct Bearer {
    /// Whose it is.
    pub account: AccountId,
    /// Counts how often it was replaced: what is refused is replaced once, however many were refused.
    pub version: u64,
    /// The value of `Authorization`.
    pub header: Secret<String>,
}

/// A person has to go somewhere with the browser before the server can be called for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectFirst {
    /// Where: a page of ours. Nothing in it is secret.
    pub url: String,
    /// Why, in words for the person.
    pub message: String,
    /// The same for the same person and server.
    pub id: String,
}

impl fmt::Display for ConnectFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.url)
    }
}

impl std::error::Error for ConnectFirst {}

/// Why there is no credential.
#[derive(Debug, Error)]
pub enum NoBearer {
    /// The person has to log in at the server.
    #[error(transparent)]
    Connect(#[from] ConnectFirst),
    /// It cannot be had now; later it may be different.
    #[error("the account cannot be used now: {0}")]
    Unavailable(String),
}

/// What a server says that wants a token, or another one: the values of `WWW-Authenticate`.
pub type Told<'a> = &'a [&'a [u8]];

/// Gives the data path the credentials that it sends.
pub trait UseAccounts: Send + Sync {
    /// The credential with which `server` is called for `holder`; of the account `pinned` and no other, if one is named.
    /// One that ends soon is replaced first, once, however many wait for it.
    fn bearer<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        pinned: Option<&'a AccountId>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>>;

    /// The server refused this credential. If there is another one, the request may be sent once more.
    fn refused<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        bearer: &'a Bearer,
        told: Told<'a>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>>;

    /// The server found that this credential does not allow enough (RFC 6750 §3.1): where its holder gets more.
    fn short<'a>(
        &'a self,
        server: &'a ServerName,
        holder: &'a Holder,
        bearer: &'a Bearer,
        told: Told<'a>,
    ) -> Waiting<'a, NoBearer>;

    /// The server refused a request without a credential; whether it can be logged in at.
    fn challenged(&self, server: &ServerName, told: Told<'_>) -> bool;

    /// Whether anybody has an account at the server.
    fn is_known<'a>(&'a self, server: &'a ServerName) -> Waiting<'a, bool>;
}

/// Whoever looks after accounts in a browser.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who it is.
    pub user: UserId,
    /// Whether they may look after the accounts that all share.
    pub admin: bool,
}

/// A server at which accounts can be had, and those of a person there.
#[derive(Clone, Debug)]
pub struct ServerAccounts {
    /// The server.
    pub server: ServerName,
    /// Where it is.
    pub url: String,
    /// Whether all share its account, which administrators look after.
    pub shared: bool,
    /// Whether this person may connect accounts there.
    pub may_connect: bool,
    /// The accounts, the oldest first.
    pub accounts: Vec<AccountView>,
}

/// An account as its owner sees it.
#[derive(Clone, Debug)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// The authorization server.
    pub issuer: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Why it has to be connected again, if so.
    pub problem: Option<String>,
    /// Whether calls use it.
    pub in_use: bool,
}

/// What a log-in at a server would be: what a person says yes to before the browser goes there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// The server.
    pub server: ServerName,
    /// Where the server is.
    pub url: String,
    /// The authorization server.
    pub issuer: String,
    /// Where the browser would go.
    pub leads_to: Url,
    /// What would be asked for; what the authorization server thinks right where it is nothing.
    pub scopes: Vec<String>,
    /// The authorization server that gave the account's present tokens, if it is another one.
    pub moved_from: Option<String>,
}

/// Why an account cannot be connected.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no such server, or no accounts at it, or not for this person.
    #[error("there are no accounts at this server")]
    NoSuchServer,
    /// The name cannot be that of an account.
    #[error("the name of an account is 1 to 32 letters, digits, `-`, `_` or `.`")]
    Name,
    /// There are as many accounts as one may have.
    #[error("there are too many accounts at this server; disconnect one first")]
    TooMany,
    /// The browser brought what was not begun there, or not lately, or by somebody else, or before.
    #[error("this log-in was not begun in this browser, or not lately, or came back before")]
    Foreign,
    /// The person, or the authorization server, said no.
    #[error("nothing was allowed there")]
    Denied,
    /// It is not what the person said yes to any more.
    #[error("the server has changed since the page was shown")]
    Changed,
    /// The server or its authorization server does not do what it should. The text is for the person.
    #[error("{0}")]
    Failed(String),
    /// Something failed here; it is in the log.
    #[error("it failed here")]
    Internal,
}

/// Connects and disconnects accounts for people in a browser.
pub trait KeepAccounts: Send + Sync {
    /// The servers at which there can be accounts.
    fn servers<'a>(&'a self, person: &'a Person) -> Waiting<'a, Result<Vec<ServerAccounts>, ConnectError>>;

    /// What a log-in would be. Nothing is kept yet.
    fn propose<'a>(
        &'a self,
        person: &'a Person,
        server: &'a ServerName,
        name: &'a str,
    ) -> Waiting<'a, Result<Proposal, ConnectError>>;

    /// The person said yes to the proposal for the account of that name at that server: where the browser goes. `browser`
    /// is a secret of that browser's.
    fn depart<'a>(
        &'a self,
        person: &'a Person,
        account: (&'a ServerName, &'a str),
        agreed: &'a Proposal,
        browser: &'a str,
    ) -> Waiting<'a, Result<Url, ConnectError>>;

    /// The browser comes back with this query: at which server there is an account now.
    fn arrive<'a>(
        &'a self,
        person: &'a Person,
        browser: &'a str,
        query: &'a str,
    ) -> Waiting<'a, Result<(ServerName, String), ConnectError>>;

    /// Makes an account the one that calls use.
    fn choose<'a>(&'a self, person: &'a Person, id: &'a AccountId) -> Waiting<'a, Result<(), ConnectError>>;

    /// Forgets an account.
    fn disconnect<'a>(
        &'a self,
        person: &'a Person,
        id: &'a AccountId,
    ) -> Waiting<'a, Result<(), ConnectError>>;

    /// Whether a link to the page of `server` was made for this person.
    fn is_for(&self, person: &Person, server: &ServerName, link: &str) -> bool;

    /// The document that describes us as a client, where others can read it.
    fn client_document(&self) -> Option<String>;
}

/// A gateway at whose servers there are no accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAccounts;

impl NoAccounts {
    fn nothing<'a, T: Send + 'a>() -> Waiting<'a, Result<T, ConnectError>> {
        Box::pin(std::future::ready(Err(ConnectError::NoSuchServer)))
    }

    fn unavailable() -> NoBearer {
        NoBearer::Unavailable("there are no accounts here".to_owned())
    }
}

impl UseAccounts for NoAccounts {
    fn bearer<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a Holder,
        _: Option<&'a AccountId>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>> {
        Box::pin(std::future::ready(Err(Self::unavailable())))
    }

    fn refused<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a Holder,
        _: &'a Bearer,
        _: Told<'a>,
    ) -> Waiting<'a, Result<Arc<Bearer>, NoBearer>> {
        Box::pin(std::future::ready(Err(Self::unavailable())))
    }

    fn short<'a>(
        &'a self,
        _: &'a ServerName,
        _: &'a Holder,
        _: &'a Bearer,
        _: Told<'a>,
    ) -> Waiting<'a, NoBearer> {
        Box::pin(std::future::ready(Self::unavailable()))
    }

    fn challenged(&self, _: &ServerName, _: Told<'_>) -> bool {
        false
    }

    fn is_known<'a>(&'a self, _: &'a ServerName) -> Waiting<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}

impl KeepAccounts for NoAccounts {
    fn servers<'a>(&'a self, _: &'a Person) -> Waiting<'a, Result<Vec<ServerAccounts>, ConnectError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn propose<'a>(
        &'a self,
        _: &'a Person,
        _: &'a ServerName,
        _: &'a str,
    ) -> Waiting<'a, Result<Proposal, ConnectError>> {
        Self::nothing()
    }

    fn depart<'a>(
        &'a self,
        _: &'a Person,
        _: (&'a ServerName, &'a str),
        _: &'a Proposal,
        _: &'a str,
    ) -> Waiting<'a, Result<Url, ConnectError>> {
        Self::nothing()
    }

    fn arrive<'a>(
        &'a self,
        _: &'a Person,
        _: &'a str,
        _: &'a str,
    ) -> Waiting<'a, Result<(ServerName, String), ConnectError>> {
        Box::pin(std::future::ready(Err(ConnectError::Foreign)))
    }

    fn choose<'a>(&'a self, _: &'a Person, _: &'a AccountId) -> Waiting<'a, Result<(), ConnectError>> {
        Self::nothing()
    }

    fn disconnect<'a>(&'a self, _: &'a Person, _: &'a AccountId) -> Waiting<'a, Result<(), ConnectError>> {
        Self::nothing()
    }

    fn is_for(&self, _: &Person, _: &ServerName, _: &str) -> bool {
        false
    }

    fn client_document(&self) -> Option<String> {
        None
    }
}
