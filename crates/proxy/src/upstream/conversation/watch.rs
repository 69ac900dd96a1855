//! Looking after the calls that wait in a conversation: one whose server is silent for too long, or that takes longer than
//! it may, is ended. A look at all of them now and then costs less than a timer for each.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::talk::Conversation;
use crate::spec::ServerLimits;

/// How often it is looked, at most and at least. A limit is overrun by up to two looks.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_secs(1);

/// So many looks belong to the shorter of the two limits.
const LOOKS: u32 = 32;

/// The time of a conversation, in looks, and who counts it.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    every: Duration,
    /// How often it was looked. It stands still while no call runs.
    looks: AtomicU32,
    /// Nobody looks, because no call runs.
    rests: AtomicBool,
    begun: Notify,
}

/// What a call may take, in looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Silence of the server.
    pub(crate) idle: u32,
    /// The whole call.
    pub(crate) call: u32,
}

impl Watch {
    pub(super) fn new(limits: &ServerLimits) -> Arc<Self> {
        let every = (limits.idle.min(limits.call) / LOOKS).clamp(OFTEN, SELDOM);
        // A call begins between two looks: only after one more has it had its time.
        let looks = |limit: Duration| {
            let looks = limit.as_nanos().div_ceil(every.as_nanos()).saturating_add(1);
            u32::try_from(looks).unwrap_or(u32::MAX)
        };
        Arc::new(Self {
            limits: Limits {
                idle: looks(limits.idle),
                call: looks(limits.call),
            },
            every,
            looks: AtomicU32::new(0),
            rests: AtomicBool::new(true),
            begun: Notify::new(),
        })
    }

    /// How often it was looked.
    pub(super) fn now(&self) -> u32 {
        self.looks.load(Ordering::Relaxed)
    }

    /// A call has been entered.
    pub(super) fn begin(&self) {
        if self.rests.load(Ordering::Acquire) && self.rests.swap(false, Ordering::AcqRel) {
            self.begun.notify_one();
        }
    }

    /// Looks as long as there is a conversation.
    pub(super) async fn run(self: Arc<Self>, conversation: Weak<Conversation>) {
        loop {
            if self.rests.load(Ordering::Acquire) {
                self.begun.notified().await;
            }
            sleep(self.every).await;
            let now = self.looks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let Some(conversation) = conversation.upgrade() else {
                return;
            };
            if conversation.calls.look(now, self.limits) {
                continue;
            }
            // Whoever enters a call after this sees that nobody looks; who has entered one before is seen.
            self.rests.store(true, Ordering::SeqCst);
            if conversation.calls.any() {
                self.begin();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_09_no_limit_is_over_too_soon_or_much_too_late() {
        for ms in [1, 9, 10, 100, 319, 320, 1000, 31_999, 60_000, 600_000, 86_400_000] {
            for factor in [1, 10] {
                let limits = ServerLimits {
                    idle: Duration::from_millis(ms),
                    call: Duration::from_millis(ms * factor),
                    ..ServerLimits::default()
                };
                let watch = Watch::new(&limits);
                for (looks, limit) in [(watch.limits.idle, limits.idle), (watch.limits.call, limits.call)] {
                    // The first look comes at any time after the call began.
                    assert!(watch.every * (looks - 1) >= limit);
                    assert!(watch.every * looks <= limit + watch.every * 2);
                }
                assert!((OFTEN..=SELDOM).contains(&watch.every));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_while_no_call_runs() {
        let watch = Watch::new(&ServerLimits::default());
        let looking = tokio::spawn(Arc::clone(&watch).run(Weak::new()));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(watch.now(), 0);
        watch.begin();
        looking.await.expect("it ends with the conversation");
        assert_eq!(watch.now(), 1);
    }
}
