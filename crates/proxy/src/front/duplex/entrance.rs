//! The way in: what a client shows, and what it is told when it may not.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sallyport_core::{Principal, RequestId, Secret, UserId};
use sallyport_net::Response;
use sallyport_net::respond::{self, Challenge};

use super::{Identity, Manner};
use crate::Proxy;
use crate::caller::Caller;
use crate::door::{self, Scheme, TurnedAway, Visit};
use crate::proof::{self, Proved};
use crate::world::{self, Place, World};

/// Who comes in, where, and how it will speak.
pub struct Entrance {
    /// The path of an endpoint as over HTTP, without what names the transport: `/mcp`, `/mcp/{profile}`,
    /// `/servers/{name}/mcp`.
    pub path: String,
    /// What the client shows.
    pub credential: Credential,
    /// How the eras share the connection.
    pub manner: Manner,
    /// The client's address.
    pub peer: IpAddr,
    /// The number by which log and trail know the conversation.
    pub request: RequestId,
}

/// What a client shows for itself. Where no token is needed (`auth.mode: none`), a token is not looked at.
pub struct Credential(Shown);

enum Shown {
    Token(Result<Secret<String>, Challenge>),
    /// With a proof, in the request that opens the connection.
    Proved(Secret<String>, Box<Opening>),
    /// By a request that was let in.
    Admitted(Arc<Principal>, Option<(Scheme, Secret<String>)>),
    Local(UserId),
}

/// What a proof is of.
struct Opening {
    headers: HeaderMap,
    method: Method,
    path: String,
}

impl Credential {
    /// What the request shows that opens the connection: a bearer token (RFC 6750 §2.1), or one that is bound to a key, with
    /// the proof (RFC 9449 §7.1).
    #[must_use]
    pub fn of_request(parts: &Parts) -> Self {
        match door::shown(&parts.headers) {
            Ok((Scheme::Bearer, token)) => Self(Shown::Token(Ok(Secret::from(token)))),
            Ok((Scheme::Proved, token)) => {
                let opening = Opening {
                    headers: parts.headers.clone(),
                    method: parts.method.clone(),
                    path: parts.uri.path().to_owned(),
                };
                Self(Shown::Proved(Secret::from(token), Box::new(opening)))
            }
            Err(kind) => Self(Shown::Token(Err(kind))),
        }
    }

    /// That of a request that was let in just now.
    pub(crate) fn admitted(caller: &Caller, parts: &Parts) -> Self {
        let shown = door::shown(&parts.headers).ok();
        let token = shown.map(|(scheme, token)| (scheme, Secret::from(token)));
        Self(Shown::Admitted(Arc::clone(&caller.principal), token))
    }

    /// Whether the client sends proofs, and so has to hear of nonces.
    pub(super) fn is_proved(&self) -> bool {
        matches!(self.0, Shown::Proved(..))
    }

    /// A bearer token.
    #[must_use]
    pub fn token(token: Secret<String>) -> Self {
        let well_formed = door::well_formed(token.expose()).map(|_| ());
        Self(Shown::Token(well_formed.map(|()| token)))
    }

    /// No token: this process was started by the person who speaks. The lists of the profile hold all the same.
    #[must_use]
    pub fn local(user: UserId) -> Self {
        Self(Shown::Local(user))
    }

    /// Finds out who it is.
    ///
    /// # Errors
    /// [`TurnedAway`]; it was counted and recorded.
    pub(super) fn identify(
        self,
        proxy: &Proxy,
        world: &World,
        place: Place<'_>,
        peer: IpAddr,
        request: RequestId,
    ) -> Result<Identity, TurnedAway> {
        let (token, opening) = match self.0 {
            Shown::Token(token) => (token, None),
            Shown::Proved(token, opening) => (Ok(token), Some(opening)),
            Shown::Admitted(principal, token) => {
                let token = token.filter(|_| world.local.is_none());
                let is_proved = matches!(token, Some((Scheme::Proved, _)));
                return Ok(Identity {
                    principal,
                    token: token.map(|(_, token)| token),
                    is_proved,
                });
            }
            Shown::Local(user) => return local(user, place),
        };
        let shown = match &token {
            Ok(token) => Ok(token.expose().as_str()),
            Err(kind) => Err(*kind),
        };
        let proved = opening
            .as_ref()
            .map(|opening| Proved::by(&opening.headers, opening.method.as_str(), &opening.path));
        let visit = Visit {
            token: shown,
            // It is of the request that opens the connection; what follows on it is the same sender's.
            proved,
            peer,
            request,
        };
        let principal = door::identify(proxy, world, place, visit)?;
        let token = token.ok().filter(|_| world.local.is_none());
        Ok(Identity {
            principal,
            token,
            is_proved: opening.is_some(),
        })
    }
}

fn local(user: UserId, place: Place<'_>) -> Result<Identity, TurnedAway> {
    let endpoint = place.endpoint;
    let admitted = endpoint.rules.users.admits(user.as_str());
    let audience = endpoint.resources.first().filter(|_| admitted);
    let audience = audience.ok_or(TurnedAway::NotAdmitted)?;
    Ok(Identity {
        principal: Arc::new(world::local_user(user, audience.clone())),
        token: None,
        is_proved: false,
    })
}

/// Why a conversation does not begin, or does not go on under another token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    why: Why,
    metadata: String,
    nonce: Option<HeaderValue>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    Nowhere,
    Away(TurnedAway),
    Another,
    TooMany,
}

impl Turned {
    pub(super) fn new(why: Why, metadata: &str) -> Self {
        Self {
            why,
            metadata: metadata.to_owned(),
            nonce: None,
        }
    }

    /// With the nonce that the next proof shall have.
    pub(super) fn with_nonce(self, nonce: Option<HeaderValue>) -> Self {
        Self { nonce, ..self }
    }

    pub(super) fn nowhere() -> Self {
        Self::new(Why::Nowhere, "")
    }

    /// The HTTP answer, for transports that begin with a request.
    #[must_use]
    pub fn response(&self) -> Response {
        let mut response = match self.why {
            Why::Nowhere => door::no_such_place(),
            Why::Away(away) => away.answer(&self.metadata),
            Why::Another => respond::text(StatusCode::FORBIDDEN, format!("{self}\n")),
            Why::TooMany => respond::text(StatusCode::TOO_MANY_REQUESTS, format!("{self}\n")),
        };
        if let Some(nonce) = &self.nonce {
            response.headers_mut().insert(proof::NONCE, nonce.clone());
        }
        response
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Nowhere => "there is no such endpoint",
            Why::Away(TurnedAway::Challenged(Challenge::NoToken)) => "an access token is needed",
            Why::Away(TurnedAway::Challenged(Challenge::InsufficientScope)) => {
                "the access token does not have the scope that this needs"
            }
            Why::Away(TurnedAway::Challenged(_) | TurnedAway::Token(_)) => {
                "the access token is invalid or has expired"
            }
            Why::Away(TurnedAway::NotAdmitted) => "this user may not use this profile",
            Why::Another => "the access token is another user's or another client's",
            Why::TooMany => "too many streams at once",
        })
    }
}

impl std::error::Error for Turned {}
