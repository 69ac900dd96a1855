//! Whether a worker's connections are to end. It is asked with every request: a flag answers, and no lock.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The end of one worker's connections, once it has begun.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    begun: AtomicBool,
    told: CancellationToken,
}

impl Draining {
    /// No new request from now on. Whoever is woken for it finds the flag set.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.cancel();
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Becomes ready when it begins.
    pub(crate) fn begins(&self) -> WaitForCancellationFuture<'_> {
        self.told.cancelled()
    }
}
