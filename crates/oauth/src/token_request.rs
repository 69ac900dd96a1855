//! The form of a token request (RFC 6749 §4.1.3, §6).

use sallyport_core::Secret;
use thiserror::Error;

use crate::error::ErrorCode;
use crate::exchange::{self, ExchangeRequest};
use crate::params::{Params, Repeated};
use crate::{device, id_jag, own_name};

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
    /// `grant_type=urn:ietf:params:oauth:grant-type:token-exchange`.
    Exchange(ExchangeRequest),
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
    /// A type of token that is not exchanged, or one without its token (RFC 8693 §2.1).
    #[error("`{0}` must be urn:ietf:params:oauth:token-type:access_token, together with its token")]
    TokenType(&'static str),
    /// A grant type that is not served.
    #[error("`grant_type` must be one of those that the metadata lists")]
    UnsupportedGrantType,
}

impl TokenRequestError {
    /// The `error` value of the answer.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Repeated(_) | Self::Missing(_) | Self::TokenType(_) => ErrorCode::InvalidRequest,
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
            exchange::GRANT_TYPE => read_exchange(params).map(Self::Exchange),
            device::GRANT_TYPE => Ok(Self::Device(Secret::from(required("device_code")?))),
            _ => Err(TokenRequestError::UnsupportedGrantType),
        }
    }
}

fn read_exchange(params: &Params) -> Result<ExchangeRequest, TokenRequestError> {
    let required = |name| params.one(name)?.ok_or(TokenRequestError::Missing(name));
    let subject = Secret::from(required("subject_token")?);
    if required("subject_token_type")? != exchange::ACCESS_TOKEN {
        return Err(TokenRequestError::TokenType("subject_token_type"));
    }
    let wanted = params.one("requested_token_type")?;
    if wanted.is_some_and(|wanted| wanted != exchange::ACCESS_TOKEN) {
        return Err(TokenRequestError::TokenType("requested_token_type"));
    }
    let actor = match (params.one("actor_token")?, params.one("actor_token_type")?) {
        (None, None) => None,
        (Some(actor), Some(exchange::ACCESS_TOKEN)) => Some(Secret::from(actor)),
        _ => return Err(TokenRequestError::TokenType("actor_token_type")),
    };
    Ok(ExchangeRequest {
        subject,
        actor,
        scope: params.one("scope")?.map(ToOwned::to_owned),
    })
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
    fn tk_13_the_form_of_an_exchange() {
        let of = |more: &str| error(&format!("grant_type={}{more}", exchange::GRANT_TYPE));
        let access = exchange::ACCESS_TOKEN;
        let subject = format!("&subject_token=x&subject_token_type={access}");
        let wrong = Some(ErrorCode::InvalidRequest);
        assert_eq!(of(&subject), None);
        assert_eq!(of(&format!("{subject}&requested_token_type={access}")), None);
        assert_eq!(
            of(&format!("{subject}&actor_token=y&actor_token_type={access}")),
            None
        );
        for bad in [
            String::new(),
            "&subject_token=x".into(),
            format!("&subject_token_type={access}"),
            "&subject_token=x&subject_token_type=urn:ietf:params:oauth:token-type:id_token".into(),
            format!("{subject}&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token"),
            format!("{subject}&actor_token=y"),
            format!("{subject}&actor_token_type={access}"),
            format!("{subject}&actor_token=y&actor_token_type=urn:ietf:params:oauth:token-type:jwt"),
            format!("{subject}&subject_token=z"),
            format!("{subject}&scope=a&scope=b"),
        ] {
            assert_eq!(of(&bad), wrong, "{bad}");
        }
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
