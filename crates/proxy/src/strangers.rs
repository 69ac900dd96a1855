//! How much of the audit trail strangers may fill.

use std::sync::Mutex;

use sallyport_core::Timestamp;

use crate::sync::lock;

/// Refusals of strangers that are recorded in one second; the rest is only counted. Who has no token must not be able
/// to fill the disk, or the queue that calls wait for.
const PER_SECOND: u32 = 20;

/// The refusals of the current second.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<(i64, u32)>);

impl Strangers {
    /// Whether one more is recorded.
    pub(crate) fn admit(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.0);
        if state.0 != now.as_secs() {
            *state = (now.as_secs(), 0);
        }
        state.1 = state.1.saturating_add(1);
        state.1 <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_and_one_past_it() {
        let strangers = Strangers::default();
        let now = Timestamp::from_secs(7);
        for _ in 0..PER_SECOND {
            assert!(strangers.admit(now));
        }
        assert!(!strangers.admit(now));
        assert!(strangers.admit(Timestamp::from_secs(8)));
    }
}
