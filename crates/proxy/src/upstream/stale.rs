//! How long a catalogue may be kept.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long the lists of a server are kept that neither tells of changes nor says for how long.
const UNTOLD: Duration = Duration::from_secs(300);

/// The shortest time between two fetches that clients cause.
const SHORTEST: Duration = Duration::from_secs(5);

/// When a catalogue was fetched, and until when it may be kept.
#[derive(Debug, Default)]
pub(super) struct Freshness(Mutex<Option<Instant>>);

impl Freshness {
    /// It was fetched now. `ttl` is the server's word; `tells` that the server tells of changes.
    pub(super) fn fetched(&self, ttl: Option<Duration>, tells: bool) {
        let until = match (ttl, tells) {
            (_, true) => None,
            (Some(ttl), false) => Some(ttl.max(SHORTEST)),
            (None, false) => Some(UNTOLD),
        };
        *self.until() = until.and_then(|until| Instant::now().checked_add(until));
    }

    /// Whether it has been kept for too long. Answers yes once for each fetch.
    pub(super) fn is_over(&self) -> bool {
        let mut until = self.until();
        let over = until.is_some_and(|until| until <= Instant::now());
        if over {
            *until = None;
        }
        over
    }

    fn until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lists_are_kept_as_long_as_the_server_says() {
        let freshness = Freshness::default();
        for (ttl, tells, seconds) in [
            (Some(Duration::from_secs(60)), false, 60),
            (Some(Duration::from_millis(1)), false, 5),
            (None, false, 300),
        ] {
            freshness.fetched(ttl, tells);
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert!(!freshness.is_over());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(freshness.is_over());
            assert!(!freshness.is_over(), "once");
        }
        freshness.fetched(None, true);
        tokio::time::advance(Duration::from_secs(9999)).await;
        assert!(!freshness.is_over(), "it would have told");
    }
}
