//! What the operator decides about accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sallyport_core::account::Person;
use sallyport_core::capability::SignStatement;
use sallyport_core::policy::Selection;
use sallyport_core::{Secret, ServerName};
use url::Url;

/// What a reload may change.
#[derive(Clone, Default)]
pub struct Settings {
    /// `public_url` without a slash at the end: the browser comes back to it.
    pub origin: String,
    /// The servers at which there can be accounts.
    pub servers: BTreeMap<ServerName, Arc<ServerLogin>>,
}

/// How one server is logged in at.
#[derive(Clone)]
pub struct ServerLogin {
    /// Where it is.
    pub url: Url,
    /// Whether it is known to want a token; otherwise that is so once it has asked for one.
    pub is_certain: bool,
    /// Whether all share one account, which administrators look after; otherwise everybody has their own.
    pub shared: bool,
    /// Whether the gateway has tokens of its own, which it gets as the client that the operator has registered: nobody
    /// connects anything.
    pub own: bool,
    /// Our id at its authorization server, where the operator has registered us; without an issuer the URL of a document
    /// that describes us, for every one that takes such documents.
    pub client_id: Option<String>,
    /// Our secret there.
    pub client_secret: Option<Secret<String>>,
    /// Our key there, in place of a secret.
    pub client_key: Option<Arc<dyn SignStatement>>,
    /// Where another authority puts its statement about us, which then grants the gateway its own tokens. It is read each
    /// time, because it ends.
    pub assertion_file: Option<PathBuf>,
    /// Its authorization server, which then is the only one: the id and the secret are for it alone.
    pub issuer: Option<String>,
    /// What is asked for; nothing leaves it to the server.
    pub scopes: Vec<String>,
    /// Who may use the server at all, by each of the endpoints that show it.
    pub users: Vec<Selection>,
}

impl ServerLogin {
    /// The URLs that the operator wrote.
    pub(crate) fn named(&self) -> Vec<Url> {
        let issuer = self.issuer.as_ref().and_then(|issuer| Url::parse(issuer).ok());
        std::iter::once(self.url.clone()).chain(issuer).collect()
    }

    /// The URL of the document that the operator keeps elsewhere.
    pub(crate) fn document(&self) -> Option<&str> {
        self.client_id.as_deref().filter(|_| self.issuer.is_none())
    }

    /// Whether tokens that were got for the other are good for this: the same place, the same client, the same scopes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let secret = match (&self.client_secret, &other.client_secret) {
            (Some(one), Some(other)) => one.matches(other.expose().as_bytes()),
            (None, None) => true,
            _ => false,
        };
        let place = |login: &Self| {
            (
                login.url.clone(),
                login.issuer.clone(),
                login.assertion_file.clone(),
            )
        };
        let who = self.client_id == other.client_id && self.scopes == other.scopes;
        place(self) == place(other) && who && secret
    }

    /// Whether somebody may use the server, and so know of it.
    pub(crate) fn admits(&self, person: &Person) -> bool {
        person.admin || self.users.iter().any(|users| users.admits(person.user.as_str()))
    }
}

impl Settings {
    /// Where browsers come back to.
    pub(crate) fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.origin)
    }

    /// The URL of the document that describes us; none where nobody could trust it (https alone).
    pub(crate) fn document(&self) -> Option<String> {
        self.origin
            .starts_with("https://")
            .then(|| format!("{}/oauth/client.json", self.origin))
    }
}
