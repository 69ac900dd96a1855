//! The authorization request (OAuth 2.1 §4.1.1) and where its answer goes.
//!
//! The type says what may be done with an error: an [`Unanchored`] request has nowhere to send it, so a person sees a
//! page; an [`Anchored`] one has a checked redirect URI; a [`ValidRequest`] without PKCE, resource or scopes is not
//! representable.

mod error;
mod target;

use sallyport_core::{ClientId, Resource, ScopeSet, Thumbprint};
use serde::{Deserialize, Serialize};

pub use error::{AnchorError, AuthorizeError};
pub use target::ResponseTarget;

use crate::dpop;
use crate::model::Client;
use crate::params::Params;
use crate::pkce::CodeChallenge;
use crate::prompt::Prompt;
use crate::redirect::{self, RedirectKind};
use crate::resources::Resources;

/// The parameters that are read; each may come once. `resource` has a rule of its own, others are ignored.
const KNOWN: &[&str] = &[
    "response_type",
    "response_mode",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "request",
    "request_uri",
    "registration",
    "dpop_jkt",
];

/// The request's sender is not known yet.
pub struct Unanchored {
    client: ClientId,
    redirect_uri: String,
}

/// Client and redirect URI belong together: errors go back to the client.
pub struct Anchored {
    target: ResponseTarget,
    kind: RedirectKind,
}

/// An authorization request at one stage of being checked.
pub struct AuthorizeRequest<Stage> {
    params: Params,
    stage: Stage,
}

/// A refusal and where it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Where.
    pub target: ResponseTarget,
    /// Why.
    pub error: AuthorizeError,
}

/// A request that a person can be asked about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValidRequest {
    /// Where the answer goes.
    pub target: ResponseTarget,
    /// What kind of place that is.
    pub kind: RedirectKind,
    /// Who asks.
    pub client: ClientId,
    /// For which resource.
    pub resource: Resource,
    /// For which scopes: never more than registered.
    pub scopes: ScopeSet,
    /// What the redeemer of the code has to know the verifier of.
    pub challenge: CodeChallenge,
    /// Which pages are wanted.
    pub prompt: Prompt,
    /// The key that the code is bound to (RFC 9449 §10).
    #[serde(default)]
    pub key: Option<Thumbprint>,
}

impl AuthorizeRequest<Unanchored> {
    /// Reads who asks and where the answer shall go.
    ///
    /// # Errors
    /// [`AnchorError`]. A request without `redirect_uri` is refused even if only one is registered (RU-08).
    pub fn read(params: Params) -> Result<Self, AnchorError> {
        let client = params
            .one("client_id")?
            .ok_or(AnchorError::Missing("client_id"))?;
        let redirect_uri = params
            .one("redirect_uri")?
            .ok_or(AnchorError::Missing("redirect_uri"))?;
        let stage = Unanchored {
            client: ClientId::new(client),
            redirect_uri: redirect_uri.to_owned(),
        };
        Ok(Self { params, stage })
    }

    /// The client that has to be looked up.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.stage.client
    }

    /// Ties the request to its client.
    ///
    /// # Errors
    /// [`AnchorError`] if there is no such client or the redirect URI is not its own.
    pub fn anchor(
        self,
        client: Option<&Client>,
        private_schemes: &[String],
    ) -> Result<AuthorizeRequest<Anchored>, AnchorError> {
        let client = client
            .filter(|c| c.id == self.stage.client)
            .ok_or(AnchorError::UnknownClient)?;
        let redirect_uri = self.stage.redirect_uri;
        if !redirect::is_registered(&redirect_uri, &client.redirect_uris) {
            return Err(AnchorError::UnknownRedirect);
        }
        let kind =
            redirect::classify(&redirect_uri, private_schemes).map_err(|_| AnchorError::UnknownRedirect)?;
        let state = self.params.one("state").ok().flatten().map(ToOwned::to_owned);
        let target = ResponseTarget { redirect_uri, state };
        Ok(AuthorizeRequest {
            params: self.params,
            stage: Anchored { target, kind },
        })
    }
}

impl AuthorizeRequest<Anchored> {
    /// Where the answer goes.
    #[must_use]
    pub fn target(&self) -> &ResponseTarget {
        &self.stage.target
    }

    /// Checks everything else.
    ///
    /// # Errors
    /// [`Refusal`], to be sent to the client.
    pub fn validate(self, client: &Client, resources: &Resources) -> Result<ValidRequest, Refusal> {
        let Anchored { target, kind } = self.stage;
        match read(&self.params, client, resources) {
            Ok((challenge, resource, scopes, prompt, key)) => Ok(ValidRequest {
                key,
                target,
                kind,
                client: client.id.clone(),
                resource,
                scopes,
                challenge,
                prompt,
            }),
            Err(error) => Err(Refusal { target, error }),
        }
    }
}

fn read(
    params: &Params,
    client: &Client,
    resources: &Resources,
) -> Result<(CodeChallenge, Resource, ScopeSet, Prompt, Option<Thumbprint>), AuthorizeError> {
    for name in KNOWN {
        params.one(name)?;
    }
    for (name, error) in [
        ("request", AuthorizeError::Request),
        ("request_uri", AuthorizeError::RequestUri),
        ("registration", AuthorizeError::Registration),
    ] {
        if params.one(name)?.is_some() {
            return Err(error);
        }
    }
    match params.one("response_type")? {
        Some("code") => {}
        Some(_) => return Err(AuthorizeError::ResponseType),
        None => return Err(AuthorizeError::NoResponseType),
    }
    if params.one("response_mode")?.is_some_and(|mode| mode != "query") {
        return Err(AuthorizeError::ResponseMode);
    }
    let challenge = CodeChallenge::read(
        params.one("code_challenge")?,
        params.one("code_challenge_method")?,
    )?;
    let resource = resources.resolve(params.all("resource"))?;
    let prompt = Prompt::parse(params.one("prompt")?)?;
    let key = params
        .one("dpop_jkt")?
        .map(|jkt| dpop::thumbprint(jkt).ok_or(AuthorizeError::Thumbprint))
        .transpose()?;
    Ok((
        challenge,
        resource,
        granted_scopes(params.one("scope")?, client),
        prompt,
        key,
    ))
}

/// Scopes that nobody knows here are dropped, because clients ask for those of other servers too; if none is left it is
/// as if none had been asked for. It is never more than the client registered (AZ-08).
pub(crate) fn granted_scopes(asked: Option<&str>, client: &Client) -> ScopeSet {
    let known = client
        .scopes
        .intersection(&ScopeSet::parse(asked.unwrap_or_default()));
    if known.is_empty() {
        client.scopes.clone()
    } else {
        known
    }
}

#[cfg(test)]
mod tests;
