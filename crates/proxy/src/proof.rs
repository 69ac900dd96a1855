//! Tokens that are bound to a key: whoever shows one proves with each request that they hold the key (RFC 9449 §7).

use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use sallyport_core::capability::{ProofError, ProvedRequest, TokenError, Verified};
use sallyport_core::{Principal, Resource, Timestamp};
use sallyport_net::respond::Challenge;
use std::sync::Arc;

use crate::Proxy;
use crate::world::Place;

/// The header of nonces (RFC 9449 §8.1).
pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The header of proofs.
const PROOF: &str = "dpop";

/// The scheme under which bound tokens are shown.
const SCHEME: &[u8] = b"dpop";

/// What a request shows besides its token.
#[derive(Clone, Copy)]
pub(crate) struct Proved<'a> {
    headers: &'a HeaderMap,
    method: &'a str,
    path: &'a str,
}

/// Why a token with a proof does not let in: what the client is told, and the label of the metric.
pub(crate) struct Refused {
    pub(crate) challenge: Challenge,
    pub(crate) label: &'static str,
}

impl<'a> Proved<'a> {
    /// What a request under the scheme of proofs shows.
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self::by(&parts.headers, parts.method.as_str(), parts.uri.path())
    }

    /// The same, from the parts of a head.
    pub(crate) fn by(headers: &'a HeaderMap, method: &'a str, path: &'a str) -> Self {
        Self {
            headers,
            method,
            path,
        }
    }

    /// The principal, if the token is bound to a key and the sender holds it.
    ///
    /// # Errors
    /// [`Refused`]. A token that is bound to no key is none here (RFC 9449 §7.1).
    pub(crate) fn verify(
        self,
        proxy: &Proxy,
        place: Place<'_>,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Refused> {
        let resources = &place.endpoint.resources;
        let verified = proxy.verifier.verify_any(token, resources, now);
        let Verified { principal, key } = verified.map_err(|error| Refused {
            challenge: Challenge::InvalidBoundToken,
            label: error.label(),
        })?;
        let key = key.ok_or(Refused {
            challenge: Challenge::InvalidBoundToken,
            label: TokenError::Bound.label(),
        })?;
        let origin = resources.first().map(origin).unwrap_or_default();
        let request = ProvedRequest {
            proof: self.proof().map_err(refused)?,
            method: self.method,
            url: &format!("{origin}{}", self.path),
            token: Some(token),
        };
        proxy.proofs.verify_proof(request, &key, now).map_err(refused)?;
        proxy.verifier.was_proved(token, &principal);
        Ok(principal)
    }

    fn proof(self) -> Result<&'a str, ProofError> {
        let mut values = self.headers.get_all(PROOF).iter();
        match (values.next(), values.next()) {
            (Some(one), None) => one.to_str().map_err(|_| ProofError::Form),
            _ => Err(ProofError::Form),
        }
    }
}

fn refused(error: ProofError) -> Refused {
    let challenge = match error {
        ProofError::Nonce => Challenge::ProofNonce,
        _ => Challenge::InvalidProof,
    };
    tracing::info!("a proof was refused: {error}");
    Refused {
        challenge,
        label: "proof",
    }
}

/// Scheme, host and port of a resource: what comes before its path.
pub(crate) fn origin(resource: &Resource) -> &str {
    let text = resource.as_str();
    let host = text.find("://").map_or(0, |at| at + 3);
    let end = text.get(host..).and_then(|rest| rest.find('/'));
    end.and_then(|end| text.get(..host + end)).unwrap_or(text)
}

/// Whether a request shows its token under the scheme of proofs.
pub(crate) fn is_proved(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(SCHEME)
}

/// The nonce of the next proof, for whoever sends proofs.
pub(crate) fn nonce(proxy: &Proxy, parts: &Parts) -> Option<HeaderValue> {
    let shown = parts.headers.get(AUTHORIZATION)?.as_bytes();
    let is_shown = shown.get(..SCHEME.len()).is_some_and(is_proved);
    is_shown.then(|| fresh(proxy)).flatten()
}

/// The nonce of the next proof.
pub(crate) fn fresh(proxy: &Proxy) -> Option<HeaderValue> {
    HeaderValue::from_str(&proxy.proofs.nonce(proxy.books.clock.now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_resource() {
        for (resource, expected) in [
            ("https://g.test/mcp/team", "https://g.test"),
            ("http://127.0.0.1:8717/mcp", "http://127.0.0.1:8717"),
            ("http://[::1]:8717/mcp", "http://[::1]:8717"),
            ("https://g.test", "https://g.test"),
        ] {
            let resource = Resource::parse(resource).expect("a resource");
            assert_eq!(origin(&resource), expected);
        }
    }
}
