//! Proof of possession (RFC 9449): with each request its sender signs a statement about it, with the key that its tokens
//! are bound to. Whoever steals a token alone can do nothing with it.
//!
//! A proof counts for one request: it names method and URL, has a nonce of ours, and is used up.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{ProofError, ProvedRequest};
use sallyport_core::{Thumbprint, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::error::ErrorCode;
use crate::jws::Unverified;
use crate::model::Client;

/// The `typ` of a proof (RFC 9449 §4.2).
pub const TYPE: &str = "dpop+jwt";

/// The scheme under which a bound token is shown, and its `token_type` (RFC 9449 §5, §7.1).
pub const SCHEME: &str = "DPoP";

/// How far `iat` may be from our clock, either way.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The longest `jti` that is taken, in bytes.
pub const MAX_ID: usize = 256;

/// The member of a registration with which a client says that all its tokens are to be bound (RFC 9449 §5.2).
pub const REQUIRED: &str = "dpop_bound_access_tokens";

/// Whether all tokens of the client have to be bound.
#[must_use]
pub fn is_required(client: &Client) -> bool {
    client.metadata.get(REQUIRED).and_then(Value::as_bool) == Some(true)
}

/// The `error` value of an answer of the token endpoint (RFC 9449 §5, §8).
#[must_use]
pub fn code(error: ProofError) -> ErrorCode {
    match error {
        ProofError::Nonce => ErrorCode::UseDpopNonce,
        _ => ErrorCode::InvalidDpopProof,
    }
}

/// The thumbprint of an authorization request's `dpop_jkt` (RFC 9449 §10); `None` if it is none.
#[must_use]
pub fn thumbprint(text: &str) -> Option<Thumbprint> {
    let hash = URL_SAFE_NO_PAD.decode(text).ok();
    hash.filter(|hash| hash.len() == 32)
        .map(|_| Thumbprint::new(text))
}

/// A statement that was signed with the key that it brings; what it says has not been looked at.
pub struct Proof {
    key: Thumbprint,
    claims: Claims,
}

/// RFC 9449 §4.2. A claim that stands twice makes it unreadable.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

impl Proof {
    /// Reads a proof and checks its signature.
    ///
    /// # Errors
    /// [`ProofError::Form`].
    pub fn read(text: &str) -> Result<Self, ProofError> {
        let jws = Unverified::read(text).ok_or(ProofError::Form)?;
        let typed = jws.kind().is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE));
        let (keys, key) = jws.own_key().filter(|_| typed).ok_or(ProofError::Form)?;
        if !jws.is_signed_by(&keys) {
            return Err(ProofError::Form);
        }
        let claims: Claims = serde_json::from_slice(jws.claimed()).map_err(|_| ProofError::Form)?;
        if claims.jti.is_empty() || claims.jti.len() > MAX_ID {
            return Err(ProofError::Form);
        }
        Ok(Self { key, claims })
    }

    /// The key that its sender holds.
    #[must_use]
    pub fn key(&self) -> &Thumbprint {
        &self.key
    }

    /// Its `jti`, unique for the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.claims.jti
    }

    /// Checks that it was made for this request (RFC 9449 §4.3). `is_ours` says whether a nonce is one of ours and young.
    ///
    /// # Errors
    /// [`ProofError`]. That of the nonce comes last, so that whoever is told to try again with another one can succeed.
    pub fn check(
        &self,
        request: &ProvedRequest<'_>,
        now: Timestamp,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<(), ProofError> {
        let claims = &self.claims;
        if claims.htm != request.method || !is_same(&claims.htu, request.url) {
            return Err(ProofError::Request);
        }
        if claims.ath != request.token.map(token_hash) {
            return Err(ProofError::Token);
        }
        let made = Timestamp::from_secs(claims.iat);
        if claims.nonce.as_deref().is_none_or(|nonce| !is_ours(nonce)) {
            return Err(ProofError::Nonce);
        }
        if made.plus(WINDOW) < now || made > now.plus(WINDOW) {
            return Err(ProofError::Time);
        }
        Ok(())
    }
}

/// `ath` (RFC 9449 §4.2).
#[must_use]
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

/// Compares without query, fragment and a slash at the end, after the normalisation of RFC 3986 §6.2.2 (RFC 9449 §4.3).
fn is_same(htu: &str, url: &str) -> bool {
    let bare = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url.as_str().trim_end_matches('/').to_owned())
    };
    bare(htu).is_some_and(|htu| Some(htu) == bare(url))
}

#[cfg(test)]
#[path = "dpop_tests.rs"]
mod tests;
