//! The door of an MCP endpoint: who comes in, and what everyone else is told.
//!
//! A request without a good token gets its challenge before anything else is looked at, whatever its method, body,
//! `Accept`, version or session (real clients decide by it); only `Host` and `Origin` are earlier.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::header::{AUTHORIZATION, CACHE_CONTROL, USER_AGENT, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::capability::{TokenError, VerifyToken};
use sallyport_core::watch::{Knock, Turned};
use sallyport_core::{Principal, RequestId, Scope, Secret, Timestamp};
use sallyport_net::respond::{self, Challenge};
use sallyport_net::{Body, Inbound, Response, SharedBytes, Worker};

use crate::Proxy;
use crate::caller::Caller;
use crate::exchange::Long;
use crate::front::sse::Half;
use crate::head::{self, Accept, Fields};
use crate::proof::{self, Proved};
use crate::standing::{self, Kept, Standing};
use crate::world::{Endpoint, Place, World};

/// The longest bearer token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// The methods of an endpoint.
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::DELETE];

/// The path without the slash that some clients put after it.
pub(crate) fn path_of(parts: &Parts) -> &str {
    let path = parts.uri.path();
    path.strip_suffix('/').unwrap_or(path)
}

/// No endpoint under this path.
pub(crate) fn no_such_place() -> Response {
    respond::not_found()
}

/// 405, naming what is allowed.
pub(crate) fn method_not_allowed() -> Response {
    respond::method_not_allowed(&METHODS)
}

/// What a long stream holds to see that its caller may still be here: the token is verified again and again, because
/// its time may end and its grant may be revoked.
pub(crate) struct Pass {
    verifier: Arc<dyn VerifyToken>,
    endpoint: Arc<Endpoint>,
    /// `None` where everyone is the local user.
    token: Option<Secret<String>>,
}

impl Pass {
    /// The pass of an admitted request.
    pub(crate) fn of(caller: &Caller, parts: &Parts) -> Self {
        let is_local = caller.proxy.world.load().local.is_some();
        let token = shown(&parts.headers).ok().filter(|_| !is_local);
        Self {
            verifier: Arc::clone(&caller.proxy.verifier),
            endpoint: Arc::clone(&caller.endpoint),
            token: token.map(|(_, token)| Secret::from(token)),
        }
    }

    /// Whether the caller may still be here.
    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        let audiences = &self.endpoint.resources;
        // A proof was seen when the stream was opened.
        let verify = |token: &Secret<String>| self.verifier.verify_any(token.expose(), audiences, now);
        self.token.as_ref().is_none_or(|token| verify(token).is_ok())
    }
}

/// The answer to a caller whose token was revoked while the request ran: the challenge, as for the next request.
pub(crate) fn turned_out(caller: &Caller) -> Response {
    TurnedAway::Challenged(Challenge::InvalidToken).answer(&metadata(caller))
}

/// The answer to a request for which the token does not allow enough: the message, and the challenge that names every
/// scope that the token has to have (RFC 6750 §3.1).
pub(crate) fn short_of_scope(caller: &Caller, scope: &str, bytes: bytes::Bytes) -> Response {
    let mut response = message(StatusCode::FORBIDDEN.as_u16(), bytes);
    match Challenge::InsufficientScope.header(&metadata(caller), scope) {
        Ok(challenge) => {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, challenge);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Err(error) => tracing::error!("the challenge cannot be written: {error}"),
    }
    response
}

/// The URL of the metadata of the resource that the caller's token is for.
fn metadata(caller: &Caller) -> String {
    let audience = caller.principal.audience.as_str();
    let path = audience.find("://").and_then(|scheme| {
        let host = audience.get(scheme + 3..)?;
        Some(scheme + 3 + host.find('/')?)
    });
    let (origin, path) = audience
        .split_at_checked(path.unwrap_or(audience.len()))
        .unwrap_or_default();
    format!("{origin}/.well-known/oauth-protected-resource{path}")
}

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TurnedAway {
    /// With a challenge: 401, 400 or 403.
    Challenged(Challenge),
    /// With the challenge of a token that does not count here.
    Token(TokenError),
    /// The profile does not admit the person, whatever the token: 403.
    NotAdmitted,
}

impl TurnedAway {
    /// The answer. The challenge names where to get a token (`metadata`), and every scope that a person may need here.
    pub(crate) fn answer(self, metadata: &str) -> Response {
        let kind = match self {
            Self::Challenged(kind) => kind,
            // Which rule it was is nobody's business but the operator's.
            Self::Token(TokenError::Bound) => Challenge::InvalidBoundToken,
            Self::Token(_) => Challenge::InvalidToken,
            Self::NotAdmitted => {
                return respond::text(StatusCode::FORBIDDEN, "this user may not use this profile\n");
            }
        };
        respond::challenge(kind, metadata, Scope::MCP).unwrap_or_else(|error| {
            tracing::error!("the challenge cannot be written: {error}");
            respond::empty(kind.status())
        })
    }
}

/// Who knocks: what is shown, and what log and trail know it by.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    /// The token, or what is wrong with it.
    pub(crate) token: Result<&'a str, Challenge>,
    /// What is shown besides, under the scheme of proofs.
    pub(crate) proved: Option<Proved<'a>>,
    /// The peer's address.
    pub(crate) peer: IpAddr,
    /// The request's number.
    pub(crate) request: RequestId,
}

/// Lets a request in.
///
/// # Errors
/// [`TurnedAway`] says with what answer not.
pub(crate) fn admit(
    world: &Arc<World>,
    (place, half): (Place<'_>, Option<Half>),
    (proxy, worker): (&Arc<Proxy>, &Arc<Worker>),
    inbound: &Inbound,
) -> Result<Arc<Caller>, TurnedAway> {
    let (scheme, token) = match shown(&inbound.parts.headers) {
        Ok((scheme, token)) => (scheme, Ok(token)),
        Err(kind) => (Scheme::Bearer, Err(kind)),
    };
    let is_proved = scheme == Scheme::Proved;
    let visit = Visit {
        token,
        proved: is_proved.then(|| Proved::of(&inbound.parts)),
        peer: inbound.peer.ip(),
        request: inbound.id,
    };
    // Both are read before anything is looked at, so that nothing that happens meanwhile is missed.
    let (calls, revocations) = (proxy.turnout.calls(), proxy.verifier.revocations());
    let principal = identify(proxy, world, place, visit)
        .inspect_err(|turned| tell(proxy, place, visit, (&inbound.parts, *turned)))?;
    let at = standing::Place {
        proxy,
        endpoint: place.endpoint,
        limits: world.limits,
        worker,
        peer: inbound.peer.ip(),
    };
    let key = principal.key();
    let mut standing = Standing::new(&at, principal, key);
    standing.accept = Accept::of(&inbound.parts.headers);
    standing.is_json = head::is_json(&inbound.parts.headers);
    standing.half = half;
    standing.fields = Some(Arc::new(Fields::of(&inbound.parts.headers)));
    let standing = Arc::new(standing);
    // A proof counts once.
    if !is_proved {
        Kept::keep(&standing, world, inbound, revocations);
    }
    Ok(Arc::new(Caller {
        standing,
        request: inbound.id,
        arrived: proxy.books.clock.now(),
        nonce: is_proved.then(|| proof::fresh(proxy)).flatten(),
        calls,
    }))
}

/// Finds out who knocks, and whether that person may come in here.
///
/// # Errors
/// [`TurnedAway`]; it was counted and recorded.
pub(crate) fn identify(
    proxy: &Proxy,
    world: &World,
    place: Place<'_>,
    visit: Visit<'_>,
) -> Result<Arc<Principal>, TurnedAway> {
    let principal = match &world.local {
        Some(local) => Arc::clone(local),
        None => authenticate(proxy, place, visit)?,
    };
    if !principal.scopes.open_anything() {
        turned_away(proxy, visit, Some(&principal), "scope");
        return Err(TurnedAway::Challenged(Challenge::InsufficientScope));
    }
    if !place.endpoint.rules.users.admits(principal.user.as_str()) {
        turned_away(proxy, visit, Some(&principal), "user");
        return Err(TurnedAway::NotAdmitted);
    }
    Ok(principal)
}

fn authenticate(proxy: &Proxy, place: Place<'_>, visit: Visit<'_>) -> Result<Arc<Principal>, TurnedAway> {
    let token = match visit.token {
        Ok(token) => token,
        Err(kind) => {
            proxy.books.metrics.auth_failure(if kind == Challenge::NoToken {
                "missing"
            } else {
                "malformed"
            });
            return Err(TurnedAway::Challenged(kind));
        }
    };
    let now = proxy.books.clock.now();
    if let Some(proved) = visit.proved {
        return proved.verify(proxy, place, token, now).map_err(|refused| {
            // Being told the nonce is a step of the way in and no refusal.
            if refused.challenge != Challenge::ProofNonce {
                turned_away(proxy, visit, None, refused.label);
            }
            TurnedAway::Challenged(refused.challenge)
        });
    }
    let verified = proxy.verifier.verify(token, &place.endpoint.resources, now);
    verified.map_err(|error| {
        tracing::info!(request = %visit.request, peer = %visit.peer, "token refused: {error}");
        turned_away(proxy, visit, None, error.label());
        TurnedAway::Token(error)
    })
}

/// Tells whoever follows log-ins who was turned away. Nothing of this happens to those who are let in, and to be told the
/// nonce is a step of the way in.
fn tell(proxy: &Proxy, place: Place<'_>, visit: Visit<'_>, (parts, turned): (&Parts, TurnedAway)) {
    if turned == TurnedAway::Challenged(Challenge::ProofNonce) {
        return;
    }
    let token = visit
        .token
        .ok()
        .filter(|_| !matches!(turned, TurnedAway::Token(_)));
    let now = proxy.books.clock.now();
    let verified = token.and_then(|token| {
        // A bound token without its proof lets nobody in, and tells all the same whose log-in it is of.
        let verified = proxy.verifier.verify_any(token, &place.endpoint.resources, now);
        verified.ok()
    });
    let principal = verified.map(|verified| verified.principal);
    let agent = parts
        .headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    proxy.logins.turned_away(Knock {
        peer: visit.peer,
        agent: agent.unwrap_or_default(),
        path: path_of(parts),
        turned: match turned {
            TurnedAway::Challenged(Challenge::NoToken) => Turned::NoToken,
            TurnedAway::Challenged(Challenge::InsufficientScope) => Turned::Scope,
            TurnedAway::Challenged(Challenge::InvalidProof) => Turned::Proof,
            TurnedAway::Challenged(_) => Turned::Malformed,
            TurnedAway::Token(error) => Turned::Token(error),
            TurnedAway::NotAdmitted => Turned::NotAdmitted,
        },
        grant: principal.as_ref().map(|principal| &principal.grant),
    });
}

/// Whether a byte may stand in a token (RFC 6750 §2.1, b64token).
const fn is_b64token(b: u8) -> bool {
    let letter = (b | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits stand next to each other.
    let digit = b.wrapping_sub(b'-') < 13;
    letter | digit | (b == b'_') | (b == b'~') | (b == b'+') | (b == b'=')
}

/// Under which scheme a token is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// RFC 6750.
    Bearer,
    /// With a proof (RFC 9449).
    Proved,
}

/// The bearer token of the one `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Challenge> {
    match shown(headers)? {
        (Scheme::Bearer, token) => Ok(token),
        (Scheme::Proved, _) => Err(Challenge::NoToken),
    }
}

/// The token of the one `Authorization` header, and its scheme. Tokens elsewhere are not looked for (AU-09).
pub(crate) fn shown(headers: &HeaderMap) -> Result<(Scheme, &str), Challenge> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next().ok_or(Challenge::NoToken)?, values.next()) else {
        return Err(Challenge::InvalidRequest);
    };
    let text = value.as_bytes();
    let blank = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (scheme, token) = text.split_at_checked(blank).unwrap_or_default();
    if !scheme.is_ascii() {
        return Err(Challenge::InvalidToken);
    }
    let scheme = if scheme.eq_ignore_ascii_case(b"bearer") {
        Scheme::Bearer
    } else if proof::is_proved(scheme) {
        Scheme::Proved
    } else {
        return Err(Challenge::NoToken);
    };
    std::str::from_utf8(token.trim_ascii())
        .map_err(|_| Challenge::InvalidToken)
        .and_then(well_formed)
        .map(|token| (scheme, token))
}

/// The token, if it can be one.
///
/// # Errors
/// It is empty, too long, or has other characters than tokens have.
pub(crate) fn well_formed(token: &str) -> Result<&str, Challenge> {
    // Without a way out of the loop, many bytes are looked at in one step.
    let characters = || token.bytes().fold(true, |all, b| all & is_b64token(b));
    if token.is_empty() || token.len() > MAX_TOKEN || !characters() {
        return Err(Challenge::InvalidToken);
    }
    Ok(token)
}

/// Counts a refusal and records it, as far as strangers may fill the trail.
fn turned_away(proxy: &Proxy, visit: Visit<'_>, principal: Option<&Principal>, reason: &'static str) {
    proxy.books.metrics.auth_failure(reason);
    if principal.is_none() && !proxy.strangers.admit(proxy.books.clock.now()) {
        return;
    }
    let mut event = Event::new(Action::Denied, Outcome::Denied).because(reason);
    if let Some(principal) = principal {
        event = event.by(principal);
    }
    event.request = Some(visit.request);
    event.peer = Some(visit.peer);
    // The refusal stands whether or not it can be written down.
    if proxy.books.audit.record(&event).is_err() {
        tracing::error!("a refusal could not be recorded: the audit trail cannot be written");
    }
}

/// A JSON-RPC message as the whole answer.
pub(crate) fn message(status: u16, bytes: bytes::Bytes) -> Response {
    respond::rpc(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), bytes)
}

/// A message of which many have all but the beginning.
pub(crate) fn shared(head: bytes::Bytes, rest: SharedBytes) -> Response {
    let mut response = message(200, bytes::Bytes::new());
    *response.body_mut() = Body::shared(head, rest);
    response
}

/// A message that goes out while it comes. When there is none after all, the connection ends without its end.
pub(crate) fn long(long: Long) -> Response {
    let mut response = message(200, bytes::Bytes::new());
    let begin = stream::iter([Ok(long.begin)]);
    *response.body_mut() = Body::stream(begin.chain(long.rest));
    response
}

/// 202 without a body.
pub(crate) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Looks a header up for the mirror check.
pub(crate) fn field<'h>(headers: &'h HeaderMap, name: &str) -> sallyport_mcp::mirror::HeaderField<'h> {
    use sallyport_mcp::mirror::HeaderField;
    let mut values = head::all(headers, name).iter();
    match (values.next(), values.next()) {
        (None, _) => HeaderField::Missing,
        (Some(value), None) => HeaderField::Single(value.as_bytes()),
        (Some(_), Some(_)) => HeaderField::Repeated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn au_09_a_token_comes_in_one_authorization_header() {
        let table: [(&[&str], Result<&str, Challenge>); 9] = [
            (&[], Err(Challenge::NoToken)),
            (&["Bearer abc.d-e_f~+/="], Ok("abc.d-e_f~+/=")),
            (&["bearer abc"], Ok("abc")),
            (&["Bearer abc", "Bearer abc"], Err(Challenge::InvalidRequest)),
            (&["Basic YWJj"], Err(Challenge::NoToken)),
            (&["Bearer"], Err(Challenge::InvalidToken)),
            (&["Bearer a b"], Err(Challenge::InvalidToken)),
            (&["Bearer a,b"], Err(Challenge::InvalidToken)),
            (&["abc"], Err(Challenge::NoToken)),
        ];
        for (values, expected) in table {
            assert_eq!(bearer(&authorization(values)), expected, "{values:?}");
        }
    }

    #[test]
    fn rfc_6750_the_characters_of_a_token() {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        for b in 0..=u8::MAX {
            assert_eq!(is_b64token(b), good(b), "{b:#x}");
        }
    }

    #[test]
    fn over_long_tokens_are_not_looked_at() {
        let at = format!("Bearer {}", "a".repeat(MAX_TOKEN));
        let past = format!("{at}a");
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            bearer(&headers).map(str::len)
        };
        assert_eq!(with(&at), Ok(MAX_TOKEN));
        assert_eq!(with(&past), Err(Challenge::InvalidToken));
    }
}
