//! What the tests of this crate share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sallyport_core::audit::{Audit, AuditUnavailable, Event, Outcome, Pending};
use sallyport_core::{Clock, Random, Timestamp};

use crate::metrics::Metrics;
use crate::record::Books;
use crate::sync::lock;

/// Chance without chance: every fill is another number.
#[derive(Debug, Default)]
pub(crate) struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (place, byte) in out.iter_mut().enumerate() {
            *byte = n[place % n.len()];
        }
    }
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A trail in memory.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    events: Mutex<Vec<Event>>,
    broken: AtomicBool,
}

impl Trail {
    pub(crate) fn break_it(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.events().iter().map(|e| e.outcome).collect()
    }
}

impl Audit for Trail {
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>> {
        let done = self.record(event);
        Box::pin(async move { done })
    }

    fn record(&self, event: Event) -> Result<(), AuditUnavailable> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(AuditUnavailable);
        }
        lock(&self.events).push(event);
        Ok(())
    }
}

/// Books over this trail.
pub(crate) fn books(trail: &Arc<Trail>) -> Books {
    Books {
        audit: Arc::clone(trail) as Arc<dyn Audit>,
        metrics: Arc::new(Metrics::new()),
        clock: Arc::new(Hand::default()),
    }
}
