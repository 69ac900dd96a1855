//! The request ids in use toward one server. A client's own id is kept where it is free, so that its message passes
//! unchanged; else one of ours stands in for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sallyport_core::map::Set;

/// The raw ids of requests that have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<InUse>);

#[derive(Debug, Default)]
struct InUse {
    ids: Set<Bytes>,
    minted: u64,
}

/// An id that is in use until it is released.
#[derive(Debug)]
pub(crate) struct Claimed {
    sent: Bytes,
    own: bool,
}

impl Ids {
    /// Claims `wanted`, or another id if that one is in use.
    pub(crate) fn claim(&self, wanted: &Bytes) -> Claimed {
        let mut in_use = self.in_use();
        let mut sent = wanted.clone();
        while !in_use.ids.insert(sent.clone()) {
            in_use.minted += 1;
            sent = Bytes::from(format!("\"sallyport-{}\"", in_use.minted));
        }
        drop(in_use);
        let own = sent == *wanted;
        Claimed { sent, own }
    }

    /// The request has been answered, or given up.
    pub(crate) fn release(&self, claimed: &Claimed) {
        self.in_use().ids.remove(&claimed.sent);
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// The raw id to send.
    pub(crate) fn sent(&self) -> &Bytes {
        &self.sent
    }

    /// Whether it is the one that was wanted, so that an answer need not be changed.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_03_an_id_is_never_in_use_twice() {
        let ids = Ids::default();
        let one = Bytes::from_static(b"1");
        let first = ids.claim(&one);
        let second = ids.claim(&one);
        assert!(first.is_own() && !second.is_own());
        assert_ne!(first.sent(), second.sent());
        let imitated = ids.claim(&Bytes::copy_from_slice(second.sent()));
        assert!(!imitated.is_own());
        ids.release(&first);
        let again = ids.claim(&one);
        assert!(again.is_own(), "free again");
        for claimed in [second, imitated, again] {
            ids.release(&claimed);
        }
        assert!(ids.in_use().ids.is_empty());
    }
}
