//! What a server and its authorization server say: asked anew for each log-in.

use sallyport_core::ServerName;
use sallyport_net::egress::Fetched;
use sallyport_oauth::server_login::issuer::{self, Metadata, TokenServer};
use sallyport_oauth::server_login::request::least;
use sallyport_oauth::server_login::resource::{self, ProtectedResource};
use sallyport_oauth::server_login::{Challenge, LoginError, Named};
use url::Url;

use crate::wire::{Body, Failure};
use crate::{Accounts, ServerLogin, lock};

/// A request that has no effect and that every server refuses whose token is missing.
const PROBE: &str = r#"{"jsonrpc":"2.0","id":"sallyport","method":"ping"}"#;

/// Everything that a log-in needs to know.
pub(crate) struct Found {
    /// What the server asks for.
    pub(crate) challenge: Option<Challenge>,
    /// What tokens are to be for.
    pub(crate) resource: String,
    /// What the server says that there is.
    pub(crate) scopes: Vec<String>,
    /// The authorization server.
    pub(crate) metadata: Metadata,
}

/// What getting tokens in our own name needs to know.
pub(crate) struct FoundOwn {
    /// What tokens are to be for.
    pub(crate) resource: String,
    /// What is asked for.
    pub(crate) scopes: Vec<String>,
    /// Where they are got.
    pub(crate) issuer: TokenServer,
}

impl Accounts {
    /// Asks the server and its authorization server.
    pub(crate) async fn discover(&self, server: &ServerName, login: &ServerLogin) -> Result<Found, Failure> {
        let named = login.named();
        let named = Named(&named);
        let challenge = self.challenge(server, login, named).await?;
        let own = self.described(login, challenge.as_ref(), named).await?;
        let chosen = issuer_of(login, own.as_ref())?;
        let metadata = self.issuer(&chosen, named, Metadata::read).await?;
        let (resource, scopes) = named_by(login, own);
        Ok(Found {
            challenge,
            resource,
            scopes,
            metadata,
        })
    }

    /// Asks the server, and its authorization server for no more than where tokens are got.
    pub(crate) async fn discover_own(
        &self,
        server: &ServerName,
        login: &ServerLogin,
    ) -> Result<FoundOwn, Failure> {
        let named = login.named();
        let named = Named(&named);
        let challenge = self.challenge(server, login, named).await?;
        let own = self.described(login, challenge.as_ref(), named).await?;
        let chosen = issuer_of(login, own.as_ref())?;
        let issuer = self.issuer(&chosen, named, TokenServer::read).await?;
        let (resource, supported) = named_by(login, own);
        let scopes = least(&login.scopes, challenge.as_ref(), &supported).to_vec();
        Ok(FoundOwn {
            resource,
            scopes,
            issuer,
        })
    }

    /// What the server asks of somebody without a token.
    async fn challenge(
        &self,
        server: &ServerName,
        login: &ServerLogin,
        named: Named<'_>,
    ) -> Result<Option<Challenge>, Failure> {
        let answer = self.ask(named, &login.url, Body::Json(PROBE)).await?;
        let challenge = (answer.status == 401)
            .then(|| Challenge::read(answer.headers.all("www-authenticate")))
            .flatten();
        if let Some(challenge) = &challenge {
            lock(&self.challenges).insert(server.clone(), challenge.clone());
        }
        Ok(challenge)
    }

    /// What the server says about itself; nothing where it says nothing. A document about something else is an error, and
    /// no reason to look for another one (MD-03).
    pub(crate) async fn described(
        &self,
        login: &ServerLogin,
        challenge: Option<&Challenge>,
        named: Named<'_>,
    ) -> Result<Option<ProtectedResource>, Failure> {
        for url in resource::candidates(&login.url, challenge) {
            let answer = self.ask(named, &url, Body::Get).await?;
            if answer.status == 200 {
                return Ok(Some(resource::read(&login.url, answer.status, &answer.body)?));
            }
        }
        Ok(None)
    }

    async fn issuer<T>(
        &self,
        issuer: &str,
        named: Named<'_>,
        read: impl Fn(&str, Named<'_>, u16, &[u8]) -> Result<T, LoginError>,
    ) -> Result<T, Failure> {
        let mut last = LoginError::NoIssuer;
        for url in issuer::candidates(issuer, named)? {
            let Fetched { status, body, .. } = self.ask(named, &url, Body::Get).await?;
            match read(issuer, named, status, &body) {
                Ok(found) => return Ok(found),
                Err(error @ LoginError::Status(..)) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }
}

/// Which authorization server it is: the operator's, if the server names it, else the first that the server names. A server
/// of 2025-03-26 names none and is its own.
fn issuer_of(login: &ServerLogin, own: Option<&ProtectedResource>) -> Result<String, LoginError> {
    match (&login.issuer, own) {
        (Some(configured), Some(own)) if !own.issuers.contains(configured) => Err(LoginError::NotConfigured),
        (Some(configured), _) => Ok(configured.clone()),
        (None, Some(own)) => own.issuers.first().cloned().ok_or(LoginError::NoIssuer),
        (None, None) => Ok(origin(&login.url)),
    }
}

/// What tokens are to be for, and the scopes that there are.
fn named_by(login: &ServerLogin, own: Option<ProtectedResource>) -> (String, Vec<String>) {
    match own {
        Some(own) => (own.resource, own.scopes),
        None => (resource::canonical(&login.url), Vec::new()),
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
