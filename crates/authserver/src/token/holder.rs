//! Whether the sender of a request holds a key (RFC 9449 §5): its tokens are then bound to it.

use axum::http::header::HeaderName;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use sallyport_core::Thumbprint;
use sallyport_core::capability::{AccessClaims, ProofError, ProvedRequest, VerifyProof as _};
use sallyport_oauth::ErrorCode;
use sallyport_oauth::client_auth::AuthenticatedClient;
use sallyport_oauth::dpop::{self, Proof};
use sallyport_oauth::model::AuthMethod;

use super::answer::ApiError;
use crate::app::App;
use crate::context::Context;

/// The header of nonces (RFC 9449 §8).
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The key that the sender of a token request holds, if it has shown one.
pub(crate) struct Holder(Option<Proof>);

impl Holder {
    /// Reads the proof of a request to the endpoint at `path`. It is used up later, by [`Holder::count`]: a stranger's
    /// proofs shall fill nothing.
    pub(crate) fn read(app: &App, context: &Context, path: &str) -> Result<Self, ApiError> {
        let proof = context.proof().map_err(|()| refused(ProofError::Form))?;
        let Some(proof) = proof else {
            return Ok(Self(None));
        };
        let request = ProvedRequest {
            proof,
            method: "POST",
            url: &format!("{}{path}", context.settings.issuer),
            token: None,
        };
        let read = app.parts.proofs.read(&request, context.now);
        read.map(|proof| Self(Some(proof))).map_err(refused)
    }

    /// The key.
    pub(crate) fn key(&self) -> Option<&Thumbprint> {
        self.0.as_ref().map(Proof::key)
    }

    /// The key that a refresh token is bound to: only those of public clients are (RFC 9449 §5), others are bound to what
    /// their client proves itself with.
    pub(crate) fn key_of_refresh(&self, client: AuthenticatedClient<'_>) -> Option<Thumbprint> {
        let public = client.client().auth_method == AuthMethod::None;
        self.key().filter(|_| public).cloned()
    }

    /// Refuses a client that has said that it proves itself, and does not (RFC 9449 §5.2).
    pub(crate) fn check(&self, client: AuthenticatedClient<'_>) -> Result<(), ApiError> {
        if self.0.is_none() && dpop::is_required(client.client()) {
            let text = "this client has registered that it sends a DPoP proof";
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidDpopProof,
                text,
            ));
        }
        Ok(())
    }

    /// Uses the proof up, and binds the token to its key.
    pub(crate) fn bind(
        &self,
        app: &App,
        context: &Context,
        claims: AccessClaims,
    ) -> Result<AccessClaims, ApiError> {
        let Some(proof) = &self.0 else {
            return Ok(claims);
        };
        app.parts.proofs.count(proof, context.now).map_err(refused)?;
        Ok(AccessClaims {
            key: Some(proof.key().clone()),
            ..claims
        })
    }
}

/// Tells whoever has sent a proof which nonce the next one shall have.
pub(crate) fn with_nonce(app: &App, context: &Context, mut response: Response) -> Response {
    if context.proof() != Ok(None)
        && let Ok(nonce) = HeaderValue::from_str(&app.parts.proofs.nonce(context.now))
    {
        response.headers_mut().insert(NONCE, nonce);
    }
    response
}

fn refused(error: ProofError) -> ApiError {
    tracing::info!(reason = %error, "a DPoP proof was refused");
    ApiError::new(StatusCode::BAD_REQUEST, dpop::code(error), error.to_string())
}
