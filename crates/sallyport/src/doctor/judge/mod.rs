//! The rules: what an answer has to be like for a client to go on, and what is wrong with it otherwise.
//!
//! They look at nothing but the answer and what it has to agree with.

mod documents;
mod login;

use serde_json::Value;

use super::challenge::Bearer;
use super::finding::Ill;
use super::wire::Reply;

pub(super) use documents::{Server, document, resource, server};
pub(super) use login::{asked, invalid_grant, registered};

const PROXY_LOG: &str =
    "See the log of what is in front of the gateway, and that it passes the request on unchanged.";

/// What keeps any answer from being the gateway's own. `what` is the request, such as `POST /mcp`.
pub(super) fn from_elsewhere(what: &str, reply: &Reply) -> Option<Ill> {
    let shown = reply.shown();
    match reply.status {
        421 => Some(Ill::fails(
            "host-not-served",
            format!(
                "{what} was answered with {shown}: the gateway does not know the host that it was called by"
            ),
            "Set `public_url` to the address that clients use, and restart the gateway; have the proxy pass `Host` on \
             (nginx: `proxy_set_header Host $host;`).",
        )),
        403 => Some(Ill::fails(
            "blocked",
            format!("{what} was answered with {shown}"),
            "A firewall or bot protection in front of the gateway turns programs away: make an exception for this host.",
        )),
        429 => Some(Ill::fails(
            "throttled",
            format!("{what} was answered with {shown}: too many requests"),
            "Wait a minute; behind a proxy, set `trusted_proxies`, so that its clients are not taken for one.",
        )),
        502..=504 | 520..=530 => Some(Ill::fails(
            "gateway-not-behind",
            format!("{what} was answered with {shown}: what is in front does not reach the gateway"),
            "Start the gateway, and point the proxy or tunnel at the address of `listen`.",
        )),
        500..=599 => Some(Ill::fails(
            "server-error",
            format!("{what} was answered with {shown}"),
            "See the gateway's log.",
        )),
        _ => None,
    }
}

fn redirected(what: &str, reply: &Reply) -> Ill {
    Ill::fails(
        "redirected",
        format!(
            "{what} was redirected to {} ({})",
            reply.location(),
            reply.shown()
        ),
        "Clients lose the Authorization header or the body on a redirect. Set `public_url` to where it ends, or have the proxy \
         answer here: no redirect to https, to another host, or by a slash.",
    )
}

/// A request without a token, or with a bad one, is told where to log in (R2, R3; RFC 9728 §5.1).
pub(super) fn challenged(what: &str, reply: &Reply) -> Result<Bearer, Ill> {
    let shown = reply.shown();
    match reply.status {
        401 => {}
        300..=399 => return Err(redirected(what, reply)),
        404 => {
            return Err(Ill::fails(
                "not-routed",
                format!("{what} was answered with {shown}"),
                "Have the proxy pass `/mcp` and everything below it to the gateway.",
            ));
        }
        405 => {
            return Err(Ill::fails(
                "method-refused",
                format!("{what} was answered with {shown}: the method does not arrive"),
                "Have the proxy pass GET, HEAD, POST, DELETE and OPTIONS on to the gateway.",
            ));
        }
        200..=299 => {
            return Err(Ill::fails(
                "no-challenge",
                format!("{what} was answered with {shown}, though it bears no token"),
                "Something in front of the gateway answers in its place, from a cache or with a page of its own: pass \
                 `/mcp` on and cache nothing of it.",
            ));
        }
        _ => {
            let other = || {
                Ill::fails(
                    "no-challenge",
                    format!("{what} was answered with {shown} and not with 401"),
                    PROXY_LOG,
                )
            };
            return Err(from_elsewhere(what, reply).unwrap_or_else(other));
        }
    }
    let values = reply
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    let mut values = values.map(|(_, value)| value.as_str()).peekable();
    if values.peek().is_none() {
        return Err(Ill::fails(
            "challenge-missing",
            format!(
                "{what} was answered with {shown} and no `WWW-Authenticate`: clients are not told where to log in"
            ),
            "Have the proxy pass `WWW-Authenticate` on, and answer no 401 of its own.",
        ));
    }
    Bearer::find(values).ok_or_else(|| {
        Ill::fails(
            "challenge-foreign",
            format!("{what} was answered with {shown} and a challenge that is not the gateway's"),
            "The proxy asks for a log-in of its own (Basic, or a single sign-on): take it away from `/mcp` and `/.well-known/`.",
        )
    })
}

/// Whether a bearer token reaches the gateway: a bad one is called so.
pub(super) fn token_arrives(what: &str, reply: &Reply) -> Result<String, Ill> {
    let bearer = challenged(what, reply)?;
    if bearer.error.as_deref() == Some("invalid_token") {
        return Ok("it reaches the gateway: a bad token is called one".to_owned());
    }
    Err(Ill::fails(
        "authorization-dropped",
        format!(
            "{what} with a bad token was answered as if it bore none: the Authorization header does not arrive"
        ),
        "Have the proxy pass `Authorization` on (nginx: `proxy_set_header Authorization $http_authorization;`; no `auth_basic` \
         or forward-auth on these paths).",
    ))
}

/// A page that a person sees.
pub(super) fn page(path: &str, reply: &Reply) -> Result<String, Ill> {
    let what = format!("GET {path}");
    match reply.status {
        200 if reply.media_type() == "text/html" => Ok("a person can log in there".to_owned()),
        300..=399 => Err(redirected(&what, reply)),
        _ => Err(from_elsewhere(&what, reply).unwrap_or_else(|| {
            Ill::fails(
                "page-missing",
                format!("{what} was answered with {}", reply.shown()),
                "Have the proxy pass everything to the gateway, pages too.",
            )
        })),
    }
}

/// The answer to a browser's preflight (Fetch §3.2.3).
pub(super) fn preflight(path: &str, reply: &Reply, origin: &str, needs: &[&str]) -> Result<String, Ill> {
    let what = format!("OPTIONS {path}");
    const MEND: &str = "Have the proxy pass OPTIONS and the `Access-Control-…` headers on and add none of its own; name the page's \
                        origin in `allowed_origins`.";
    if (300..=399).contains(&reply.status) {
        return Err(redirected(&what, reply));
    }
    let fails = |why: String| Err(Ill::fails("preflight-refused", why, MEND));
    if !(200..=299).contains(&reply.status) {
        return fails(format!(
            "{what} from {origin} was answered with {}",
            reply.shown()
        ));
    }
    let all = reply.headers.iter();
    let allowed = all.filter(|(name, _)| name.eq_ignore_ascii_case("access-control-allow-origin"));
    let allowed: Vec<&str> = allowed.map(|(_, value)| value.as_str()).collect();
    if !matches!(allowed.as_slice(), [one] if *one == origin || *one == "*") {
        return fails(format!(
            "{what} from {origin} was answered with the allowed origin `{}`",
            allowed.join("`, `")
        ));
    }
    let headers = reply
        .header("access-control-allow-headers")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let headers: Vec<&str> = headers.split(',').map(str::trim).collect();
    let missing: Vec<&&str> = needs.iter().filter(|need| !headers.contains(need)).collect();
    if let Some(missing) = missing.first() {
        return fails(format!(
            "{what} from {origin} does not allow the header `{missing}`"
        ));
    }
    Ok(format!("a page of {origin} may call"))
}

/// A member's text; empty if there is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
