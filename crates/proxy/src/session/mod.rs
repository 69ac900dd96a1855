//! Legacy sessions: sealed ids that outlive a restart, and what is kept in memory while they are in use.

mod all;
pub(crate) mod kept;
pub(crate) mod wishes;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_core::session::{KnownSession, SessionNonce};
use sallyport_core::{ServerName, Timestamp};
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::revision::Revision;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::exchange::ClientView;
use crate::hub::SessionEars;
use crate::replay::Journal;
use crate::running::Running;
use crate::spec::ProxyLimits;
use crate::sync::lock;

pub(crate) use all::{Opening, Reopened, Sessions};

/// What stands for the time of a write that has not been.
const NEVER: i64 = i64::MIN;

/// One legacy session.
pub(crate) struct Session {
    /// The sealed id, as the client sends it.
    pub(crate) id: Arc<str>,
    /// What servers may know of the client.
    pub(crate) view: ClientView,
    /// What it hears outside of requests, what it has been asked, what the client can do.
    pub(crate) ears: Arc<SessionEars>,
    /// Its running requests.
    pub(crate) running: Arc<Running>,
    /// The resources it follows, by visible URI; dropping a value ends the subscription at the server.
    pub(crate) followed: Mutex<HashMap<Box<str>, AbortOnDropHandle<()>>>,
    /// The servers that it has used.
    linked: Mutex<BTreeSet<ServerName>>,
    endpoint: Arc<str>,
    nonce: SessionNonce,
    created: Timestamp,
    seen: AtomicI64,
    /// The last use that has been written.
    written: AtomicI64,
    /// The level of `logging/setLevel`; every call bears it.
    level: Mutex<Option<LogLevel>>,
    /// That, or what it follows, is otherwise than it was written.
    wishes_changed: AtomicBool,
    /// Its event streams, as far as they can be resumed.
    pub(crate) journal: Journal,
    cancel: CancellationToken,
    /// It is in memory no longer: its id may open it again, but not as this one.
    over: AtomicBool,
}

impl Session {
    /// Sets the level of `logging/setLevel`.
    pub(crate) fn set_level(&self, level: LogLevel) {
        *lock(&self.level) = Some(level);
        self.wishes_change();
    }

    /// What its client wishes of it has changed.
    pub(crate) fn wishes_change(&self) {
        self.wishes_changed.store(true, Ordering::Release);
    }

    /// Whether that is so since this was last asked.
    pub(crate) fn takes_changed_wishes(&self) -> bool {
        self.wishes_changed.swap(false, Ordering::AcqRel)
    }

    /// The level, if one was set.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        *lock(&self.level)
    }

    /// Notes that the session uses a server.
    pub(crate) fn note_link(&self, server: &ServerName) {
        let mut linked = lock(&self.linked);
        if !linked.contains(server) {
            linked.insert(server.clone());
        }
    }

    /// The servers that the session has used.
    pub(crate) fn linked(&self) -> Vec<ServerName> {
        lock(&self.linked).iter().cloned().collect()
    }

    /// The endpoint that the session was opened at.
    pub(crate) fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    /// Whether its event streams begin with an id to resume after; older clients take that for a message.
    pub(crate) fn primes(&self) -> bool {
        self.view.revision >= Revision::V2025_11_25
    }

    /// Whether it is older than any session may be.
    pub(crate) fn is_too_old(&self, now: Timestamp, limits: &ProxyLimits) -> bool {
        now.since(self.created) > limits.session_absolute
    }

    /// Whether nobody has used it for longer than a session may lie idle.
    fn is_forsaken(&self, now: Timestamp, limits: &ProxyLimits) -> bool {
        now.since(self.last_used()) > limits.session_idle && self.is_idle()
    }

    fn last_used(&self) -> Timestamp {
        Timestamp::from_millis(self.seen.load(Ordering::Relaxed))
    }

    fn is_written(&self) -> bool {
        self.written.load(Ordering::Relaxed) != NEVER
    }

    /// What is kept of it over restarts.
    pub(crate) fn known(&self) -> KnownSession {
        KnownSession {
            owner: self.view.principal.clone(),
            nonce: self.nonce,
            created: self.created,
            used: self.last_used(),
            wishes: None,
        }
    }

    /// Whether its client can come back to it, and what is kept of it is older than `exact` or lacks something.
    pub(crate) fn is_to_be_written(&self, exact: Duration) -> bool {
        let written = Timestamp::from_millis(self.written.load(Ordering::Relaxed));
        let is_old = !self.is_written() || self.last_used().since(written) >= exact;
        self.view.lasting.is_some() && (is_old || self.wishes_changed.load(Ordering::Acquire))
    }

    /// Notes that it has been written as last used then.
    pub(crate) fn is_written_as_used(&self, used: Timestamp) {
        self.written.store(used.as_millis(), Ordering::Relaxed);
    }

    /// Resolves when the session has ended.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.cancel
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && !self.ears.outbox.is_open()
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.cancel.cancel();
        self.running.cancel_all();
        self.ears.outbox.close();
        self.journal.clear();
        lock(&self.followed).clear();
    }
}
