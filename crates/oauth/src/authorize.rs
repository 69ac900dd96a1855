//! The authorization request (OAuth 2.1 §4.1.1) and where its answer goes.
//!
//! The type says what may be done with an error: an [`Unanchored`] request has nowhere to send it, so a person sees a
//! page; an [`Anchored`] one has a checked redirect URI; a [`ValidRequest`] without PKCE, resource or scopes is not
//! representable.

use sallyport_core::{ClientId, Resource, ScopeSet};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::form_urlencoded;

use crate::error::ErrorCode;
use crate::model::Client;
use crate::params::{Params, ParamsError, Repeated};
use crate::pkce::{ChallengeError, CodeChallenge};
use crate::prompt::{Prompt, PromptError};
use crate::redirect::{self, RedirectKind};
use crate::resources::{InvalidTarget, Resources};

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

/// Why a request has no sender to answer to. The person sees a page and nothing is sent anywhere (OAuth 2.1 §4.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AnchorError {
    /// The query could not be read.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// `client_id` or `redirect_uri` came twice.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// `client_id` or `redirect_uri` is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// No such client.
    #[error("the client is not registered here")]
    UnknownClient,
    /// The redirect URI is not one of the client's, or its scheme is not accepted any more.
    #[error("the redirect URI is not registered for this client")]
    UnknownRedirect,
}

/// Why a request with a known sender is refused; it goes back to the client. The text is ours alone: nothing of the
/// request is in it (AZ-11).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AuthorizeError {
    /// A parameter came twice.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// No `response_type`.
    #[error("`response_type` is missing")]
    NoResponseType,
    /// Another `response_type` than `code`.
    #[error("`response_type` must be code")]
    ResponseType,
    /// Another `response_mode` than `query`.
    #[error("`response_mode` must be query")]
    ResponseMode,
    /// A request object (RFC 9101).
    #[error("request objects are not supported")]
    Request,
    /// A request object by reference; it is not fetched (AZ-07).
    #[error("request objects are not supported")]
    RequestUri,
    /// A registration inside the request.
    #[error("register at the registration endpoint")]
    Registration,
    /// No PKCE.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// The resource is not ours.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// `prompt` contradicts itself.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// `prompt=none`, and nobody is logged in.
    #[error("nobody is logged in")]
    LoginRequired,
    /// `prompt=none`, and the person has to be asked.
    #[error("the person has to be asked")]
    ConsentRequired,
    /// The person said no.
    #[error("the person said no")]
    Denied,
}

impl AuthorizeError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Repeated(_)
            | Self::NoResponseType
            | Self::ResponseMode
            | Self::Challenge(_)
            | Self::Prompt(_) => ErrorCode::InvalidRequest,
            Self::ResponseType => ErrorCode::UnsupportedResponseType,
            Self::Request => ErrorCode::RequestNotSupported,
            Self::RequestUri => ErrorCode::RequestUriNotSupported,
            Self::Registration => ErrorCode::RegistrationNotSupported,
            Self::Target(_) => ErrorCode::InvalidTarget,
            Self::LoginRequired => ErrorCode::LoginRequired,
            Self::ConsentRequired => ErrorCode::ConsentRequired,
            Self::Denied => ErrorCode::AccessDenied,
        }
    }
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
            Ok((challenge, resource, scopes, prompt)) => Ok(ValidRequest {
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
) -> Result<(CodeChallenge, Resource, ScopeSet, Prompt), AuthorizeError> {
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
    Ok((
        challenge,
        resource,
        granted_scopes(params.one("scope")?, client),
        prompt,
    ))
}

/// Scopes that nobody knows here are dropped, because clients ask for those of other servers too; if none is left it is
/// as if none had been asked for. It is never more than the client registered (AZ-08).
fn granted_scopes(asked: Option<&str>, client: &Client) -> ScopeSet {
    let known = client
        .scopes
        .intersection(&ScopeSet::parse(asked.unwrap_or_default()));
    if known.is_empty() {
        client.scopes.clone()
    } else {
        known
    }
}

/// A redirect URI that belongs to the client, and the `state` that goes back with the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResponseTarget {
    /// Exactly as the request spelled it.
    pub redirect_uri: String,
    /// Exactly as the request gave it.
    pub state: Option<String>,
}

impl ResponseTarget {
    /// The `Location` of a granted request, with `iss` (RFC 9207 §2).
    #[must_use]
    pub fn success(&self, issuer: &str, code: &str) -> String {
        self.location(&[("code", code), ("iss", issuer)])
    }

    /// The `Location` of a refused request, with `iss` too: clients check it before they believe the error.
    #[must_use]
    pub fn failure(&self, issuer: &str, error: AuthorizeError) -> String {
        self.location(&[
            ("error", error.code().as_str()),
            ("error_description", &error.to_string()),
            ("iss", issuer),
        ])
    }

    fn location(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(pairs);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}

#[cfg(test)]
mod tests;
