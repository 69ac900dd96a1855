//! Shared ticks for everything that waits: keep-alive comments, calls that are silent for long. Ten thousand idle streams
//! cost one timer, not ten thousand.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How many places a waiter may wait at, so that worker threads do not meet at one lock.
const SHARDS: usize = 16;

/// Where some of the waiters wait, on cache lines of its own: each call passes here twice.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Notify);

/// The tick.
#[derive(Debug)]
pub(crate) struct Pulse {
    shards: [Shard; SHARDS],
    /// Counts the beats, which are not all that wakes.
    beats: AtomicU64,
}

impl Pulse {
    /// A pulse that nobody beats yet.
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Shard::default()),
            beats: AtomicU64::new(0),
        }
    }

    /// The next tick.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Release);
        self.stir();
    }

    /// Wakes everyone who waits, so that they look around.
    pub(crate) fn stir(&self) {
        for shard in &self.shards {
            shard.0.notify_waiters();
        }
    }

    /// How often it has beaten.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Resolves when somebody stirs or beats after this call, even when it is first polled later.
    pub(crate) fn stirred(&self, worker: usize) -> Notified<'_> {
        let shard = self.shards.get(worker % SHARDS);
        shard.unwrap_or(&self.shards[0]).0.notified()
    }

    /// Waits for the next beat.
    pub(crate) async fn next(&self, worker: usize) {
        let from = self.beats();
        loop {
            let stirred = self.stirred(worker);
            if self.beats() != from {
                return;
            }
            stirred.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_beat_wakes_every_waiter_once() {
        let pulse = Pulse::new();
        let (one, two) = (pulse.stirred(0), pulse.stirred(17));
        pulse.beat();
        one.await;
        two.await;
        let late = pulse.next(0);
        let waited = tokio::time::timeout(Duration::from_millis(1), late).await;
        assert!(waited.is_err(), "a beat of the past woke a later waiter");
    }

    #[tokio::test]
    async fn who_waits_for_a_beat_is_not_content_with_a_stir() {
        let pulse = Pulse::new();
        let mut next = std::pin::pin!(pulse.next(0));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        pulse.stir();
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        pulse.beat();
        assert!(futures_util::poll!(next).is_ready());
    }
}
