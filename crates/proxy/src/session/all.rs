//! All sessions in memory: opened, found, brought back, and let go.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::capability::{Purpose, SealState};
use sallyport_core::map::{Map, Seed};
use sallyport_core::session::{SessionNonce, SessionsUnavailable};
use sallyport_core::{PrincipalKey, Random, Timestamp};
use sallyport_mcp::capabilities::ClientCapabilities;
use sallyport_mcp::revision::Revision;
use sallyport_mcp::session::SessionSeal;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::kept::{Admitted, Kept};
use super::{NEVER, Session, wishes};
use crate::ask::Questions;
use crate::exchange::{ClientView, Lasting};
use crate::hub::SessionEars;
use crate::metrics::Gauge;
use crate::record::Books;
use crate::replay::Journal;
use crate::spec::ProxyLimits;
use crate::stream::Outbox;
use crate::sync::lock;
use crate::tasks::Hears;

const SHARDS: usize = 16;

/// How long a session stays in memory that nobody uses: a working day. Its id brings it back, and costs a moment.
const IN_MEMORY: Duration = Duration::from_secs(8 * 3600);

/// The sessions of one principal, by id.
type Own = Map<Arc<str>, Arc<Session>>;

/// All sessions in memory.
pub(crate) struct Sessions {
    shards: [Mutex<Map<PrincipalKey, Own>>; SHARDS],
    hasher: Seed,
    kept: Kept,
    gone: mpsc::UnboundedSender<ClientView>,
    sealer: Arc<dyn SealState>,
    random: Arc<dyn Random>,
    books: Books,
    hears: Hears,
}

/// The principal has too many sessions, and all of them are busy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooManySessions;

/// A session that its client has come back to.
pub(crate) struct Reopened {
    pub(crate) session: Arc<Session>,
    /// What its client had asked for, sealed, for whoever has brought it back.
    pub(crate) wishes: Option<String>,
}

/// What opens a session.
pub(crate) struct Opening<'a> {
    pub(crate) owner: &'a PrincipalKey,
    pub(crate) endpoint: &'a Arc<str>,
    pub(crate) revision: Revision,
    pub(crate) info: Option<Vec<u8>>,
    pub(crate) capabilities: Vec<u8>,
    /// Whether its client learns the id, and can come back with it.
    pub(crate) is_named: bool,
}

impl Sessions {
    /// No session yet. The clients of those that leave memory are sent to `gone`, so that what servers hold for them
    /// can be let go.
    pub(crate) fn new(
        sealer: Arc<dyn SealState>,
        random: Arc<dyn Random>,
        books: Books,
        hears: Hears,
        (kept, gone): (Kept, mpsc::UnboundedSender<ClientView>),
    ) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: Seed::default(),
            kept,
            gone,
            sealer,
            random,
            books,
            hears,
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`TooManySessions`] when the principal's are all busy.
    pub(crate) fn open(
        &self,
        opening: Opening<'_>,
        limits: &ProxyLimits,
    ) -> Result<Arc<Session>, TooManySessions> {
        let mut nonce = [0; 16];
        self.random.fill(&mut nonce);
        let seal = SessionSeal {
            endpoint: opening.endpoint.to_string(),
            revision: opening.revision,
            client_info: opening.info,
            capabilities: opening.capabilities,
            nonce,
            created: self.books.clock.now(),
        };
        let binding = binding(opening.owner, opening.endpoint);
        let id = self.sealer.seal(Purpose::Session, &binding, &seal.encode());
        let lasting = opening.is_named.then_some(false);
        let session = self.build(&id, (opening.owner, opening.endpoint), seal, lasting);
        self.insert(Arc::new(session), limits)
    }

    /// The session of this id, if it is in memory, this principal's, of this endpoint, and has not ended. If there is none,
    /// [`Self::reopen`] may find one.
    pub(crate) fn find(
        &self,
        owner: &PrincipalKey,
        endpoint: &Arc<str>,
        id: &str,
        limits: &ProxyLimits,
    ) -> Option<Arc<Session>> {
        let now = self.books.clock.now();
        let known = lock(self.shard(owner))
            .get(owner)
            .and_then(|own| own.get(id).cloned());
        let session = known.filter(|session| session.endpoint == *endpoint)?;
        if session.is_too_old(now, limits) || session.is_forsaken(now, limits) {
            self.end(&session);
            return None;
        }
        session.seen.store(now.as_millis(), Ordering::Relaxed);
        Some(session)
    }

    /// Whether a session that was found before would be found again: it counts as used.
    pub(crate) fn goes_on(&self, session: &Session, now: Timestamp, limits: &ProxyLimits) -> bool {
        let goes_on = !session.over.load(Ordering::Acquire)
            && !session.is_too_old(now, limits)
            && !session.is_forsaken(now, limits);
        if goes_on {
            session.seen.store(now.as_millis(), Ordering::Relaxed);
        }
        goes_on
    }

    /// Takes a session up from its id, if that is this principal's, of this endpoint, and has not ended: after a restart,
    /// after a long silence, and where another process has opened it.
    ///
    /// # Errors
    /// [`SessionsUnavailable`] when it cannot be found out whether it has ended.
    pub(crate) async fn reopen(
        &self,
        owner: &PrincipalKey,
        endpoint: &Arc<str>,
        id: &str,
        limits: &ProxyLimits,
    ) -> Result<Option<Reopened>, SessionsUnavailable> {
        let binding = binding(owner, endpoint);
        let plain = self.sealer.open(Purpose::Session, &binding, id);
        let Some(seal) = plain.as_deref().and_then(SessionSeal::decode) else {
            return Ok(None);
        };
        let session = self.build(id, (owner, endpoint), seal, Some(true));
        let now = session.last_used();
        if session.is_too_old(now, limits) {
            return Ok(None);
        }
        let Some(Admitted { wishes }) = self.kept.admits(&session.known(), now, limits).await? else {
            return Ok(None);
        };
        let session = Arc::new(session);
        let inserted = self.insert(Arc::clone(&session), limits).ok();
        Ok(inserted.map(|present| Reopened {
            wishes: wishes.filter(|_| Arc::ptr_eq(&present, &session)),
            session: present,
        }))
    }

    /// A session of this id. `has_come_back` says whether its client has come back to it; nothing where it cannot.
    fn build(
        &self,
        id: &str,
        (owner, endpoint): (&PrincipalKey, &Arc<str>),
        seal: SessionSeal,
        has_come_back: Option<bool>,
    ) -> Session {
        let nonce: String = seal.nonce.iter().map(|b| format!("{b:02x}")).collect();
        let outbox = Arc::new(Outbox::default());
        Session {
            id: id.into(),
            ears: Arc::new(SessionEars {
                questions: Questions::new(&outbox),
                outbox,
                can: ClientCapabilities::parse(&seal.capabilities),
                follows: Mutex::default(),
                random: Arc::clone(&self.random),
                hears: self.hears.clone(),
            }),
            view: ClientView {
                principal: owner.clone(),
                session: Some(nonce.into()),
                lasting: has_come_back.map(|has_come_back| Lasting {
                    nonce: seal.nonce,
                    has_come_back,
                }),
                revision: seal.revision,
                info: seal.client_info.map(Bytes::from),
                capabilities: seal.capabilities.into(),
            },
            running: Arc::default(),
            followed: Mutex::default(),
            linked: Mutex::default(),
            endpoint: Arc::clone(endpoint),
            nonce: seal.nonce,
            created: seal.created,
            written: AtomicI64::new(NEVER),
            seen: AtomicI64::new(self.books.clock.now().as_millis()),
            level: Mutex::default(),
            wishes_changed: AtomicBool::new(false),
            journal: Journal::new(&*self.random),
            cancel: CancellationToken::new(),
            over: AtomicBool::new(false),
        }
    }

    /// Puts a session in its place, unless another request has just done so; the oldest idle one of the same principal
    /// makes room.
    fn insert(&self, session: Arc<Session>, limits: &ProxyLimits) -> Result<Arc<Session>, TooManySessions> {
        let owner = &session.view.principal;
        let mut evicted = Vec::new();
        {
            let mut shard = lock(self.shard(owner));
            let own = shard.entry(owner.clone()).or_default();
            if let Some(twin) = own.get(&session.id) {
                return Ok(Arc::clone(twin));
            }
            while own.len() >= limits.sessions_per_principal.max(1) {
                let idle = own.values().filter(|session| session.is_idle());
                let oldest = idle.min_by_key(|session| session.seen.load(Ordering::Relaxed));
                let oldest = Arc::clone(&oldest.ok_or(TooManySessions)?.id);
                if let Some(oldest) = own.remove(&oldest) {
                    self.leaves(&oldest);
                    evicted.push(oldest);
                }
            }
            own.insert(Arc::clone(&session.id), Arc::clone(&session));
        }
        self.books.metrics.gauge(&Gauge::Sessions, 1);
        self.let_go(&evicted);
        Ok(session)
    }

    /// Ends a session whose id nobody has, or which is too old.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        self.remove(session);
        self.kept.ends(session.known(), session.is_written());
    }

    /// Ends a session for good, in all processes and over restarts.
    ///
    /// # Errors
    /// [`SessionsUnavailable`]: it goes on.
    pub(crate) async fn end_durably(&self, session: &Arc<Session>) -> Result<(), SessionsUnavailable> {
        let mut known = session.known();
        known.used = self.books.clock.now();
        self.kept.end(known).await?;
        self.remove(session);
        Ok(())
    }

    /// Another process has ended a session.
    pub(crate) fn has_ended(&self, owner: &PrincipalKey, nonce: &SessionNonce) {
        let found = lock(self.shard(owner)).get(owner).and_then(|own| {
            let mut sessions = own.values();
            sessions.find(|session| session.nonce == *nonce).cloned()
        });
        if let Some(session) = found {
            self.remove(&session);
        }
    }

    /// Learns what other processes have ended, and writes what has changed.
    pub(crate) async fn look(&self, limits: &ProxyLimits) {
        self.kept
            .look(self, &*self.sealer, (self.books.clock.now(), limits))
            .await;
    }

    fn remove(&self, session: &Arc<Session>) {
        let owner = &session.view.principal;
        let removed = {
            let mut shard = lock(self.shard(owner));
            let own = shard.entry(owner.clone()).or_default();
            let is_it = own.get(&session.id).is_some_and(|it| Arc::ptr_eq(it, session));
            let removed = is_it.then(|| own.remove(&session.id)).flatten();
            if own.is_empty() {
                shard.remove(owner);
            }
            removed
        };
        if removed.is_some() {
            self.let_go(std::slice::from_ref(session));
        }
    }

    /// Takes idle sessions out of memory. Their ids open them again, until nobody has used them for too long. What is kept of
    /// the event streams of the others is forgotten in time.
    pub(crate) fn sweep(&self, limits: &ProxyLimits) {
        let now = self.books.clock.now();
        let mut idle = Vec::new();
        for shard in &self.shards {
            lock(shard).retain(|_, own| {
                own.retain(|_, session| {
                    session.journal.tidy(now, &limits.replay);
                    let keep = self.stays(session, now, limits);
                    if !keep {
                        idle.push(Arc::clone(session));
                    }
                    keep
                });
                !own.is_empty()
            });
        }
        self.let_go(&idle);
    }

    /// Whether a session stays in memory.
    fn stays(&self, session: &Session, now: Timestamp, limits: &ProxyLimits) -> bool {
        if !session.is_idle() {
            session.seen.store(now.as_millis(), Ordering::Relaxed);
            return true;
        }
        let silent = now.since(session.last_used());
        if silent > limits.session_idle {
            self.kept.ends(session.known(), session.is_written());
        } else if silent > IN_MEMORY {
            self.leaves(session);
        } else {
            return true;
        }
        false
    }

    /// A session leaves memory, and may come back.
    fn leaves(&self, session: &Session) {
        if session.view.lasting.is_some() {
            self.kept.leaves(wishes::known(session, &*self.sealer));
        }
    }

    /// Visits every session in memory.
    pub(crate) fn each(&self, mut visit: impl FnMut(&Arc<Session>)) {
        for shard in &self.shards {
            lock(shard).values().flat_map(Own::values).for_each(&mut visit);
        }
    }

    fn let_go(&self, sessions: &[Arc<Session>]) {
        for session in sessions {
            session.end();
            self.books.metrics.gauge(&Gauge::Sessions, -1);
            // Nobody listens any more only when the proxy itself goes away.
            let _ = self.gone.send(session.view.clone());
        }
    }

    fn shard(&self, owner: &PrincipalKey) -> &Mutex<Map<PrincipalKey, Own>> {
        let place = usize::try_from(self.hasher.hash_one(owner) % SHARDS as u64).unwrap_or(0);
        self.shards.get(place).unwrap_or(&self.shards[0])
    }
}

/// A session belongs to one person through one client at one endpoint (IS-02).
fn binding(owner: &PrincipalKey, endpoint: &str) -> String {
    format!("{endpoint} {owner}")
}
