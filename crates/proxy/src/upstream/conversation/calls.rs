//! The calls that run in one conversation. The server sees integers of ours, each used once, so that what two clients
//! chose never meets and a late answer finds nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::fault::Fault;
use sallyport_core::map::Map;
use tokio::time::Instant;

use super::watch::Limits;
use crate::upstream::mailbox::Mailbox;
use crate::upstream::outgoing::Logs;

/// How many parts the calls are in.
const PARTS: usize = 8;

/// All calls that run in one conversation, in parts: threads that make calls seldom wait for each other, and whoever takes
/// an answer only for the thread whose call it is.
#[derive(Debug, Default)]
pub(crate) struct Calls([Part; PARTS]);

/// Calls of some runtimes, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(Mutex<Table>);

#[derive(Debug)]
struct Table {
    /// How many were entered.
    entered: u64,
    running: Map<u64, Mailbox>,
    /// When the last call ended.
    idle_since: Instant,
    ended: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entered: 0,
            running: Map::default(),
            idle_since: Instant::now(),
            ended: false,
        }
    }
}

impl Part {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Enters a call; the number is its id and its progress token toward the server. `None` when the conversation has
    /// ended.
    pub(crate) fn enter(&self, call: Mailbox) -> Option<u64> {
        let number = call.porter().part(PARTS);
        let mut table = self.0.get(number)?.table();
        if table.ended {
            return None;
        }
        let id = table.entered * PARTS as u64 + number as u64 + 1;
        table.entered += 1;
        table.running.insert(id, call);
        Some(id)
    }

    /// The part that a number is of, and how many of that part were given out before it.
    fn part_of(&self, id: u64) -> Option<(&Part, u64)> {
        let (id, parts) = (id.checked_sub(1)?, PARTS as u64);
        let number = usize::try_from(id % parts).ok()?;
        Some((self.0.get(number)?, id / parts))
    }

    /// Takes a call out: its answer has come, or nobody waits for it any more.
    pub(crate) fn take(&self, id: u64) -> Option<Mailbox> {
        let mut table = self.part_of(id)?.0.table();
        let call = table.running.remove(&id)?;
        if table.running.is_empty() {
            table.idle_since = Instant::now();
        }
        Some(call)
    }

    /// For how long no call has been running; `None` while one is.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.0.iter().try_fold(Duration::MAX, |least, part| {
            let table = part.table();
            let idle = table.running.is_empty().then(|| table.idle_since.elapsed())?;
            Some(least.min(idle))
        })
    }

    /// Looks at a running call.
    pub(crate) fn get(&self, id: u64) -> Option<Mailbox> {
        self.part_of(id)?.0.table().running.get(&id).cloned()
    }

    /// The one call that is running, if it is one: what the server says out of turn is about it. A call that is entered
    /// meanwhile may be missed: what the server has said is not about that.
    pub(crate) fn sole(&self) -> Option<(u64, Mailbox)> {
        let mut sole = None;
        for part in &self.0 {
            let table = part.table();
            let asks = |(_, call): &(&u64, &Mailbox)| call.terms().logs != Logs::Listen;
            for (id, call) in table.running.iter().filter(asks) {
                if sole.replace((*id, call.clone())).is_some() {
                    return None;
                }
            }
        }
        sole
    }

    /// Looks at all calls, and ends those that have had their time; whether any ran.
    pub(super) fn look(&self, now: u32, limits: Limits) -> bool {
        let mut any = false;
        for part in &self.0 {
            for call in part.table().running.values() {
                any = true;
                call.look(now, limits);
            }
        }
        any
    }

    /// Whether any call runs.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|part| !part.table().running.is_empty())
    }

    /// Whether this number was ever given out: then an answer to it is late rather than foreign.
    pub(crate) fn was_entered(&self, id: u64) -> bool {
        self.part_of(id)
            .is_some_and(|(part, before)| before < part.table().entered)
    }

    /// Ends all calls and takes no more.
    pub(crate) fn end(&self, reason: &str) {
        for part in &self.0 {
            let running = {
                let mut table = part.table();
                table.ended = true;
                std::mem::take(&mut table.running)
            };
            for call in running.into_values() {
                call.fail(Fault::upstream("wait for the answer", reason));
            }
        }
    }
}

/// Reads an id or token of ours as it comes back.
pub(crate) fn number(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::upstream::conversation::Porter;
    use crate::upstream::mailbox::{Terms, mailbox_of_call};

    fn call(id: &'static [u8]) -> Mailbox {
        call_of(Porter::alone(), id)
    }

    fn call_of(porter: Porter, id: &'static [u8]) -> Mailbox {
        let terms = Terms {
            id: Bytes::from_static(id),
            token: None,
            logs: Logs::None,
            may_cancel: true,
        };
        mailbox_of_call(porter, terms, 0).0
    }

    #[test]
    fn p_03_equal_client_ids_get_different_numbers() {
        let calls = Calls::default();
        let first = calls.enter(call(b"1")).expect("alive");
        let second = calls.enter(call(b"1")).expect("alive");
        assert_ne!(first, second);
        assert!(calls.sole().is_none());
        let taken = calls.take(first).expect("it ran");
        assert_eq!(taken.terms().id, "1");
        assert!(calls.take(first).is_none(), "an answer is taken once");
        assert_eq!(calls.sole().map(|(id, _)| id), Some(second));
        assert!(calls.was_entered(first) && !calls.was_entered(second + 1));
        assert!(calls.idle().is_none(), "one is running");
        calls.end("the process ended");
        assert!(calls.enter(call(b"2")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn p_03_calls_of_all_runtimes_are_calls_of_one_conversation() {
        let calls = Calls::default();
        let enter = |place, id| calls.enter(call_of(Porter::at(place), id)).expect("alive");
        // Of more runtimes than there are parts.
        let all: Vec<u64> = (0..3 * PARTS).map(|place| enter(place, b"1")).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        let last = all.iter().max().expect("some");
        assert!(all.iter().all(|id| calls.was_entered(*id)));
        assert!(!calls.was_entered(0) && !calls.was_entered(last + 1) && !calls.was_entered(u64::MAX));
        let (sole, others) = all.split_first().expect("some");
        for id in others {
            assert!(calls.sole().is_none());
            assert!(calls.take(*id).is_some() && calls.take(*id).is_none() && calls.was_entered(*id));
        }
        assert_eq!(calls.sole().map(|(id, _)| id), Some(*sole));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(calls.idle().is_none(), "one is running");
        assert!(calls.take(*sole).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(calls.idle(), Some(Duration::from_secs(1)), "since the last one");
        assert!(!all.contains(&enter(0, b"1")), "a number is used once");
        let ended = enter(1, b"1");
        calls.end("the process ended");
        assert!(calls.get(ended).is_none());
        assert!((0..PARTS).all(|place| calls.enter(call_of(Porter::at(place), b"2")).is_none()));
    }

    #[test]
    fn only_plain_numbers_are_numbers() {
        assert_eq!(number(b"17"), Some(17));
        for other in [&b"\"17\""[..], b"-1", b"1.0", b"", b"99999999999999999999999"] {
            assert_eq!(number(other), None);
        }
    }
}
