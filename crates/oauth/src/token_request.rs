//! The form of a token request (RFC 6749 §4.1.3, §6).

use sallyport_core::Secret;
use thiserror::Error;

use crate::device;
use crate::error::ErrorCode;
use crate::params::{Params, Repeated};
use crate::{id_jag, own_name};

/// What is asked of the token endpoint.
pub enum TokenRequest {
    /// `grant_type=authorization_code`.
    Code(CodeRequest),
    /// `grant_type=refresh_token`.
    Refresh(RefreshRequest),
    /// `grant_type=client_credentials`, with the scopes that the token shall have; without them, all of the client's.
    OwnName(Option<String>),
    /// A device's poll, with its `device_code` (RFC 8628 §3.4).
    Device(Secret<String>),
    /// `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer`, with the assertion of an identity provider.
    IdJag(Secret<String>),
}

/// The redemption of a code.
pub struct CodeRequest {
    /// The code.
    pub code: Secret<String>,
    /// `code_verifier`. That it is missing is found out after the code is used up, as with a wrong one.
    pub verifier: Option<Secret<String>>,
    /// `redirect_uri`; OAuth 2.1 §4.1.3 does without it, but one that is given has to be right.
    pub redirect_uri: Option<String>,
}

/// The use of a refresh token.
pub struct RefreshRequest {
    /// The token.
    pub token: Secret<String>,
    /// The scopes that the new access token shall have; without it, all that were granted.
    pub scope: Option<String>,
}

/// Why a form is no token request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TokenRequestError {
    /// A parameter came twice.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// A parameter is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A grant type that is not served.
    #[error("`grant_type` must be one of those that the metadata lists")]
    UnsupportedGrantType,
}

impl TokenRequestError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Repeated(_) | Self::Missing(_) => ErrorCode::InvalidRequest,
            Self::UnsupportedGrantType => ErrorCode::UnsupportedGrantType,
        }
    }
}

impl TokenRequest {
    /// Reads a token request.
    ///
    /// # Errors
    /// [`TokenRequestError`].
    pub fn read(params: &Params) -> Result<Self, TokenRequestError> {
        let required = |name| params.one(name)?.ok_or(TokenRequestError::Missing(name));
        if params.all("grant_type").next().is_some() && params.one("grant_type")?.is_none() {
            return Err(TokenRequestError::UnsupportedGrantType);
        }
        match required("grant_type")? {
            "authorization_code" => Ok(Self::Code(CodeRequest {
                code: Secret::from(required("code")?),
                verifier: params.one("code_verifier")?.map(Secret::from),
                redirect_uri: params.one("redirect_uri")?.map(ToOwned::to_owned),
            })),
            "refresh_token" => Ok(Self::Refresh(RefreshRequest {
                token: Secret::from(required("refresh_token")?),
                scope: params.one("scope")?.map(ToOwned::to_owned),
            })),
            id_jag::GRANT_TYPE => Ok(Self::IdJag(Secret::from(required("assertion")?))),
            own_name::GRANT_TYPE => Ok(Self::OwnName(params.one("scope")?.map(ToOwned::to_owned))),
            device::GRANT_TYPE => Ok(Self::Device(Secret::from(required("device_code")?))),
            _ => Err(TokenRequestError::UnsupportedGrantType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(form: &str) -> Option<ErrorCode> {
        TokenRequest::read(&Params::parse(form.as_bytes()).unwrap())
            .err()
            .map(TokenRequestError::code)
    }

    #[test]
    fn tk_09_tk_10_grant_types() {
        let cases = [
            ("grant_type=authorization_code&code=x", None),
            ("grant_type=refresh_token&refresh_token=x", None),
            (
                "grant_type=password&username=a&password=b",
                Some(ErrorCode::UnsupportedGrantType),
            ),
            ("grant_type=implicit", Some(ErrorCode::UnsupportedGrantType)),
            ("grant_type=unknown", Some(ErrorCode::UnsupportedGrantType)),
            ("grant_type=", Some(ErrorCode::UnsupportedGrantType)),
            ("grant_type=client_credentials", None),
            (
                "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x",
                None,
            ),
            (
                "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer",
                Some(ErrorCode::InvalidRequest),
            ),
            (
                "grant_type=client_credentials&scope=a&scope=b",
                Some(ErrorCode::InvalidRequest),
            ),
            ("", Some(ErrorCode::InvalidRequest)),
            ("grant_type=authorization_code", Some(ErrorCode::InvalidRequest)),
            ("grant_type=refresh_token", Some(ErrorCode::InvalidRequest)),
            (
                "grant_type=refresh_token&grant_type=refresh_token&refresh_token=x",
                Some(ErrorCode::InvalidRequest),
            ),
            (
                "grant_type=authorization_code&code=x&code=y",
                Some(ErrorCode::InvalidRequest),
            ),
        ];
        for (form, expected) in cases {
            assert_eq!(error(form), expected, "{form}");
        }
    }
}
