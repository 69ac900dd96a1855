//! Which legacy sessions that are not in memory may come back, over restarts too, and until when.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_core::session::{
    KeepSessions, KnownSession, KnownSessions, SessionChanges, SessionNonce, SessionsNotKept,
};
use sallyport_core::{PrincipalKey, Timestamp};

use crate::session::Sessions;
use crate::spec::ProxyLimits;
use crate::sync::lock;

/// How often what has changed is written.
pub(crate) const WRITE: Duration = Duration::from_secs(60);

/// How exactly it is written when a session was last used: one that is used all day is written four times an hour.
const EXACT: Duration = Duration::from_secs(15 * 60);

/// A session that was opened longer ago than this is in memory by now.
const OPENING: Duration = Duration::from_secs(10);

/// So many sessions of one principal wait outside of memory for each that may be in it. A client that has forgotten
/// more than that does not remember their ids either.
const AWAY: usize = 4;

/// The sessions outside of memory.
pub(crate) struct Kept {
    keeper: Arc<dyn KeepSessions>,
    /// Since when every session that is opened is known.
    started: Timestamp,
    /// Up to when every session that was opened before is known.
    complete_to: Option<Timestamp>,
    inner: Mutex<Inner>,
}

/// A session that is not in memory.
#[derive(Clone, Copy)]
struct Away {
    created: Timestamp,
    used: Timestamp,
    /// Whether it has been written, and whether as it is.
    is_written: bool,
    has_changed: bool,
    /// It is on its way into memory, and does not count.
    returns: bool,
}

#[derive(Default)]
struct Inner {
    away: HashMap<PrincipalKey, HashMap<SessionNonce, Away>>,
    /// Ended ones of the time of which not all are known.
    ended: HashSet<SessionNonce>,
    /// What is to be written.
    gone: Vec<(PrincipalKey, SessionNonce)>,
}

impl Kept {
    /// Starts with what an earlier process has kept.
    pub(crate) fn new(keeper: Arc<dyn KeepSessions>, known: KnownSessions, now: Timestamp) -> Self {
        let mut inner = Inner::default();
        for session in known.live {
            let own = inner.away.entry(session.owner).or_default();
            let away = Away {
                created: session.created,
                used: session.used,
                is_written: true,
                has_changed: false,
                returns: false,
            };
            own.insert(session.nonce, away);
        }
        inner.ended.extend(known.ended);
        Self {
            keeper,
            started: now,
            complete_to: known.complete_to,
            inner: Mutex::new(inner),
        }
    }

    /// Whether a session that is not in memory may be used at `now`. It has to be taken in afterwards ([`Self::take`]).
    pub(crate) fn admits(&self, session: &KnownSession, now: Timestamp, limits: &ProxyLimits) -> bool {
        let KnownSession { owner, nonce, .. } = session;
        let mut inner = lock(&self.inner);
        let away = inner.away.get(owner).and_then(|own| own.get(nonce)).copied();
        let away = match away {
            Some(away) => away,
            // When it was used is not known, but that was before the start.
            None if self.is_of_the_gap(session.created) && !inner.ended.contains(nonce) => Away {
                created: session.created,
                used: self.started,
                is_written: false,
                has_changed: true,
                returns: true,
            },
            None => return false,
        };
        let admits = now.since(away.used) <= limits.session_idle;
        if admits {
            let own = inner.away.entry(owner.clone()).or_default();
            let returns = true;
            own.insert(*nonce, Away { returns, ..away });
        }
        admits
    }

    /// There was no room in memory for a session that was admitted.
    pub(crate) fn stays(&self, owner: &PrincipalKey, nonce: &SessionNonce) {
        let mut inner = lock(&self.inner);
        let own = inner.away.get_mut(owner);
        if let Some(away) = own.and_then(|own| own.get_mut(nonce)) {
            away.returns = false;
        }
    }

    /// Takes a session into memory, and says whether it has been written. `None` if it has ended since it was admitted.
    pub(crate) fn take(&self, owner: &PrincipalKey, nonce: &SessionNonce) -> Option<bool> {
        let away = lock(&self.inner).remove(owner, nonce)?;
        Some(away.is_written)
    }

    /// A session leaves memory; it may come back.
    pub(crate) fn leaves(&self, session: &KnownSession, is_written: bool, limits: &ProxyLimits) {
        let mut inner = lock(&self.inner);
        let own = inner.away.entry(session.owner.clone()).or_default();
        let away = Away {
            created: session.created,
            used: session.used,
            is_written,
            has_changed: true,
            returns: false,
        };
        own.insert(session.nonce, away);
        let waiting = || own.iter().filter(|(_, away)| !away.returns);
        if waiting().count() > limits.sessions_per_principal.saturating_mul(AWAY) {
            let oldest = waiting().min_by_key(|(_, away)| away.used);
            if let Some((oldest, created)) = oldest.map(|(nonce, away)| (*nonce, away.created)) {
                if self.is_of_the_gap(created) {
                    inner.ended.insert(oldest);
                }
                inner.end(&session.owner, oldest, false);
            }
        }
    }

    /// A session ends for good. It is written with the next changes.
    pub(crate) fn ends(&self, session: &KnownSession, is_written: bool) {
        let mut inner = lock(&self.inner);
        if self.is_of_the_gap(session.created) {
            inner.ended.insert(session.nonce);
        }
        inner.end(&session.owner, session.nonce, is_written);
    }

    /// Writes that a session has ended.
    ///
    /// # Errors
    /// [`SessionsNotKept`]: it has ended all the same, until a restart.
    pub(crate) async fn ended(&self, session: KnownSession) -> Result<(), SessionsNotKept> {
        self.keeper.end(session).await
    }

    /// Ends those that nobody has used for too long.
    pub(crate) fn sweep(&self, now: Timestamp, limits: &ProxyLimits) {
        let mut inner = lock(&self.inner);
        let mut idle = Vec::new();
        for (owner, own) in &inner.away {
            let old = own
                .iter()
                .filter(|(_, away)| now.since(away.used) > limits.session_idle);
            idle.extend(old.map(|(nonce, _)| (owner.clone(), *nonce)));
        }
        for (owner, nonce) in idle {
            inner.end(&owner, nonce, false);
        }
    }

    /// Writes what has changed; when that fails, it is tried again with the next changes.
    pub(crate) async fn write(&self, sessions: &Sessions, now: Timestamp, limits: &ProxyLimits) {
        let exact = EXACT.min(limits.session_idle / 4);
        let mut used = Vec::new();
        sessions.each(|session| {
            if session.is_to_be_written(exact) {
                used.push((Arc::clone(session), session.known()));
            }
        });
        let (away, gone) = lock(&self.inner).changed();
        if used.is_empty() && away.is_empty() && gone.is_empty() {
            return;
        }
        let mut all: Vec<_> = used.iter().map(|(_, known)| known.clone()).collect();
        all.extend_from_slice(&away);
        let changes = SessionChanges {
            complete_to: now.minus(OPENING),
            used: all,
            gone: gone.clone(),
        };
        match self.keeper.keep(changes).await {
            Ok(()) => {
                for (session, known) in used {
                    session.is_written_as_used(known.used);
                }
                lock(&self.inner).are_written(&away);
            }
            Err(SessionsNotKept) => lock(&self.inner).gone.extend(gone),
        }
    }

    /// Whether of the sessions of this time not all are known: the last minute of the process before this one.
    fn is_of_the_gap(&self, created: Timestamp) -> bool {
        created <= self.started && self.complete_to.is_none_or(|complete_to| created > complete_to)
    }
}

impl Inner {
    fn remove(&mut self, owner: &PrincipalKey, nonce: &SessionNonce) -> Option<Away> {
        let own = self.away.get_mut(owner)?;
        let away = own.remove(nonce);
        if own.is_empty() {
            self.away.remove(owner);
        }
        away
    }

    /// Ends a session. What was never written need not be taken back.
    fn end(&mut self, owner: &PrincipalKey, nonce: SessionNonce, is_written: bool) {
        let away = self.remove(owner, &nonce);
        if is_written || away.is_some_and(|away| away.is_written) {
            self.gone.push((owner.clone(), nonce));
        }
    }

    /// What has to be written of the sessions that are away, and those that are gone.
    fn changed(&mut self) -> (Vec<KnownSession>, Vec<(PrincipalKey, SessionNonce)>) {
        let each = self.away.iter().flat_map(|(owner, own)| {
            let changed = own.iter().filter(|(_, away)| away.has_changed);
            changed.map(|(nonce, away)| KnownSession {
                owner: owner.clone(),
                nonce: *nonce,
                created: away.created,
                used: away.used,
            })
        });
        (each.collect(), std::mem::take(&mut self.gone))
    }

    fn are_written(&mut self, sessions: &[KnownSession]) {
        for KnownSession {
            owner, nonce, used, ..
        } in sessions
        {
            let away = self.away.get_mut(owner).and_then(|own| own.get_mut(nonce));
            if let Some(away) = away.filter(|away| away.used == *used) {
                (away.is_written, away.has_changed) = (true, false);
            }
        }
    }
}
