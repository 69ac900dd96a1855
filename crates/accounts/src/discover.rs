//! What a server and its authorization server say: asked anew for each log-in.

use sallyport_core::ServerName;
use sallyport_net::egress::Fetched;
use sallyport_oauth::server_login::issuer::{self, Metadata};
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

impl Accounts {
    /// Asks the server and its authorization server.
    pub(crate) async fn discover(&self, server: &ServerName, login: &ServerLogin) -> Result<Found, Failure> {
        let named = login.named();
        let named = Named(&named);
        let challenge = self.challenge(server, login, named).await?;
        let own = self.described(login, challenge.as_ref(), named).await?;
        let chosen = issuer_of(login, own.as_ref())?;
        let metadata = self.issuer(&chosen, named).await?;
        let (resource, scopes) = match own {
            Some(own) => (own.resource, own.scopes),
            None => (resource::canonical(&login.url), Vec::new()),
        };
        Ok(Found {
            challenge,
            resource,
            scopes,
            metadata,
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

    async fn issuer(&self, issuer: &str, named: Named<'_>) -> Result<Metadata, Failure> {
        let mut last = LoginError::NoIssuer;
        for url in issuer::candidates(issuer, named)? {
            let Fetched { status, body, .. } = self.ask(named, &url, Body::Get).await?;
            match Metadata::read(issuer, named, status, &body) {
                Ok(metadata) => return Ok(metadata),
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

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
