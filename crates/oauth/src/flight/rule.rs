//! The rules that a log-in can fail at, as one closed set: a record names the rule and holds no text of a request.

use sallyport_core::capability::TokenError;
use serde::{Deserialize, Serialize};

use crate::assertion::AssertionError;
use crate::authorize::{AnchorError, AuthorizeError};
use crate::client_auth::ClientAuthError;
use crate::client_document::DocumentError;
use crate::error::ErrorCode;
use crate::pkce::ChallengeError;
use crate::redeem::RedeemError;
use crate::redirect::RedirectError;
use crate::refresh::RefreshError;
use crate::registration::RegistrationError;
use crate::token_request::TokenRequestError;

/// A rule that was not kept. Written in kebab case, which is the name of the verdict.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    // At the MCP endpoint.
    /// No bearer token: what every log-in begins with.
    TokenMissing,
    /// Something else than one bearer token.
    TokenMalformed,
    /// The token's time is over.
    TokenExpired,
    /// The token is for another resource.
    TokenAudience,
    /// The token has been revoked.
    TokenRevoked,
    /// The token has not the scope that the endpoint needs.
    TokenScope,
    /// The profile does not admit the person.
    PersonNotAdmitted,
    // At registration.
    /// Clients cannot register themselves here.
    RegistrationClosed,
    /// Too many registrations of one address, or too many clients.
    RegistrationThrottled,
    /// Not a JSON object.
    RegistrationForm,
    /// A member that cannot be served.
    RegistrationMember,
    /// No list of redirect URIs.
    RedirectsMissing,
    /// A redirect URI in plain http to another host than loopback.
    RedirectPlainHttp,
    /// A redirect URI with a scheme that is not on the operator's list.
    RedirectScheme,
    /// A private-use redirect URI of a client with a secret.
    RedirectConfidential,
    /// A redirect URI that is none, or has a fragment or user information.
    RedirectForm,
    /// A software statement.
    SoftwareStatement,
    // The document of a client.
    /// The operator does not let documents count, or not of this host.
    DocumentRefused,
    /// The document cannot be fetched.
    DocumentUnreachable,
    /// Too many documents were fetched.
    DocumentThrottled,
    /// What is there describes no client.
    DocumentWrong,
    // At authorization.
    /// The request cannot be read.
    RequestUnreadable,
    /// No `client_id`.
    ClientMissing,
    /// No `redirect_uri`.
    RedirectMissing,
    /// The client is not registered here.
    ClientUnknown,
    /// The redirect URI is not the client's.
    RedirectNotRegistered,
    /// A parameter came twice.
    ParameterRepeated,
    /// No `response_type`, or another than `code`.
    ResponseType,
    /// Another `response_mode` than `query`.
    ResponseMode,
    /// A request object, or a registration inside the request.
    RequestObject,
    /// No `code_challenge`.
    ChallengeMissing,
    /// Another method than S256.
    ChallengeMethod,
    /// No hash.
    ChallengeForm,
    /// A `resource` that is none of ours.
    ResourceUnknown,
    /// A `prompt` that contradicts itself.
    Prompt,
    /// `prompt=none`, and a person is needed.
    PersonNeeded,
    /// The person said no.
    PersonSaidNo,
    /// Name and password do not belong together.
    PasswordWrong,
    /// Too many tries.
    LoginThrottled,
    // At `/par`.
    /// Too many requests were pushed, or too many wait.
    PushedThrottled,
    // At `/device_authorization`.
    /// Too many codes were asked for, or too many wait.
    DeviceThrottled,
    /// The client may not use devices.
    DeviceNotRegistered,
    // On the way through an identity provider.
    /// The provider, or the person there, said no.
    ProviderDenied,
    /// The provider could not be asked, or its answer does not count.
    ProviderFailed,
    /// The log-in that came back was not begun in this browser, or not lately.
    ProviderForeign,
    /// The person is on no list.
    PersonUnlisted,
    // At the token endpoint.
    /// Too many failures of one address.
    TokenThrottled,
    /// The form lacks a parameter, or has one twice.
    TokenForm,
    /// A grant type that is not served.
    GrantType,
    /// The client could not be authenticated, or does not exist.
    ClientRefused,
    /// The proof that the client holds a key is none.
    ProofRefused,
    /// The signed statement of the client proves nothing.
    StatementRefused,
    /// The code is none of ours, or was given away before.
    CodeUnknown,
    /// The code was used before.
    CodeReplayed,
    /// The code is another client's.
    CodeOtherClient,
    /// The code's time is over.
    CodeExpired,
    /// Another `redirect_uri` than at authorization.
    CodeRedirect,
    /// No `code_verifier`.
    VerifierMissing,
    /// A wrong `code_verifier`.
    VerifierWrong,
    /// Another resource than was granted.
    ResourceChanged,
    /// The grant has been revoked.
    GrantRevoked,
    /// The refresh token is none of ours.
    RefreshUnknown,
    /// The refresh token is another client's.
    RefreshOtherClient,
    /// The refresh token's time is over.
    RefreshExpired,
    /// The refresh token was used long after it was replaced.
    RefreshReused,
    /// More scopes than were granted.
    RefreshScope,
    /// The client may not refresh.
    RefreshNotRegistered,
    /// A rule that has no name here; the log has its words.
    Other,
}

impl Rule {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl From<TokenError> for Rule {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::TokenExpired,
            TokenError::Audience => Self::TokenAudience,
            TokenError::Revoked => Self::TokenRevoked,
            _ => Self::TokenMalformed,
        }
    }
}

impl From<&RegistrationError> for Rule {
    fn from(error: &RegistrationError) -> Self {
        match error {
            RegistrationError::Form => Self::RegistrationForm,
            RegistrationError::Redirects => Self::RedirectsMissing,
            RegistrationError::Redirect { error, .. } => match error {
                RedirectError::PlainHttp => Self::RedirectPlainHttp,
                RedirectError::Scheme => Self::RedirectScheme,
                RedirectError::Confidential => Self::RedirectConfidential,
                _ => Self::RedirectForm,
            },
            RegistrationError::SoftwareStatement => Self::SoftwareStatement,
            _ => Self::RegistrationMember,
        }
    }
}

impl From<&DocumentError> for Rule {
    fn from(_: &DocumentError) -> Self {
        Self::DocumentWrong
    }
}

impl From<AnchorError> for Rule {
    fn from(error: AnchorError) -> Self {
        match error {
            AnchorError::Missing("client_id") => Self::ClientMissing,
            AnchorError::Missing("redirect_uri") => Self::RedirectMissing,
            AnchorError::UnknownClient => Self::ClientUnknown,
            AnchorError::Document => Self::DocumentWrong,
            AnchorError::UnknownRedirect => Self::RedirectNotRegistered,
            AnchorError::Repeated(_) => Self::ParameterRepeated,
            _ => Self::RequestUnreadable,
        }
    }
}

impl From<AuthorizeError> for Rule {
    fn from(error: AuthorizeError) -> Self {
        match error {
            AuthorizeError::Repeated(_) => Self::ParameterRepeated,
            AuthorizeError::NoResponseType | AuthorizeError::ResponseType => Self::ResponseType,
            AuthorizeError::ResponseMode => Self::ResponseMode,
            AuthorizeError::Request | AuthorizeError::RequestUri | AuthorizeError::Registration => {
                Self::RequestObject
            }
            AuthorizeError::Challenge(ChallengeError::Missing) => Self::ChallengeMissing,
            AuthorizeError::Challenge(ChallengeError::Method) => Self::ChallengeMethod,
            AuthorizeError::Challenge(ChallengeError::Form) => Self::ChallengeForm,
            AuthorizeError::Prompt(_) => Self::Prompt,
            AuthorizeError::LoginRequired | AuthorizeError::ConsentRequired => Self::PersonNeeded,
            AuthorizeError::Denied => Self::PersonSaidNo,
            _ if error.code() == ErrorCode::InvalidTarget => Self::ResourceUnknown,
            _ => Self::Other,
        }
    }
}

impl From<TokenRequestError> for Rule {
    fn from(error: TokenRequestError) -> Self {
        match error {
            TokenRequestError::UnsupportedGrantType => Self::GrantType,
            _ => Self::TokenForm,
        }
    }
}

impl From<&ClientAuthError> for Rule {
    fn from(error: &ClientAuthError) -> Self {
        match error {
            ClientAuthError::Refused | ClientAuthError::Header => Self::ClientRefused,
            ClientAuthError::Assertion(AssertionError::Form | AssertionError::Type) => Self::TokenForm,
            ClientAuthError::Assertion(_) => Self::StatementRefused,
            _ => Self::TokenForm,
        }
    }
}

impl From<RedeemError> for Rule {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::WrongClient => Self::CodeOtherClient,
            RedeemError::Expired => Self::CodeExpired,
            RedeemError::Revoked => Self::GrantRevoked,
            RedeemError::Redirect => Self::CodeRedirect,
            RedeemError::NoVerifier => Self::VerifierMissing,
            RedeemError::Verifier => Self::VerifierWrong,
            _ if error.code() == ErrorCode::InvalidTarget => Self::ResourceChanged,
            _ => Self::Other,
        }
    }
}

impl From<RefreshError> for Rule {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::WrongClient => Self::RefreshOtherClient,
            RefreshError::Expired => Self::RefreshExpired,
            RefreshError::Revoked => Self::GrantRevoked,
            RefreshError::Scope => Self::RefreshScope,
            RefreshError::GrantType => Self::RefreshNotRegistered,
            _ if error.code() == ErrorCode::InvalidTarget => Self::ResourceChanged,
            _ => Self::Other,
        }
    }
}
