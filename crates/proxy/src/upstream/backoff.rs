//! How long to wait before trying again.

use std::time::Duration;

use sallyport_core::Random;
use tokio::time::Instant;

/// Exponential back-off with jitter: 250 ms, doubled at each failure, at most 30 s. The wait is drawn from the upper
/// half of that, so that many who failed together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after the first failure, in full.
    pub(crate) const FIRST: Duration = Duration::from_millis(250);

    /// No wait is longer.
    pub(crate) const LONGEST: Duration = Duration::from_secs(30);

    /// Counts one more failure and says how long to wait.
    pub(crate) fn failed(&mut self, random: &dyn Random) -> Duration {
        let doubled = 2u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let full = Self::FIRST.saturating_mul(doubled).min(Self::LONGEST);
        let mut bytes = [0u8; 4];
        random.fill(&mut bytes);
        let share = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
        full.mul_f64(0.5 + share / 2.0)
    }

    /// It works again.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

/// Keeps away from what failed lately.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Breaker {
    /// Counts one more failure.
    pub(crate) fn failed(&mut self, random: &dyn Random) {
        self.not_before = Some(Instant::now() + self.backoff.failed(random));
    }

    /// It works again.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// How long to keep away still.
    pub(crate) fn wait(&self) -> Duration {
        self.not_before
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn st_10_waits_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..10)
            .map(|_| backoff.failed(&Fixed(0xff)).as_millis())
            .collect();
        assert_eq!(
            waits,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
        );
        assert_eq!(backoff.failures(), 10);
        backoff.succeeded();
        assert_eq!(backoff.failed(&Fixed(0)).as_millis(), 125);
    }

    #[test]
    fn countless_failures_do_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.failed(&Fixed(0xff)), Backoff::LONGEST);
    }
}
