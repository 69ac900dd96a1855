//! Conversations: one client on one connection that carries whole messages both ways ([`Duplex`](sallyport_net::Duplex)),
//! whatever is below: standard input and output, WebSocket, framed TCP, the two halves of HTTP+SSE.
//!
//! | part | what |
//! | --- | --- |
//! | [`entrance`] | who comes in, where, and why not |
//! | [`run`] | the conversation's life: it hears, works, and ends |
//! | [`hear`] | one message: its era, and what is done about it |
//! | [`mouth`] | what is said, bounded, in one order |
//!
//! What is carried out is the same as over HTTP: the functions of [`super::legacy`] and [`super::modern`]. Different is only
//! what belongs to the transport: there is no head that mirrors the body, a legacy session belongs to its connection, and
//! `notifications/cancelled` stops requests of either era.

mod batch;
mod entrance;
mod hear;
mod mouth;
mod run;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_core::capability::TokenError;
use sallyport_core::{Principal, PrincipalKey, RequestId, Secret, Timestamp};
use sallyport_mcp::revision::Era;
use sallyport_mcp::spoken::Spoken;
use sallyport_net::Worker;
use sallyport_net::carrier::Farewell;
use sallyport_net::respond::Challenge;
use tokio_util::sync::CancellationToken;

use self::entrance::Why;
pub use self::entrance::{Credential, Entrance, Turned};
use crate::Proxy;
use crate::caller::Caller;
use crate::door::{self, TurnedAway};
use crate::proof;
use crate::running::Running;
use crate::session::Session;
use crate::standing::{self, Standing};
use crate::stream_get::Seat;
use crate::sync::lock;
use crate::world::Endpoint;

/// How the eras share a connection, and what its end means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Each message is of the era that it says (WebSocket, framed TCP). When the client leaves, what it waits for is cancelled.
    EachMessage,
    /// The first request decides for all (stdio). When the client has said its last, what runs may still end within this
    /// time.
    FirstMessage(Duration),
    /// Only revisions with `initialize` (HTTP+SSE of 2024-11-05).
    Legacy,
}

impl Manner {
    /// Whether its transport is on.
    fn is_spoken(self, spoken: Spoken) -> bool {
        self != Self::Legacy || spoken.has_http_sse()
    }
}

/// Why a conversation has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The client closed the connection, or it broke.
    Left,
    /// The client sent what is no message of the transport, or too long a one.
    Unreadable,
    /// The client does not read what it is told.
    Slow,
    /// The token has expired or was revoked, or its person is not admitted any more.
    Access,
    /// The endpoint is not there any more, or does not speak the revision or the transport any more.
    Gone,
    /// The session has reached the age at which every session ends.
    Age,
    /// The gateway stops.
    Closing,
}

/// One client on one connection. Clones are the same conversation: one runs it, others may renew its token.
#[derive(Clone)]
pub struct Conversation(Arc<Inner>);

struct Inner {
    proxy: Arc<Proxy>,
    worker: Arc<Worker>,
    /// The key of the endpoint.
    endpoint: Arc<str>,
    manner: Manner,
    peer: IpAddr,
    request: RequestId,
    key: PrincipalKey,
    identity: Mutex<Identity>,
    /// What runs, of either era, by the client's id.
    running: Arc<Running>,
    state: Mutex<State>,
    /// Cancelled when nothing new is begun any more.
    ending: CancellationToken,
    _seat: Seat,
}

/// Who the client is, for now.
struct Identity {
    principal: Arc<Principal>,
    /// `None` for the local user.
    token: Option<Secret<String>>,
    /// Whether the client has proved that it holds the key that the token is bound to.
    is_proved: bool,
}

/// How far a conversation has come.
#[derive(Default)]
struct State {
    /// The era of all that follows, where the first request decides.
    era: Option<Era>,
    /// `initialize` is being answered: what follows it waits.
    opening: bool,
    session: Option<Arc<Session>>,
}

impl Proxy {
    /// Lets a client in that speaks over a connection of its own.
    ///
    /// # Errors
    /// [`Turned`]: there is no such endpoint, the token is not good there, or the principal has too many streams.
    pub fn enter_duplex(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        entrance: Entrance,
    ) -> Result<Conversation, Turned> {
        let world = self.world.load();
        let path = entrance.path.strip_suffix('/').unwrap_or(&entrance.path);
        let place = world.at(path).ok_or_else(Turned::nowhere)?;
        let nonce = entrance.credential.is_proved().then(|| proof::fresh(self));
        let nonce = nonce.flatten();
        let turned = |why: Why| Turned::new(why, place.metadata).with_nonce(nonce.clone());
        let identity = entrance
            .credential
            .identify(self, &world, place, entrance.peer, entrance.request)
            .map_err(|away| turned(Why::Away(away)))?;
        let key = identity.principal.key();
        let seat = Seat::take(self, &key, &world.limits).map_err(|_| turned(Why::TooMany))?;
        Ok(Conversation(Arc::new(Inner {
            proxy: Arc::clone(self),
            worker: Arc::clone(worker),
            endpoint: Arc::clone(&place.endpoint.key),
            manner: entrance.manner,
            peer: entrance.peer,
            request: entrance.request,
            key,
            identity: Mutex::new(identity),
            running: Arc::default(),
            state: Mutex::default(),
            ending: CancellationToken::new(),
            _seat: seat,
        })))
    }
}

impl Conversation {
    /// Goes on under another token of the same person and client, if it lives longer.
    ///
    /// # Errors
    /// [`Turned`]: the token is not good here, or another's. The conversation goes on under the one that it has.
    pub fn renew(&self, token: &Secret<String>) -> Result<(), Turned> {
        self.renew_by(token, false)
    }

    /// The same for a token that may have come with a proof that was seen.
    pub(crate) fn renew_by(&self, token: &Secret<String>, is_proved: bool) -> Result<(), Turned> {
        let inner = &*self.0;
        let world = inner.proxy.world.load();
        let endpoint = world.endpoint(&inner.endpoint).ok_or_else(Turned::nowhere)?;
        if lock(&inner.identity).token.is_none() {
            return Ok(());
        }
        let challenged = |kind| Turned::new(Why::Away(TurnedAway::Challenged(kind)), "");
        let text = door::well_formed(token.expose()).map_err(challenged)?;
        let now = inner.proxy.books.clock.now();
        let verified = verify(&inner.proxy, (text, is_proved), endpoint, now);
        let principal = verified.map_err(|_| challenged(Challenge::InvalidToken))?;
        if !principal.scopes.open_anything() {
            return Err(challenged(Challenge::InsufficientScope));
        }
        if principal.key() != inner.key {
            return Err(Turned::new(Why::Another, ""));
        }
        let mut identity = lock(&inner.identity);
        if principal.expires > identity.principal.expires {
            *identity = Identity {
                principal,
                token: Some(Secret::from(text)),
                is_proved,
            };
        }
        Ok(())
    }
}

/// Who a token is of, which may be bound to a key if the proof was seen.
fn verify(
    proxy: &Proxy,
    (token, is_proved): (&str, bool),
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<Arc<Principal>, TokenError> {
    if is_proved {
        let verified = proxy.verifier.verify_any(token, &endpoint.resources, now)?;
        return Ok(verified.principal);
    }
    proxy.verifier.verify(token, &endpoint.resources, now)
}

impl Conversation {
    /// Why the connection would be closed now, as the client is told.
    #[must_use]
    pub fn farewell(&self) -> Farewell {
        if self.0.proxy.closing.is_cancelled() {
            Farewell::Away
        } else if self.0.caller().is_err() {
            Farewell::Policy
        } else {
            Farewell::Done
        }
    }
}

impl Inner {
    /// Who makes the next request: the endpoint, the bounds and the person as they now are.
    ///
    /// # Errors
    /// Why there is no next request.
    fn caller(&self) -> Result<Arc<Caller>, Ended> {
        let world = self.proxy.world.load();
        let endpoint = world.endpoint(&self.endpoint).ok_or(Ended::Gone)?;
        let principal = self.principal(endpoint).ok_or(Ended::Access)?;
        if !endpoint.rules.users.admits(principal.user.as_str()) {
            return Err(Ended::Access);
        }
        let spoken = endpoint.spoken();
        let is_off = |session: &Arc<Session>| !spoken.has(session.view.revision);
        if self.session().as_ref().is_some_and(is_off) || !self.manner.is_spoken(spoken) {
            return Err(Ended::Gone);
        }
        let now = self.proxy.books.clock.now();
        let is_too_old = |session: &Arc<Session>| session.is_too_old(now, &world.limits);
        if self.session().as_ref().is_some_and(is_too_old) {
            return Err(Ended::Age);
        }
        let at = standing::Place {
            proxy: &self.proxy,
            endpoint,
            limits: world.limits,
            worker: &self.worker,
            peer: self.peer,
        };
        Ok(Arc::new(Caller {
            standing: Arc::new(Standing::new(&at, principal, self.key.clone())),
            request: self.request,
            arrived: now,
            nonce: None,
            calls: self.proxy.turnout.calls(),
        }))
    }

    fn principal(&self, endpoint: &Endpoint) -> Option<Arc<Principal>> {
        let identity = lock(&self.identity);
        let Some(token) = &identity.token else {
            return Some(Arc::clone(&identity.principal));
        };
        let now = self.proxy.books.clock.now();
        let shown = (token.expose().as_str(), identity.is_proved);
        verify(&self.proxy, shown, endpoint, now).ok()
    }

    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.state).session.clone()
    }
}
