//! Which legacy sessions that are not in this process's memory may be taken into it.
//!
//! An id can come to a process that has never seen it: after a restart, after a long silence, or because another process
//! has opened the session. What all of them know of sessions is in the store; a session that is so new that nobody has
//! written of it yet is good by its seal alone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sallyport_core::capability::SealState;
use sallyport_core::session::{
    Fate, KeepSessions, KnownSession, SessionChanges, SessionNonce, SessionsUnavailable,
};
use sallyport_core::{PrincipalKey, Timestamp};

use super::{Sessions, wishes};
use crate::at_servers::ServerSessions;
use crate::spec::ProxyLimits;
use crate::sync::lock;

/// How often what has changed is written, and what other processes have ended is learned.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// How exactly it is written when a session was last used: one that is used all day is written four times an hour.
const EXACT: Duration = Duration::from_secs(15 * 60);

/// A session of which nothing has been written is good for so long: many times [`LOOK`], so that a process that is killed
/// or cannot write for a moment loses none.
const UNWRITTEN: Duration = Duration::from_secs(60);

/// What other processes have ended is asked for from so long before the last look, for writes that took their time.
const OVERLAP: Duration = Duration::from_secs(10);

/// So many sessions of one principal are kept for each that may be in memory. A client that has forgotten more than that
/// does not remember their ids either.
const KEPT: usize = 5;

/// So many sessions that have left memory wait to be written; more are not, and end when they are older than
/// [`UNWRITTEN`]. Some 4 MB.
const AWAY: usize = 16 * 1024;

/// So many that need not be kept any more wait to be forgotten; more are forgotten when nobody has used them for
/// [`ProxyLimits::session_idle`]. Some 1 MB.
const GONE: usize = 16 * 1024;

/// The sessions outside of memory.
pub(crate) struct Kept {
    keeper: Arc<dyn KeepSessions>,
    at_servers: Option<Arc<ServerSessions>>,
    inner: Mutex<Inner>,
    failing: AtomicBool,
}

/// A session may be used.
pub(crate) struct Admitted {
    /// What its client has asked for that lasts, sealed.
    pub(crate) wishes: Option<String>,
}

#[derive(Default)]
struct Inner {
    /// Those that have left memory since the last write.
    away: HashMap<SessionNonce, KnownSession>,
    /// Those that need not be kept any more.
    gone: Vec<(PrincipalKey, SessionNonce)>,
    /// Up to when it is known what has been ended.
    looked: Option<Timestamp>,
}

impl Inner {
    /// These need not be kept any more.
    fn goes(&mut self, gone: impl IntoIterator<Item = (PrincipalKey, SessionNonce)>) {
        let room = GONE.saturating_sub(self.gone.len());
        self.gone.extend(gone.into_iter().take(room));
    }
}

impl Kept {
    pub(crate) fn new(keeper: Arc<dyn KeepSessions>, at_servers: Option<Arc<ServerSessions>>) -> Self {
        Self {
            keeper,
            at_servers,
            inner: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Whether a session that is not in memory may be used at `now`, and what its client wished of it.
    ///
    /// # Errors
    /// [`SessionsUnavailable`] when that cannot be found out.
    pub(crate) async fn admits(
        &self,
        session: &KnownSession,
        now: Timestamp,
        limits: &ProxyLimits,
    ) -> Result<Option<Admitted>, SessionsUnavailable> {
        let KnownSession { owner, nonce, .. } = session;
        let away = lock(&self.inner).away.get(nonce).cloned();
        let fate = self.keeper.fate(owner, *nonce).await?;
        let (is_admitted, wishes) = match (fate, away) {
            (Fate::Ended, _) => (false, None),
            (Fate::Used { wishes, .. }, Some(away)) => (
                now.since(away.used) <= limits.session_idle,
                away.wishes.or(wishes),
            ),
            (Fate::Unknown, Some(away)) => (now.since(away.used) <= limits.session_idle, away.wishes),
            (Fate::Used { used, wishes }, None) => (now.since(used) <= limits.session_idle, wishes),
            (Fate::Unknown, None) => (now.since(session.created) <= UNWRITTEN, None),
        };
        Ok(is_admitted.then_some(Admitted { wishes }))
    }

    /// A session leaves memory; it may come back.
    pub(crate) fn leaves(&self, session: KnownSession) {
        let mut inner = lock(&self.inner);
        if inner.away.len() < AWAY {
            inner.away.insert(session.nonce, session);
        }
    }

    /// A session ends, and its id is not asked for again or is too old by itself.
    pub(crate) fn ends(&self, session: KnownSession, is_written: bool) {
        let mut inner = lock(&self.inner);
        inner.away.remove(&session.nonce);
        if is_written {
            inner.goes([(session.owner, session.nonce)]);
        }
    }

    /// Writes that a session has ended.
    ///
    /// # Errors
    /// [`SessionsUnavailable`]: it has not.
    pub(crate) async fn end(&self, session: KnownSession) -> Result<(), SessionsUnavailable> {
        let nonce = session.nonce;
        self.keeper.end(session).await?;
        lock(&self.inner).away.remove(&nonce);
        Ok(())
    }

    /// Ends what other processes have ended, and writes what has changed. What fails is tried again the next time.
    pub(crate) async fn look(
        &self,
        sessions: &Sessions,
        sealer: &dyn SealState,
        (now, limits): (Timestamp, &ProxyLimits),
    ) {
        let done = async {
            self.learn(sessions, now).await?;
            self.write(sessions, sealer, (now, limits)).await
        };
        let failed = done.await.is_err();
        if failed != self.failing.swap(failed, Ordering::Relaxed) {
            if failed {
                tracing::warn!("what is known of sessions cannot be written or read");
            } else {
                tracing::info!("what is known of sessions is written and read again");
            }
        }
    }

    async fn learn(&self, sessions: &Sessions, now: Timestamp) -> Result<(), SessionsUnavailable> {
        let looked = lock(&self.inner).looked.unwrap_or(now);
        for (owner, nonce) in self.keeper.ended_since(looked.minus(OVERLAP)).await? {
            lock(&self.inner).away.remove(&nonce);
            sessions.has_ended(&owner, &nonce);
        }
        lock(&self.inner).looked = Some(now);
        Ok(())
    }

    async fn write(
        &self,
        sessions: &Sessions,
        sealer: &dyn SealState,
        (now, limits): (Timestamp, &ProxyLimits),
    ) -> Result<(), SessionsUnavailable> {
        // Before the sessions are looked through: each of these belongs to one that is among them, or was written before.
        let servers = self.at_servers.as_ref().map(|sessions| sessions.changes());
        let servers = servers.unwrap_or_default();
        let exact = EXACT.min(limits.session_idle / 4);
        let mut present = Vec::new();
        sessions.each(|session| {
            if session.is_to_be_written(exact) {
                present.push((Arc::clone(session), wishes::known(session, sealer)));
            }
        });
        let (away, gone) = {
            let mut inner = lock(&self.inner);
            let away: Vec<_> = inner.away.values().cloned().collect();
            (away, std::mem::take(&mut inner.gone))
        };
        if present.is_empty() && away.is_empty() && gone.is_empty() && servers.is_empty() {
            return Ok(());
        }
        let known = present.iter().map(|(_, known)| known);
        let written = self.keeper.keep(SessionChanges {
            now,
            used: known.chain(&away).cloned().collect(),
            gone: gone.clone(),
            at_servers: servers.opened(),
            ended_at_servers: servers.ended(),
            idle: limits.session_idle,
            per_principal: limits.sessions_per_principal.saturating_mul(KEPT),
        });
        if let Err(error) = written.await {
            lock(&self.inner).goes(gone);
            for (session, known) in &present {
                if known.wishes.is_some() {
                    session.wishes_change();
                }
            }
            if let Some(sessions) = &self.at_servers {
                sessions.give_back(servers);
            }
            return Err(error);
        }
        for (session, known) in present {
            session.is_written_as_used(known.used);
        }
        let mut inner = lock(&self.inner);
        for session in &away {
            if inner.away.get(&session.nonce) == Some(session) {
                inner.away.remove(&session.nonce);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::session::NothingKept;

    use super::*;

    #[test]
    fn what_waits_while_nothing_can_be_written_is_bounded() {
        let kept = Kept::new(Arc::new(NothingKept), None);
        let session = |number: usize| {
            let mut nonce = [0; 16];
            nonce[..8].copy_from_slice(&number.to_be_bytes());
            KnownSession {
                owner: PrincipalKey::gateway(),
                nonce,
                created: Timestamp::EPOCH,
                used: Timestamp::EPOCH,
                wishes: None,
            }
        };
        let waiting = || {
            let inner = lock(&kept.inner);
            (inner.away.len(), inner.gone.len())
        };
        for number in 0..=AWAY {
            kept.leaves(session(number));
            assert_eq!(waiting(), ((number + 1).min(AWAY), 0));
        }
        for number in 0..=GONE {
            kept.ends(session(number), true);
            assert_eq!(waiting().1, (number + 1).min(GONE));
        }
    }
}
