//! The rules: what an answer has to be like for a client to go on, and what is wrong with it otherwise.
//!
//! They look at nothing but the answer and what it has to agree with.

use serde_json::Value;
use url::Url;

use super::challenge::Bearer;
use super::finding::Ill;
use super::wire::Reply;

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

/// A JSON document.
pub(super) fn document(path: &str, reply: &Reply) -> Result<Value, Ill> {
    let shown = reply.shown();
    let what = format!("GET {path}");
    match reply.status {
        200 => {}
        300..=399 => return Err(redirected(&what, reply)),
        401 => {
            return Err(Ill::fails(
                "document-behind-login",
                format!("{what} was answered with {shown}"),
                "Documents are read before anybody has logged in: take the proxy's own log-in away from `/.well-known/`.",
            ));
        }
        404 => {
            return Err(Ill::fails(
                "document-missing",
                format!("{what} was answered with {shown}"),
                "Have the proxy pass everything below `/.well-known/` to the gateway (ACME challenges can keep \
                 `/.well-known/acme-challenge/`).",
            ));
        }
        _ => {
            let other = || {
                Ill::fails(
                    "document-missing",
                    format!("{what} was answered with {shown}"),
                    PROXY_LOG,
                )
            };
            return Err(from_elsewhere(&what, reply).unwrap_or_else(other));
        }
    }
    serde_json::from_slice::<Value>(&reply.body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Ill::fails(
                "document-is-no-json",
                format!("{what} was answered with {}, not with JSON", reply.media_type()),
                "Something in front of the gateway answers in its place: pass `/.well-known/` on.",
            )
        })
}

/// What the resource's document says (RFC 9728 §3.3: `resource` is the URL, byte for byte).
pub(super) fn resource(document: &Value, endpoint: &str, issuer: &str) -> Result<Vec<String>, Ill> {
    let told = text(document, "resource");
    if told != endpoint {
        let how = if told.trim_end_matches('/') == endpoint.trim_end_matches('/') {
            "they differ by a slash at the end"
        } else {
            "most clients stop there"
        };
        return Err(Ill::fails(
            "resource-differs",
            format!("the document is of {told}, and the endpoint is {endpoint}: {how}"),
            "Set `public_url` to the address that clients use and restart the gateway; nothing in front may change documents.",
        ));
    }
    let servers = list(document, "authorization_servers");
    if !servers.iter().any(|server| server == issuer) {
        return Err(Ill::fails(
            "issuer-differs",
            format!(
                "the document sends clients to {}, and this gateway is {issuer}",
                shown(&servers)
            ),
            "Set `public_url` to the address that clients use and restart the gateway; nothing in front may change documents.",
        ));
    }
    Ok(list(document, "scopes_supported"))
}

/// What the authorization server's document says, as far as a client needs it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Server {
    pub(super) authorize: String,
    pub(super) token: String,
    pub(super) register: Option<String>,
    pub(super) takes_documents: bool,
    pub(super) scopes: Vec<String>,
}

/// What the authorization server's document has to say (RFC 8414 §3.3, MCP authorization).
pub(super) fn server(document: &Value, issuer: &str) -> Result<Server, Ill> {
    let told = text(document, "issuer");
    if told != issuer {
        return Err(Ill::fails(
            "issuer-differs",
            format!(
                "the document is of the issuer {told}, and this gateway is {issuer}: clients refuse that"
            ),
            "Another server answers under this address, or `public_url` is another one than the gateway was started with: \
             correct it and restart the gateway.",
        ));
    }
    let endpoint = |name: &str| {
        let url = text(document, name);
        let is_here = url.strip_prefix(issuer).is_some_and(|path| path.starts_with('/'));
        if is_here {
            return Ok(url.strip_prefix(issuer).unwrap_or_default().to_owned());
        }
        Err(Ill::fails(
            "endpoint-elsewhere",
            format!("the document says that `{name}` is `{url}`, which is not below {issuer}"),
            "Nothing in front of the gateway may change documents; correct `public_url` and restart the gateway.",
        ))
    };
    if !list(document, "code_challenge_methods_supported")
        .iter()
        .any(|method| method == "S256")
    {
        return Err(Ill::fails(
            "pkce-untold",
            "the document does not say S256 in `code_challenge_methods_supported`: clients stop there",
            "Nothing in front of the gateway may change documents.",
        ));
    }
    if !list(document, "token_endpoint_auth_methods_supported")
        .iter()
        .any(|method| method == "none")
    {
        return Err(Ill::fails(
            "public-clients-untold",
            "the document does not say that clients without a secret are taken",
            "Nothing in front of the gateway may change documents.",
        ));
    }
    let register = match document.get("registration_endpoint") {
        Some(_) => Some(endpoint("registration_endpoint")?),
        None => None,
    };
    Ok(Server {
        authorize: endpoint("authorization_endpoint")?,
        token: endpoint("token_endpoint")?,
        register,
        takes_documents: document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true)),
        scopes: list(document, "scopes_supported"),
    })
}

/// A registration that was taken: the client's id (RFC 7591 §3.2.1).
pub(super) fn registered(reply: &Reply) -> Result<(String, Value), Ill> {
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
pub(super) fn asked(reply: &Reply, origin: &str, redirect: &str) -> Result<String, Ill> {
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

/// A code or refresh token that is none gets the error that clients act on (RFC 6749 §5.2; R20, R21).
pub(super) fn invalid_grant(reply: &Reply) -> Result<String, Ill> {
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

fn list(value: &Value, name: &str) -> Vec<String> {
    let list = value.get(name).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn shown(all: &[String]) -> String {
    if all.is_empty() {
        return "nowhere".to_owned();
    }
    all.join(", ")
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
