//! Proof Key for Code Exchange (RFC 7636), S256 only: `plain` proves nothing to whoever reads the request.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// The one method that is offered and accepted.
pub const METHOD: &str = "S256";

/// Why an authorization request has no usable challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ChallengeError {
    /// No `code_challenge`, or one without a value.
    #[error("`code_challenge` is required (RFC 7636, OAuth 2.1)")]
    Missing,
    /// Another method than S256; leaving the method out means `plain`.
    #[error("`code_challenge_method` must be S256")]
    Method,
    /// Not the base64url form of 32 bytes.
    #[error("`code_challenge` must be the base64url form of a SHA-256 hash, 43 characters")]
    Form,
}

/// An S256 `code_challenge`: what an authorization request cannot be without.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Reads `code_challenge` and `code_challenge_method`.
    ///
    /// # Errors
    /// [`ChallengeError`]: all of them are `invalid_request`.
    pub fn read(challenge: Option<&str>, method: Option<&str>) -> Result<Self, ChallengeError> {
        let challenge = challenge.ok_or(ChallengeError::Missing)?;
        if method != Some(METHOD) {
            return Err(ChallengeError::Method);
        }
        match URL_SAFE_NO_PAD.decode(challenge) {
            Ok(hash) if hash.len() == 32 => Ok(Self(challenge.to_owned())),
            Ok(_) | Err(_) => Err(ChallengeError::Form),
        }
    }

    /// The challenge's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `verifier` belongs to the stored `challenge`, in time that does not depend on how much of it is right.
/// A verifier that is not 43 to 128 unreserved characters (RFC 7636 §4.1) belongs to none.
#[must_use]
pub fn matches(challenge: &str, verifier: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return false;
    }
    challenge_of(verifier)
        .as_bytes()
        .ct_eq(challenge.as_bytes())
        .into()
}

/// The S256 challenge of a verifier (RFC 7636 §4.2), where we are the client.
#[must_use]
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc() {
        let challenge = CodeChallenge::read(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(matches(challenge.as_str(), VERIFIER));
    }

    #[test]
    fn pk_01_pk_02_pk_03_challenge_is_mandatory_and_s256() {
        let cases = [
            (None, Some("S256"), ChallengeError::Missing),
            (None, None, ChallengeError::Missing),
            (Some(CHALLENGE), None, ChallengeError::Method),
            (Some(CHALLENGE), Some("plain"), ChallengeError::Method),
            (Some(CHALLENGE), Some("s256"), ChallengeError::Method),
            (Some(""), Some("S256"), ChallengeError::Form),
            (Some(VERIFIER), Some("S512"), ChallengeError::Method),
            (
                Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c"),
                Some("S256"),
                ChallengeError::Form,
            ),
            (
                Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"),
                Some("S256"),
                ChallengeError::Form,
            ),
        ];
        for (challenge, method, error) in cases {
            assert_eq!(
                CodeChallenge::read(challenge, method),
                Err(error),
                "{challenge:?} {method:?}"
            );
        }
    }

    #[test]
    fn pk_04_verifiers_of_wrong_length_alphabet_or_value() {
        let of = |verifier: &str| URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        for (length, good) in [(42, false), (43, true), (128, true), (129, false)] {
            let verifier = "a".repeat(length);
            assert_eq!(matches(&of(&verifier), &verifier), good, "{length}");
        }
        let odd = "a".repeat(43) + "!";
        assert!(!matches(&of(&odd), &odd));
        assert!(!matches(CHALLENGE, &"a".repeat(43)));
        assert!(!matches("", VERIFIER));
    }

    #[test]
    fn pk_07_a_challenge_that_is_right_almost_to_the_end_is_wrong() {
        // How long that takes does not depend on the place: `ct_eq` looks at every byte.
        for place in 0..CHALLENGE.len() {
            let mut near = CHALLENGE.to_owned();
            let other = if near[place..].starts_with('A') { "B" } else { "A" };
            near.replace_range(place..=place, other);
            assert!(!matches(&near, VERIFIER), "{place}");
            assert!(!matches(&CHALLENGE[..place], VERIFIER), "{place}");
        }
        assert!(matches(CHALLENGE, VERIFIER));
    }
}
