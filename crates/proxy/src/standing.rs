//! What one request after the other has in common: who makes it, where, and within what bounds. It is found out once for a
//! head that comes again, and looked at again when anything of it may have changed.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use http::HeaderMap;
use sallyport_core::audit::Who;
use sallyport_core::{Principal, PrincipalKey, Timestamp};
use sallyport_mcp::mirror::HeaderField;
use sallyport_net::{Inbound, Worker};

use crate::Proxy;
use crate::caller::Modern;
use crate::door;
use crate::front::sse::Half;
use crate::head::{Accept, Fields};
use crate::limits::Account;
use crate::session::Session;
use crate::spec::ProxyLimits;
use crate::sync::lock;
use crate::world::{Endpoint, World};

/// Who makes requests, and where.
pub(crate) struct Standing {
    /// The whole.
    pub(crate) proxy: Arc<Proxy>,
    /// The endpoint as it was when the request came.
    pub(crate) endpoint: Arc<Endpoint>,
    /// The bounds as they were.
    pub(crate) limits: ProxyLimits,
    /// The thread that serves it.
    pub(crate) worker: Arc<Worker>,
    /// Who calls.
    pub(crate) principal: Arc<Principal>,
    /// What state is bound to.
    pub(crate) key: PrincipalKey,
    /// What the principal has open.
    pub(crate) account: Account,
    /// The peer's address.
    pub(crate) peer: IpAddr,
    /// The forms of answer that the client takes.
    pub(crate) accept: Accept,
    /// Whether the body is announced as JSON.
    pub(crate) is_json: bool,
    /// The half of HTTP+SSE that is spoken to, if it is that.
    pub(crate) half: Option<Half>,
    /// What the head says that messages are compared with; nothing where there is no head.
    pub(crate) fields: Option<Arc<Fields>>,
    /// The session that the head names, once it was found.
    session: Mutex<Weak<Session>>,
    /// The client as its last request has described it, in the modern era.
    modern: Mutex<Option<Arc<Modern>>>,
    /// What all records have in common, once there is one.
    who: OnceLock<Who>,
}

/// What a standing is made from.
pub(crate) struct Place<'a> {
    pub(crate) proxy: &'a Arc<Proxy>,
    pub(crate) endpoint: &'a Arc<Endpoint>,
    pub(crate) limits: ProxyLimits,
    pub(crate) worker: &'a Arc<Worker>,
    pub(crate) peer: IpAddr,
}

impl Standing {
    /// Of this person, by a transport that takes every form of answer.
    pub(crate) fn new(place: &Place<'_>, principal: Arc<Principal>, key: PrincipalKey) -> Self {
        Self {
            proxy: Arc::clone(place.proxy),
            endpoint: Arc::clone(place.endpoint),
            limits: place.limits,
            worker: Arc::clone(place.worker),
            account: place.proxy.usage.account(&key),
            principal,
            key,
            peer: place.peer,
            accept: Accept::ALL,
            is_json: true,
            half: None,
            fields: None,
            session: Mutex::default(),
            modern: Mutex::default(),
            who: OnceLock::new(),
        }
    }

    /// The same at another endpoint.
    pub(crate) fn at(&self, endpoint: Arc<Endpoint>) -> Self {
        Self {
            proxy: Arc::clone(&self.proxy),
            endpoint,
            limits: self.limits,
            worker: Arc::clone(&self.worker),
            principal: Arc::clone(&self.principal),
            key: self.key.clone(),
            account: self.account.clone(),
            peer: self.peer,
            accept: self.accept,
            is_json: self.is_json,
            half: self.half,
            fields: self.fields.clone(),
            session: Mutex::new(lock(&self.session).clone()),
            modern: Mutex::new(self.described()),
            who: self.who.clone(),
        }
    }

    /// What the head of the request has under a name.
    pub(crate) fn field<'h>(&'h self, headers: &'h HeaderMap, name: &str) -> HeaderField<'h> {
        let known = self.fields.as_ref().and_then(|fields| fields.get(name));
        known.unwrap_or_else(|| door::field(headers, name))
    }

    /// The session that the head names, if it was found before and is still in memory.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).upgrade()
    }

    /// The client as its last request has described it.
    pub(crate) fn described(&self) -> Option<Arc<Modern>> {
        lock(&self.modern).clone()
    }

    /// A request describes the client otherwise than the one before.
    pub(crate) fn describe(&self, client: &Arc<Modern>) {
        *lock(&self.modern) = Some(Arc::clone(client));
    }

    /// Who calls, as records have it.
    pub(crate) fn who(&self) -> &Who {
        self.who
            .get_or_init(|| Who::new(&self.principal, self.endpoint.profile(), self.peer))
    }

    /// The head names this session.
    pub(crate) fn found(&self, session: &Arc<Session>) {
        *lock(&self.session) = Arc::downgrade(session);
    }
}

/// The standing of a head's request, kept for the next request with the same head.
pub(crate) struct Kept {
    standing: Arc<Standing>,
    /// What everything was decided by.
    world: Weak<World>,
    /// What [`VerifyToken::revocations`](sallyport_core::capability::VerifyToken::revocations) said before the token was
    /// verified.
    revocations: u64,
}

impl Kept {
    /// Keeps the standing of a request, if nobody but the clock, the world and the revocations can end it. `revocations`
    /// was read before the request was let in.
    pub(crate) fn keep(standing: &Arc<Standing>, world: &Arc<World>, inbound: &Inbound, revocations: u64) {
        if standing.proxy.verifier.stands(&standing.principal) {
            inbound.memo.keep(Arc::new(Self {
                standing: Arc::clone(standing),
                world: Arc::downgrade(world),
                revocations,
            }));
        }
    }

    /// The standing of the request before with the same head, if the same would be found out again.
    pub(crate) fn recall(
        world: &Arc<World>,
        worker: &Arc<Worker>,
        inbound: &Inbound,
        now: Timestamp,
    ) -> Option<Arc<Standing>> {
        let kept = inbound.memo.recall::<Self>()?;
        let standing = &kept.standing;
        let is_same = std::ptr::eq(kept.world.as_ptr(), Arc::as_ptr(world))
            && kept.revocations == standing.proxy.verifier.revocations()
            && now < standing.principal.expires
            && standing.peer == inbound.peer.ip()
            && Arc::ptr_eq(&standing.worker, worker);
        is_same.then(|| Arc::clone(standing))
    }
}
