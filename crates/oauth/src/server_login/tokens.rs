//! What a token endpoint answers (RFC 6749 §5), taken within bounds.

use std::time::Duration;

use sallyport_core::{Secret, Timestamp};
use serde_json::Value;
use thiserror::Error;

use super::{LoginError, error_code, object, scopes};

const WHAT: &str = "token endpoint";

/// The longest token, in bytes: what fits into a header.
const MAX_TOKEN: usize = 16 * 1024;

/// The longest life of an access token that is believed. After it, it is refreshed or refused.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an access token counts whose life nobody told.
const UNTOLD: Duration = Duration::from_secs(3600);

/// How long before its end an access token is replaced, at most: what a slow call and two clocks need. Of a short life it
/// is a tenth.
const SKEW: Duration = Duration::from_secs(60);

/// The tokens of an account.
pub struct Tokens {
    /// For the server.
    pub access: Secret<String>,
    /// For the next ones, if there are to be any.
    pub refresh: Option<Secret<String>>,
    /// How long the first one lives.
    pub lifetime: Duration,
    /// What it allows, where that is told.
    pub scopes: Option<Vec<String>>,
}

/// Why there are no tokens.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TokenError {
    /// The code or refresh token counts no more: the person has to log in again.
    #[error("what was granted is over (`{0}`)")]
    Over(String),
    /// The client is not known there any more, or its secret is wrong.
    #[error("the authorization server does not know Sallyport any more (`{0}`)")]
    Client(String),
    /// Anything else; later it may be different.
    #[error(transparent)]
    Other(#[from] LoginError),
}

/// Reads the answer (RFC 6749 §5.1, §5.2).
///
/// # Errors
/// [`TokenError`].
pub fn read(status: u16, body: &[u8]) -> Result<Tokens, TokenError> {
    if status != 200 {
        let Some(code) = error_code(body) else {
            return Err(LoginError::Status(WHAT, status).into());
        };
        return Err(match (status, code.as_str()) {
            (400 | 401 | 403, "invalid_grant" | "invalid_scope" | "invalid_target" | "access_denied") => {
                TokenError::Over(code)
            }
            (400 | 401 | 403, "invalid_client" | "unauthorized_client") => TokenError::Client(code),
            _ => LoginError::Refused(WHAT, code).into(),
        });
    }
    let answer = object(WHAT, status, body)?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let bad = |why| TokenError::from(LoginError::Form(WHAT, why));
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(bad("it gave no bearer token"));
    }
    let access = text("access_token").filter(|token| is_token(token));
    let access = access.ok_or_else(|| bad("its access token cannot stand in a header"))?;
    let refresh = match text("refresh_token").filter(|token| !token.is_empty()) {
        Some(token) if token.len() > MAX_TOKEN => return Err(bad("its refresh token is too long")),
        token => token.map(Secret::from),
    };
    let lifetime = match answer.get("expires_in") {
        None | Some(Value::Null) => UNTOLD,
        Some(told) => seconds(told).ok_or_else(|| bad("its `expires_in` is no time"))?,
    };
    Ok(Tokens {
        access: Secret::from(access),
        refresh,
        lifetime,
        scopes: text("scope").map(|told| scopes(told.split(' '))),
    })
}

/// A number of seconds; some write it as a text. What is too long is cut.
fn seconds(told: &Value) -> Option<Duration> {
    let number = match told {
        Value::String(text) => text.parse::<f64>().ok()?,
        other => other.as_f64()?,
    };
    let number = Some(number).filter(|number| number.is_finite() && *number >= 0.0)?;
    Some(Duration::from_secs_f64(number.min(LONGEST.as_secs_f64())))
}

/// RFC 6750 §2.1, and nothing that is not visible.
fn is_token(token: &str) -> bool {
    (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

impl Tokens {
    /// When the access token ends.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lifetime)
    }

    /// When it is to be replaced.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Timestamp {
        self.ends(now).minus(SKEW.min(self.lifetime / 10))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: u16, body: &Value) -> Result<Tokens, TokenError> {
        super::read(status, body.to_string().as_bytes())
    }

    #[test]
    fn uc_08_strange_answers_are_errors_or_cut() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 600});
            body[name] = value;
            read(200, &body)
        };
        for (name, bad) in [
            ("token_type", Value::Null),
            ("token_type", "mac".into()),
            ("expires_in", (-1).into()),
            ("expires_in", "abc".into()),
            ("expires_in", "NaN".into()),
            ("expires_in", json!([])),
            ("access_token", Value::Null),
            ("access_token", "".into()),
            ("access_token", "a b".into()),
            ("access_token", "a\r\nx: y".into()),
            ("access_token", "x".repeat(MAX_TOKEN + 1).into()),
            ("refresh_token", "x".repeat(MAX_TOKEN + 1).into()),
        ] {
            assert!(
                matches!(
                    with(name, bad.clone()),
                    Err(TokenError::Other(LoginError::Form(..)))
                ),
                "{name} {bad}"
            );
        }
        for (told, lifetime) in [
            (json!(600), Duration::from_secs(600)),
            (json!("600"), Duration::from_secs(600)),
            (json!(0), Duration::ZERO),
            (json!(1e18), LONGEST),
            (Value::Null, UNTOLD),
        ] {
            let Ok(tokens) = with("expires_in", told.clone()) else {
                panic!("no tokens for {told}")
            };
            assert_eq!(tokens.lifetime, lifetime, "{told}");
        }
        assert!(with("access_token", "x".repeat(MAX_TOKEN).into()).is_ok());
        assert!(super::read(200, b"<html>").is_err());
        assert!(super::read(302, b"").is_err());
    }

    #[test]
    fn what_is_over_is_told_from_what_may_be_better_later() {
        let refused = |status, code: &str| read(status, &json!({"error": code})).err();
        assert_eq!(
            refused(400, "invalid_grant"),
            Some(TokenError::Over("invalid_grant".to_owned()))
        );
        assert_eq!(
            refused(401, "invalid_client"),
            Some(TokenError::Client("invalid_client".to_owned()))
        );
        for later in [
            (400, "temporarily_unavailable"),
            (503, "invalid_grant"),
            (429, "slow_down"),
        ] {
            assert!(
                matches!(
                    refused(later.0, later.1),
                    Some(TokenError::Other(LoginError::Refused(..)))
                ),
                "{later:?}"
            );
        }
        assert!(matches!(
            read(500, &json!(7)),
            Err(TokenError::Other(LoginError::Status(_, 500)))
        ));
    }

    #[test]
    fn tokens_are_replaced_before_they_end() {
        let now = Timestamp::from_secs(1000);
        let lives = |secs| {
            let tokens = Tokens {
                access: Secret::from("t"),
                refresh: None,
                lifetime: Duration::from_secs(secs),
                scopes: None,
            };
            (
                tokens.due(now).since(now).as_secs(),
                tokens.ends(now).since(now).as_secs(),
            )
        };
        assert_eq!(lives(3600), (3540, 3600));
        assert_eq!(lives(100), (90, 100));
        assert_eq!(lives(0), (0, 0));
    }
}
