//! The streams of one session: found by event id, and forgotten in time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sallyport_core::random::token;
use sallyport_core::{Clock, Random, Timestamp};

use super::id::{EventId, StreamKind};
use super::log::{Log, Terms};
use crate::caller::Caller;
use crate::limits::Account;
use crate::spec::ReplayLimits;
use crate::sync::lock;

/// The streams of one session.
pub(crate) struct Journal {
    tag: Arc<str>,
    logs: Mutex<BTreeMap<u64, Arc<Log>>>,
    next: AtomicU64,
}

impl Journal {
    pub(crate) fn new(random: &dyn Random) -> Self {
        Self {
            tag: token::<6>(random).into(),
            logs: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Begins a stream for a caller.
    pub(crate) fn open(&self, caller: &Caller, kind: StreamKind) -> Arc<Log> {
        let (proxy, limits) = (&caller.proxy, caller.limits.replay);
        let log = self.begin(
            kind,
            limits,
            &proxy.usage.account(&caller.key),
            &proxy.books.clock,
        );
        self.tidy(proxy.books.clock.now(), &limits);
        log
    }

    pub(super) fn begin(
        &self,
        kind: StreamKind,
        limits: ReplayLimits,
        account: &Account,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Log> {
        let log = Arc::new(Log::new(Terms {
            tag: Arc::clone(&self.tag),
            kind,
            number: self.next.fetch_add(1, Ordering::Relaxed),
            limits,
            account: account.clone(),
            clock: Arc::clone(clock),
        }));
        lock(&self.logs).insert(log.number(), Arc::clone(&log));
        log
    }

    /// The stream of an event; `None` when it is not of this session, or not any more.
    pub(crate) fn find(&self, id: &EventId<'_>, now: Timestamp, limits: &ReplayLimits) -> Option<Arc<Log>> {
        if *id.tag != *self.tag {
            return None;
        }
        self.tidy(now, limits);
        let log = lock(&self.logs).get(&id.stream).cloned();
        log.filter(|log| log.kind() == id.kind)
    }

    /// Forgets the streams that have been idle for too long, and the longest idle ones where there are too many.
    pub(crate) fn tidy(&self, now: Timestamp, limits: &ReplayLimits) {
        let mut logs = lock(&self.logs);
        let is_old = |since: Timestamp| now.since(since) > limits.keep;
        logs.retain(|_, log| !log.idle().is_some_and(is_old));
        if logs.len() <= limits.streams_per_session {
            return;
        }
        let mut idle: Vec<_> = logs
            .values()
            .filter_map(|log| Some((log.idle()?, log.number())))
            .collect();
        let surplus = idle.len().saturating_sub(limits.streams_per_session);
        if surplus > 0 {
            idle.sort_unstable();
            for (_, number) in idle.into_iter().take(surplus) {
                logs.remove(&number);
            }
        }
    }

    /// Forgets the longest idle streams until this many bytes more may be kept for the principal.
    pub(crate) fn make_room(&self, length: usize, account: &Account, limits: &ReplayLimits) {
        while account.kept().saturating_add(length) > limits.bytes_per_principal {
            let mut logs = lock(&self.logs);
            let idle = logs.values().filter_map(|log| Some((log.idle()?, log.number())));
            let Some((_, number)) = idle.min() else { return };
            let forgotten = logs.remove(&number);
            drop((logs, forgotten));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        lock(&self.logs).clear();
    }

    /// How many streams are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.logs).len()
    }
}
