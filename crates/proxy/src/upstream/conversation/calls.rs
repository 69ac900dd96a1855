//! The calls that run in one conversation. The server sees integers of ours, each used once, so that what two clients
//! chose never meets and a late answer finds nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::fault::Fault;
use sallyport_core::map::Map;
use tokio::time::Instant;

use crate::upstream::mailbox::Mailbox;
use crate::upstream::outgoing::Logs;

/// All calls that run in one conversation.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Table>);

#[derive(Debug)]
struct Table {
    last: u64,
    running: Map<u64, Mailbox>,
    /// When the last call ended.
    idle_since: Instant,
    ended: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            last: 0,
            running: Map::default(),
            idle_since: Instant::now(),
            ended: false,
        }
    }
}

impl Calls {
    /// Enters a call; the number is its id and its progress token toward the server. `None` when the conversation has
    /// ended.
    pub(crate) fn enter(&self, call: Mailbox) -> Option<u64> {
        let mut table = self.table();
        if table.ended {
            return None;
        }
        table.last += 1;
        let id = table.last;
        table.running.insert(id, call);
        Some(id)
    }

    /// Takes a call out: its answer has come, or nobody waits for it any more.
    pub(crate) fn take(&self, id: u64) -> Option<Mailbox> {
        let mut table = self.table();
        let call = table.running.remove(&id)?;
        if table.running.is_empty() {
            table.idle_since = Instant::now();
        }
        Some(call)
    }

    /// For how long no call has been running; `None` while one is.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let table = self.table();
        table.running.is_empty().then(|| table.idle_since.elapsed())
    }

    /// Looks at a running call.
    pub(crate) fn get(&self, id: u64) -> Option<Mailbox> {
        self.table().running.get(&id).cloned()
    }

    /// The one call that is running, if it is one: what the server says out of turn is about it.
    pub(crate) fn sole(&self) -> Option<(u64, Mailbox)> {
        let table = self.table();
        let asks = |(_, call): &(&u64, &Mailbox)| call.terms().logs != Logs::Listen;
        let mut running = table.running.iter().filter(asks);
        let (id, call) = running.next()?;
        running.next().is_none().then(|| (*id, call.clone()))
    }

    /// Whether this number was ever given out: then an answer to it is late rather than foreign.
    pub(crate) fn was_entered(&self, id: u64) -> bool {
        (1..=self.table().last).contains(&id)
    }

    /// Ends all calls and takes no more.
    pub(crate) fn end(&self, reason: &str) {
        let running = {
            let mut table = self.table();
            table.ended = true;
            std::mem::take(&mut table.running)
        };
        for call in running.into_values() {
            call.fail(Fault::upstream("wait for the answer", reason));
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let terms = Terms {
            id: Bytes::from_static(id),
            token: None,
            logs: Logs::None,
            may_cancel: true,
        };
        mailbox_of_call(Porter::alone(), terms).0
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

    #[test]
    fn only_plain_numbers_are_numbers() {
        assert_eq!(number(b"17"), Some(17));
        for other in [&b"\"17\""[..], b"-1", b"1.0", b"", b"99999999999999999999999"] {
            assert_eq!(number(other), None);
        }
    }
}
