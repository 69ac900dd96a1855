//! Another proxy asks about each request that it has got: ForwardAuth of Traefik, `forward_auth` of Caddy, `auth_request` of
//! nginx. The answer is 200 with who calls, or the refusal that the proxy passes on.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sallyport_core::{Level, Principal, ProfileSlug};
use sallyport_net::respond::{self, Challenge};
use sallyport_net::{Inbound, Response};

use crate::Proxy;
use crate::door::{self, TurnedAway, Visit};
use crate::front::sse;
use crate::world::{Place, World};

/// Where it is asked.
const PATH: &str = "/verify";

/// The profile that is meant where nothing says another.
const DEFAULT: &str = "/mcp/default";

/// What the answer says of the caller. All four are there in each answer of 200, never empty: a proxy that copies them puts
/// them in the place of what the caller may have sent under these names.
static USER_ID: HeaderName = HeaderName::from_static("x-user-id");
static USER_NAME: HeaderName = HeaderName::from_static("x-user-name");
static CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
static SCOPE: HeaderName = HeaderName::from_static("x-scope");

/// Where proxies say what they were asked for: Traefik and Caddy, and nginx by the custom of its users.
const FORWARDED: [&str; 2] = ["x-forwarded-uri", "x-original-uri"];

/// How often an address is decoded to see where it may lead: servers behind may do it more than once.
const DECODINGS: usize = 3;

/// Why nothing can be said of a request: 403, because nginx takes every other refusal for a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unclear {
    /// The operator's `profile` is none.
    Profile,
    /// The address is that of no endpoint, and yet would lead to one, or to several.
    Address,
}

impl Unclear {
    fn answer(self) -> Response {
        let text = match self {
            Self::Profile => "there is no such profile\n",
            Self::Address => "there is no endpoint under this address\n",
        };
        respond::text(StatusCode::FORBIDDEN, text)
    }
}

/// Whether a path is that of the question.
#[must_use]
pub fn is_verify(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

impl Proxy {
    /// Answers a proxy that asks whether a request may pass. The token is that of the request, and so is the address, as far as
    /// a trusted proxy names it (`is_trusted`) and its operator has not named the profile (`?profile=SLUG`).
    ///
    /// `Host` and `Origin` are those of the other site and are not looked at: a token is needed whatever they say, and
    /// nothing happens here.
    #[must_use]
    pub fn verify(&self, inbound: &Inbound, is_trusted: bool) -> Response {
        let world = self.world.load();
        let parts = &inbound.parts;
        let mut response = match place(&world, parts.uri.query(), &parts.headers, is_trusted) {
            Err(unclear) => unclear.answer(),
            Ok(place) => {
                let visit = Visit {
                    token: door::bearer(&parts.headers),
                    // A proof is made for the other site's URL, which only that site knows.
                    proved: None,
                    peer: inbound.peer.ip(),
                    request: inbound.id,
                };
                match door::identify(self, &world, place, visit) {
                    // What of the other site is reading only that site knows.
                    Ok(principal) if principal.scopes.everywhere() != Some(Level::Write) => refusal(
                        TurnedAway::Challenged(Challenge::InsufficientScope),
                        place.metadata,
                    ),
                    Ok(principal) => known(&world, &principal),
                    Err(turned) => refusal(turned, place.metadata),
                }
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A refusal as proxies pass it on: nginx knows 401 and 403 only.
fn refusal(turned: TurnedAway, metadata: &str) -> Response {
    let mut response = turned.answer(metadata);
    if response.status() == StatusCode::BAD_REQUEST {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    response
}

/// Who calls.
fn known(world: &World, principal: &Arc<Principal>) -> Response {
    let user = principal.user.as_str();
    let name = world.names.get(&principal.user).map_or(user, |name| &**name);
    let name = HeaderValue::from_bytes(name.as_bytes()).or_else(|_| HeaderValue::from_str(user));
    let values = [
        (&USER_ID, HeaderValue::from_str(user)),
        (&USER_NAME, name),
        (&CLIENT_ID, HeaderValue::from_str(principal.client.as_str())),
        (&SCOPE, HeaderValue::from_str(&principal.scopes.to_string())),
    ];
    let mut response = respond::empty(StatusCode::OK);
    for (header, value) in values {
        match value {
            Ok(value) if !value.is_empty() => response.headers_mut().insert(header.clone(), value),
            // Without it, a caller's own word might stand in its place.
            _ => {
                tracing::error!(%header, "what is known of a caller cannot stand in a header");
                return respond::empty(StatusCode::FORBIDDEN);
            }
        };
    }
    response
}

/// The endpoint whose tokens the request needs: what the operator of the proxy names, else the one under the address, else the
/// default profile.
fn place<'w>(
    world: &'w World,
    query: Option<&str>,
    headers: &HeaderMap,
    is_trusted: bool,
) -> Result<Place<'w>, Unclear> {
    if let Some(slug) = profile(query)? {
        return world.at(&format!("/mcp/{slug}")).ok_or(Unclear::Profile);
    }
    let uri = if is_trusted { forwarded(headers)? } else { None };
    let found = uri.map(|uri| under(world, uri)).transpose()?.flatten();
    found.or_else(|| world.at(DEFAULT)).ok_or(Unclear::Profile)
}

/// The profile that the operator names.
fn profile(query: Option<&str>) -> Result<Option<ProfileSlug>, Unclear> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut named = pairs.filter(|(name, _)| name == "profile");
    let Some((_, slug)) = named.next() else {
        return Ok(None);
    };
    if named.next().is_some() {
        return Err(Unclear::Profile);
    }
    ProfileSlug::parse(&slug).map(Some).map_err(|_| Unclear::Profile)
}

/// The address that the proxy was asked for. If two are told, one of them may be the caller's own.
fn forwarded(headers: &HeaderMap) -> Result<Option<&str>, Unclear> {
    let mut values = FORWARDED.iter().flat_map(|name| headers.get_all(*name));
    let (Some(value), None) = (values.next(), values.next()) else {
        let any = FORWARDED.iter().any(|name| headers.contains_key(*name));
        return if any { Err(Unclear::Address) } else { Ok(None) };
    };
    value.to_str().map(Some).map_err(|_| Unclear::Address)
}

/// The endpoint under an address; `None` for an address that has nothing to do with endpoints.
fn under<'w>(world: &'w World, uri: &str) -> Result<Option<Place<'w>>, Unclear> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let below = || {
        let half = sse::half(trimmed).map(|(base, _)| base);
        half.or_else(|| trimmed.strip_suffix("/ws"))
    };
    if let Some(place) = world.at(trimmed).or_else(|| world.at(below()?)) {
        return Ok(Some(place));
    }
    // Another spelling of an endpoint's address must not be judged by the rules of the default profile.
    if leads_to_endpoint(path) {
        return Err(Unclear::Address);
    }
    Ok(None)
}

/// Whether a lenient server may take this path for one of an endpoint.
fn leads_to_endpoint(path: &str) -> bool {
    let mut plain = Cow::Borrowed(path);
    for _ in 0..DECODINGS {
        let decoded = decode(&plain);
        if decoded == plain {
            break;
        }
        plain = Cow::Owned(decoded);
    }
    let plain = plain.to_ascii_lowercase().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in plain.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    matches!(*segments, ["mcp", ..] | ["servers", _, "mcp", ..])
}

/// Percent-decoded; what is no text afterwards leads nowhere.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
        let escaped = digit(rest.first()).zip(digit(rest.get(1)));
        match escaped.filter(|_| *first == b'%') {
            Some((high, low)) => {
                out.push(u8::try_from(high << 4 | low).unwrap_or_default());
                bytes = rest.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_question_is_asked() {
        for (path, is) in [
            ("/verify", true),
            ("/verify/", true),
            ("/verify/x", false),
            ("/verifyx", false),
            ("/", false),
        ] {
            assert_eq!(is_verify(path), is, "{path}");
        }
    }

    #[test]
    fn ad_06_spellings_of_an_endpoints_address_are_seen() {
        for path in [
            "/mcp",
            "/mcp/unknown",
            "/MCP",
            "//mcp",
            "/./mcp",
            "/app/../mcp/team",
            "/%6dcp/team",
            "/%256dcp/team",
            "/mcp;x/team",
            "/app/%2e%2e/mcp",
            "/app%2f..%2fmcp",
            "\\mcp\\team",
            "/servers/docs/mcp",
            "/servers//docs/MCP/",
        ] {
            assert!(leads_to_endpoint(path), "{path}");
        }
        for path in [
            "",
            "/",
            "/app",
            "/mcpx",
            "/app/mcp",
            "/servers/docs",
            "/%",
            "/%6",
            "/%zz",
            "/mcp/..",
        ] {
            assert!(!leads_to_endpoint(path), "{path}");
        }
    }

    #[test]
    fn the_operator_names_one_profile() {
        let named = |query| profile(Some(query)).map(|slug| slug.map(|slug| slug.to_string()));
        assert_eq!(named("profile=team"), Ok(Some("team".to_owned())));
        assert_eq!(named("other=team"), Ok(None));
        assert_eq!(named(""), Ok(None));
        for bad in ["profile=", "profile=a&profile=a", "profile=..", "profile=a%2Fb"] {
            assert_eq!(named(bad), Err(Unclear::Profile), "{bad}");
        }
    }

    #[test]
    fn one_address_is_told_or_none() {
        let told = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            forwarded(&headers).map(|uri| uri.map(str::to_owned))
        };
        assert_eq!(told(&[]), Ok(None));
        assert_eq!(told(&[("x-forwarded-uri", "/a")]), Ok(Some("/a".to_owned())));
        assert_eq!(told(&[("x-original-uri", "/a")]), Ok(Some("/a".to_owned())));
        for twice in [
            [("x-original-uri", "/a"), ("x-forwarded-uri", "/a")],
            [("x-original-uri", "/a"), ("x-original-uri", "/b")],
        ] {
            assert_eq!(told(&twice), Err(Unclear::Address));
        }
    }
}
