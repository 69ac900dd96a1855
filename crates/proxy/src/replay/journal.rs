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
        let clock = &caller.proxy.books.clock;
        self.begin(kind, caller.limits.replay, &caller.account, clock)
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
        crop(&mut logs, limits.streams_per_session);
    }

    /// Forgets the longest idle streams where there are too many.
    pub(crate) fn crop(&self, limits: &ReplayLimits) {
        crop(&mut lock(&self.logs), limits.streams_per_session);
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

fn crop(logs: &mut BTreeMap<u64, Arc<Log>>, most: usize) {
    // What runs is bounded elsewhere.
    while logs.len() > most {
        let idle = logs.values().filter_map(|log| Some((log.idle()?, log.number())));
        let (count, longest) = idle.fold((0, None), |(count, longest), one| {
            let longest = longest.map_or(one, |longest| one.min(longest));
            (count + 1, Some(longest))
        });
        match longest {
            Some((_, number)) if count > most => logs.remove(&number),
            _ => return,
        };
    }
}
