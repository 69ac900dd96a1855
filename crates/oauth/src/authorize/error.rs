//! Why an authorization request is refused: with a page, or by an answer to the client.

use thiserror::Error;

use crate::error::ErrorCode;
use crate::params::{ParamsError, Repeated};
use crate::pkce::ChallengeError;
use crate::prompt::PromptError;
use crate::resources::InvalidTarget;

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
    /// The client describes itself in a document, and that cannot be fetched or does not count.
    #[error("the client's metadata document does not count")]
    Document,
    /// The `request_uri` is not the client's, or is over.
    #[error("the pushed request is not there any more")]
    Pushed,
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
    /// The client has registered that it pushes its requests (RFC 9126 §6).
    #[error("this client has to push its request to the pushed authorization request endpoint")]
    NotPushed,
    /// A registration inside the request.
    #[error("register at the registration endpoint")]
    Registration,
    /// No PKCE.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// `dpop_jkt` is no thumbprint.
    #[error("`dpop_jkt` must be the SHA-256 thumbprint of a key, 43 characters")]
    Thumbprint,
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
            | Self::NotPushed
            | Self::Thumbprint
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
