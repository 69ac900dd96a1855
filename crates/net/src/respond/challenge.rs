//! What a client without a good token is told: where to get one (RFC 6750 §3, RFC 9728 §5.1).

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use serde::Serialize;
use thiserror::Error;

use super::json;
use crate::Response;

/// Why a request to a protected resource is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Challenge {
    /// It bears no token: 401, and no error code (RFC 6750 §3.1).
    NoToken,
    /// Its token is not good, for whatever reason: 401 `invalid_token`.
    InvalidToken,
    /// It bears a token in more than one way, or malformed: 400 `invalid_request`.
    InvalidRequest,
    /// Its token does not reach far enough: 403 `insufficient_scope`.
    InsufficientScope,
    /// Its token is shown with a proof and is not good, or is bound to a key and is shown without: 401 `invalid_token`,
    /// under the scheme of proofs (RFC 9449 §7.1).
    InvalidBoundToken,
    /// The proof that its sender holds the token's key is none: 401 `invalid_dpop_proof`.
    InvalidProof,
    /// The proof needs the nonce that goes with the answer: 401 `use_dpop_nonce` (RFC 9449 §9).
    ProofNonce,
}

/// The algorithms of proofs (RFC 9449 §7.1).
const PROOF_ALGORITHMS: &str = "ES256 EdDSA RS256 PS256";

/// A metadata URL or scope that cannot stand in a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the metadata URL and the scope of a challenge must be visible ASCII without quotes")]
pub struct ChallengeError;

impl Challenge {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoToken
            | Self::InvalidToken
            | Self::InvalidBoundToken
            | Self::InvalidProof
            | Self::ProofNonce => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
        }
    }

    fn error(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NoToken => None,
            Self::InvalidToken => Some(("invalid_token", "The access token is invalid or has expired.")),
            Self::InvalidRequest => Some((
                "invalid_request",
                "Send one access token, in the Authorization header.",
            )),
            Self::InsufficientScope => Some((
                "insufficient_scope",
                "The access token does not have the scope that this needs.",
            )),
            Self::InvalidBoundToken => Some((
                "invalid_token",
                "The access token is invalid or has expired, or is bound to a key and needs a proof.",
            )),
            Self::InvalidProof => Some((
                "invalid_dpop_proof",
                "The proof is not for this request and this token, or was used before.",
            )),
            Self::ProofNonce => Some((
                "use_dpop_nonce",
                "The proof must have the nonce of the DPoP-Nonce header.",
            )),
        }
    }

    /// The value of `WWW-Authenticate`. `metadata` is the URL of the resource's metadata document, `scope` every scope
    /// that the client may need here, separated by blanks.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub fn header(self, metadata: &str, scope: &str) -> Result<HeaderValue, ChallengeError> {
        // What a quoted string may hold without escapes; a URL and scopes need no more.
        let plain = |text: &str| {
            text.bytes()
                .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'))
        };
        if !plain(metadata) || !plain(scope) {
            return Err(ChallengeError);
        }
        let mut text = match self {
            Self::InvalidBoundToken | Self::InvalidProof | Self::ProofNonce => {
                format!("DPoP algs=\"{PROOF_ALGORITHMS}\", ")
            }
            _ => String::from("Bearer "),
        };
        if let Some((error, description)) = self.error() {
            text.push_str(&format!(
                "error=\"{error}\", error_description=\"{description}\", "
            ));
        }
        text.push_str(&format!("resource_metadata=\"{metadata}\""));
        if !scope.is_empty() {
            text.push_str(&format!(", scope=\"{scope}\""));
        }
        HeaderValue::from_str(&text).map_err(|_| ChallengeError)
    }
}

#[derive(Serialize)]
struct Refused {
    error: &'static str,
    error_description: &'static str,
}

/// The whole answer with the challenge.
///
/// # Errors
/// [`ChallengeError`].
pub fn challenge(kind: Challenge, metadata: &str, scope: &str) -> Result<Response, ChallengeError> {
    let header = kind.header(metadata, scope)?;
    let (error, error_description) = kind
        .error()
        .unwrap_or(("unauthorized", "This resource needs an access token."));
    let mut response = json(
        kind.status(),
        &Refused {
            error,
            error_description,
        },
    );
    response.headers_mut().insert(WWW_AUTHENTICATE, header);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
