//! Registration, authorization request and token endpoint.

use serde_json::Value;
use url::Url;

use super::{PROXY_LOG, from_elsewhere, redirected, text};
use crate::doctor::finding::Ill;
use crate::doctor::wire::Reply;

/// A registration that was taken: the client's id (RFC 7591 §3.2.1).
pub(in crate::doctor) fn registered(reply: &Reply) -> Result<(String, Value), Ill> {
    let shown = reply.shown();
    let what = "POST /register";
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    match (reply.status, body) {
        (201, Some(body)) if !text(&body, "client_id").is_empty() => {
            Ok((text(&body, "client_id").to_owned(), body))
        }
        (300..=399, _) => Err(redirected(what, reply)),
        (400, Some(body)) => Err(Ill::fails(
            "registration-refused",
            format!(
                "the registration was refused with `{}`: {}",
                text(&body, "error"),
                text(&body, "error_description")
            ),
            "For a scheme that is not accepted, add it to `auth.private_schemes`.",
        )),
        _ => Err(from_elsewhere(what, reply).unwrap_or_else(|| {
            Ill::fails(
                "registration-refused",
                format!("{what} was answered with {shown}"),
                PROXY_LOG,
            )
        })),
    }
}

/// Where the authorization request has led: to the log-in page, or back to the client with an error.
pub(in crate::doctor) fn asked(reply: &Reply, origin: &str, redirect: &str) -> Result<String, Ill> {
    let shown = reply.shown();
    let what = "GET /authorize";
    let to = reply.header("location").unwrap_or_default();
    let at_home = |to: &str| to.strip_prefix(origin).unwrap_or(to).to_owned();
    match reply.status {
        200 => Ok("the page is there".to_owned()),
        302 | 303 if at_home(to).starts_with("/login") || at_home(to).starts_with("/consent") => {
            Ok(at_home(to))
        }
        300..=399 if to.starts_with(redirect) => {
            let error = Url::parse(to).ok().and_then(|url| {
                let mut pairs = url.query_pairs();
                let found = pairs.find(|(name, _)| name == "error");
                found.map(|(_, value)| value.into_owned())
            });
            Err(Ill::fails(
                "authorization-refused",
                format!(
                    "the request was sent back to the client with `{}`",
                    error.unwrap_or_default()
                ),
                "`sallyport client logins` names the rule.",
            ))
        }
        300..=399 => Err(redirected(what, reply)),
        400 => Err(Ill::fails(
            "authorization-refused",
            "the gateway does not know this client, or not its redirect URI (400)",
            "`sallyport client logins` names the rule.",
        )),
        _ => Err(from_elsewhere(what, reply).unwrap_or_else(|| {
            Ill::fails(
                "authorization-refused",
                format!("{what} was answered with {shown}"),
                PROXY_LOG,
            )
        })),
    }
}

/// A code or refresh token that is none gets the error that clients act on (RFC 6749 §5.2; R20, R21).
pub(in crate::doctor) fn invalid_grant(reply: &Reply) -> Result<String, Ill> {
    let shown = reply.shown();
    let what = "POST /token";
    if (300..=399).contains(&reply.status) {
        return Err(redirected(what, reply));
    }
    if let Some(ill) = from_elsewhere(what, reply) {
        return Err(ill);
    }
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let error = body.as_ref().map(|body| text(body, "error")).unwrap_or_default();
    match (reply.status, error) {
        (400, "invalid_grant") => {}
        (401, "invalid_client") => {
            return Err(Ill::fails(
                "client-forgotten",
                format!(
                    "{what} was answered with {shown}: it does not know the client that was just registered"
                ),
                "Several gateways stand behind one address without one store, or the Authorization header is changed on the \
                 way.",
            ));
        }
        _ => {
            return Err(Ill::fails(
                "error-has-wrong-form",
                format!(
                    "a code that is none was answered with {shown} and not with 400 and `invalid_grant` as JSON"
                ),
                "Have the proxy pass errors of `/token` on as they are: no error pages of its own (nginx: \
                 `proxy_intercept_errors off;`).",
            ));
        }
    }
    if !reply
        .header("cache-control")
        .unwrap_or_default()
        .contains("no-store")
    {
        return Err(Ill::warning(
            "token-may-be-cached",
            format!("{what} was answered without `Cache-Control: no-store`"),
            "Have the proxy leave `Cache-Control` as it is.",
        ));
    }
    Ok("one that is none is refused as clients expect it (400, invalid_grant)".to_owned())
}
