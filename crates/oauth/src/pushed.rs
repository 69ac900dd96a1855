//! Pushed authorization requests (RFC 9126): the client sends its request itself and is told a name for it; the browser
//! carries only the name, so that nobody on its way reads or changes what is asked for.
//!
//! Looking uses nothing up: a client may fetch the address before the browser does. The request is used up when it is
//! answered, with a code or with the person's no.

use std::time::Duration;

use sallyport_core::{ClientId, Timestamp};
use serde_json::Value;

use crate::authorize::AnchorError;
use crate::model::{Client, PushedRequest};
use crate::params::{Params, Repeated};
use crate::prompt::Prompt;

/// What every `request_uri` of ours begins with (RFC 9126 §2.2).
pub const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// How long the browser may take to come with a `request_uri`.
pub const LIFE: Duration = Duration::from_secs(90);

/// How long the person may take once the browser has come: as long as the log-in page and the consent page may stay open.
pub const ANSWER: Duration = Duration::from_secs(4200);

/// The most requests that wait for an answer at once; each has at most [`crate::params::MAX_BYTES`].
pub const MAX_WAITING: u64 = 5000;

/// The member of a registration with which a client says that it pushes every request (RFC 9126 §6).
pub const REQUIRED: &str = "require_pushed_authorization_requests";

/// What belongs to the client's authentication and not to its request.
const CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// The reference in `request_uri`, if it is one of ours. Any other is left to the rules of the authorization request,
/// which fetch nothing.
///
/// # Errors
/// [`Repeated`] if there are several.
pub fn reference(params: &Params) -> Result<Option<&str>, Repeated> {
    let named = params.one("request_uri")?;
    Ok(named.and_then(|uri| uri.strip_prefix(PREFIX)))
}

/// The request as it is kept: without credentials, and naming the client that has proved who it is.
#[must_use]
pub fn request(params: Params, client: &ClientId) -> Params {
    let bare = CREDENTIALS
        .iter()
        .fold(params, |params, name| params.with(name, None));
    bare.with("client_id", Some(client.as_str().to_owned()))
}

/// Whether every request of the client has to be pushed.
#[must_use]
pub fn is_required(client: &Client) -> bool {
    client.metadata.get(REQUIRED).and_then(Value::as_bool) == Some(true)
}

/// The parameters that count for an address with a `request_uri`: those that were pushed, and no other (RFC 9126 §4).
/// Only `prompt=consent` of the address is heard, with which our own pages make sure that the person is asked.
///
/// # Errors
/// [`AnchorError::Pushed`] for a request of another client, and for one that is over or was answered; which of them is not said.
pub fn opened(kept: &PushedRequest, address: &Params, now: Timestamp) -> Result<Params, AnchorError> {
    let client = address
        .one("client_id")?
        .ok_or(AnchorError::Missing("client_id"))?;
    if kept.client.as_str() != client || kept.answered || now >= kept.expires {
        return Err(AnchorError::Pushed);
    }
    let params = Params::parse(kept.params.as_bytes()).map_err(|_| AnchorError::Pushed)?;
    let added = address
        .all("prompt")
        .any(|prompt| Prompt::parse(Some(prompt)).is_ok_and(|p| p.consent));
    if !added {
        return Ok(params);
    }
    let prompt = Prompt::with_consent(params.one("prompt")?);
    Ok(params.with("prompt", Some(prompt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn kept(params: &str) -> PushedRequest {
        PushedRequest {
            client: ClientId::new("c"),
            params: params.into(),
            pushed: NOW,
            expires: NOW.plus(LIFE),
            opened: false,
            answered: false,
        }
    }

    fn address(query: &str) -> Params {
        Params::parse(query.as_bytes()).unwrap()
    }

    #[test]
    fn az_07_only_names_that_were_given_here_are_looked_up() {
        for (query, expected) in [
            ("request_uri=urn:ietf:params:oauth:request_uri:abc", Some("abc")),
            ("request_uri=http://127.0.0.1:9/x", None),
            ("request_uri=URN:ietf:params:oauth:request_uri:abc", None),
            ("request_uri=", None),
            ("", None),
        ] {
            assert_eq!(reference(&address(query)), Ok(expected), "{query}");
        }
        assert!(reference(&address("request_uri=a&request_uri=b")).is_err());
    }

    #[test]
    fn az_03_the_address_changes_nothing_of_what_was_pushed() {
        let pushed = kept("client_id=c&state=mine&scope=mcp");
        let query =
            address("client_id=c&request_uri=x&state=other&scope=more&redirect_uri=https://evil.test");
        let got = opened(&pushed, &query, NOW).ok().map(|params| params.encode());
        assert_eq!(got.as_deref(), Some("client_id=c&state=mine&scope=mcp"));
    }

    #[test]
    fn co_01_the_address_may_ask_for_consent_and_for_nothing_less() {
        for (pushed, query, expected) in [
            ("", "prompt=consent", Some("consent")),
            ("prompt=login", "prompt=consent", Some("login consent")),
            ("prompt=none", "prompt=consent", Some("consent")),
            ("prompt=login", "prompt=none", Some("login")),
            ("prompt=consent", "prompt=login", Some("consent")),
            ("prompt=login", "", Some("login")),
        ] {
            let query = address(&format!("client_id=c&{query}"));
            let got = opened(&kept(pushed), &query, NOW).unwrap();
            assert_eq!(got.one("prompt"), Ok(expected), "{pushed} {query:?}");
        }
    }

    #[test]
    fn tk_03_tk_04_a_name_is_its_clients_lives_ninety_seconds_and_counts_once() {
        let open = |kept: &PushedRequest, client: &str, now| {
            let query = address(&format!("client_id={client}"));
            opened(kept, &query, now).map(|_| ())
        };
        let last = NOW.plus(LIFE - Duration::from_millis(1));
        assert_eq!(open(&kept(""), "c", last), Ok(()));
        assert_eq!(open(&kept(""), "c", NOW.plus(LIFE)), Err(AnchorError::Pushed));
        assert_eq!(open(&kept(""), "d", NOW), Err(AnchorError::Pushed));
        assert_eq!(open(&kept(""), "", NOW), Err(AnchorError::Missing("client_id")));
        let used = PushedRequest {
            answered: true,
            ..kept("")
        };
        assert_eq!(open(&used, "c", NOW), Err(AnchorError::Pushed));
    }

    #[test]
    fn secrets_of_the_client_are_not_kept() {
        let sent =
            address("client_secret=x&client_assertion=y&client_assertion_type=z&state=s&client_id=other");
        let kept = request(sent, &ClientId::new("c"));
        assert_eq!(kept.encode(), "state=s&client_id=c");
    }
}
