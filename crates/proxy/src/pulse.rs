//! Shared ticks for everything that waits: keep-alive comments, calls that are silent for long. Ten thousand idle streams
//! cost one timer, not ten thousand.

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How many places a waiter may wait at, so that worker threads do not meet at one lock.
const SHARDS: usize = 16;

/// The tick.
#[derive(Debug)]
pub(crate) struct Pulse {
    shards: [Notify; SHARDS],
}

impl Pulse {
    /// A pulse that nobody beats yet.
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Notify::new()),
        }
    }

    /// Wakes everyone who waits.
    pub(crate) fn beat(&self) {
        for shard in &self.shards {
            shard.notify_waiters();
        }
    }

    /// Resolves at the next beat after this call, even when it is first polled later.
    pub(crate) fn next(&self, worker: usize) -> Notified<'_> {
        let shard = self.shards.get(worker % SHARDS);
        shard.unwrap_or(&self.shards[0]).notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_beat_wakes_every_waiter_once() {
        let pulse = Pulse::new();
        let (one, two) = (pulse.next(0), pulse.next(17));
        pulse.beat();
        one.await;
        two.await;
        let late = pulse.next(0);
        let waited = tokio::time::timeout(Duration::from_millis(1), late).await;
        assert!(waited.is_err(), "a beat of the past woke a later waiter");
    }
}
