//! How much one principal may have open at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sallyport_core::PrincipalKey;
use sallyport_core::map::Map;

use crate::sync::lock;

const SHARDS: usize = 16;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Calls in flight.
    Calls,
    /// Open GET and listen streams.
    Streams,
    /// Calls that wait for an answer from the client.
    Parked,
}

/// What one principal has open.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicUsize,
    streams: AtomicUsize,
    parked: AtomicUsize,
    /// Bytes of events that are kept for resuming clients.
    kept: AtomicUsize,
}

impl Counts {
    fn of(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Calls => &self.calls,
            Kind::Streams => &self.streams,
            Kind::Parked => &self.parked,
        }
    }
}

type Shard = Mutex<Map<PrincipalKey, Arc<Counts>>>;

/// The counts of every principal that has anything open.
#[derive(Debug)]
pub(crate) struct Usage {
    shards: [Shard; SHARDS],
}

impl Usage {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
        }
    }

    /// Takes one of `kind`, unless the principal already has `limit` of them. It is given back on drop.
    pub(crate) fn take(&self, key: &PrincipalKey, kind: Kind, limit: usize) -> Option<Slot> {
        self.account(key).take(kind, limit)
    }

    /// Where what one principal has open is counted.
    pub(crate) fn account(&self, key: &PrincipalKey) -> Account {
        Account(self.counts(key))
    }

    /// Forgets principals that have nothing open.
    pub(crate) fn sweep(&self) {
        for shard in &self.shards {
            lock(shard).retain(|_, counts| Arc::strong_count(counts) > 1);
        }
    }

    fn counts(&self, key: &PrincipalKey) -> Arc<Counts> {
        // The last letter of a client's id is as good as a hash of it all: who picks it picks a lock, and no more.
        let place = key
            .as_str()
            .as_bytes()
            .last()
            .map_or(0, |last| usize::from(*last));
        let mut shard = lock(self.shards.get(place % SHARDS).unwrap_or(&self.shards[0]));
        if let Some(counts) = shard.get(key) {
            return Arc::clone(counts);
        }
        let counts = Arc::new(Counts::default());
        shard.insert(key.clone(), Arc::clone(&counts));
        counts
    }
}

/// One thing that a principal has open.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub(crate) struct Slot {
    counts: Arc<Counts>,
    kind: Kind,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counts.of(self.kind).fetch_sub(1, Ordering::AcqRel);
    }
}

/// What one principal has open.
#[derive(Clone, Debug)]
pub(crate) struct Account(Arc<Counts>);

impl Account {
    /// Takes one of `kind`, unless the principal already has `limit` of them. It is given back on drop.
    pub(crate) fn take(&self, kind: Kind, limit: usize) -> Option<Slot> {
        let taken = self
            .0
            .of(kind)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < limit).then(|| n + 1)
            });
        taken.is_ok().then(|| Slot {
            counts: Arc::clone(&self.0),
            kind,
        })
    }

    /// How many bytes of events are kept for it.
    pub(crate) fn kept(&self) -> usize {
        self.0.kept.load(Ordering::Acquire)
    }

    /// So many more are kept.
    pub(crate) fn add(&self, bytes: usize) {
        self.0.kept.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many are kept no longer.
    pub(crate) fn remove(&self, bytes: usize) {
        self.0.kept.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_and_one_past_it() {
        let usage = Usage::new();
        let me = PrincipalKey::gateway();
        let first = usage.take(&me, Kind::Calls, 2);
        let second = usage.take(&me, Kind::Calls, 2);
        assert!(first.is_some() && second.is_some());
        for _ in 0..3 {
            assert!(
                usage.take(&me, Kind::Calls, 2).is_none(),
                "a refusal takes nothing away"
            );
        }
        assert!(
            usage.take(&me, Kind::Streams, 1).is_some(),
            "kinds are counted apart"
        );
        drop(first);
        assert!(usage.take(&me, Kind::Calls, 2).is_some());
    }

    #[test]
    fn idle_principals_are_forgotten() {
        let usage = Usage::new();
        drop(usage.take(&PrincipalKey::gateway(), Kind::Parked, 1));
        usage.sweep();
        assert!(usage.shards.iter().all(|s| lock(s).is_empty()));
    }
}
