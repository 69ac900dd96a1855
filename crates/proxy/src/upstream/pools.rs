//! The processes and connections that several links of one principal share, for as long as one of them is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use sallyport_core::PrincipalKey;
use sallyport_mcp::Revision;

use super::account::Account;
use super::lanes::{Exclusive, Lanes};
use super::slot::Slot;

/// What they have in common: never less than the principal, and what the server was told of the client (P-101).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Common {
    pub(super) principal: PrincipalKey,
    /// What a legacy server was told once for all: the revision that was asked for and the capabilities.
    pub(super) introduced: Option<(Revision, Bytes)>,
    /// The account that it is called with.
    pub(super) account: Option<Account>,
}

/// The pools of one server.
#[derive(Default)]
pub(super) struct Pools(Mutex<HashMap<Common, Pool>>);

enum Pool {
    One(Weak<Slot>),
    Each(Weak<Exclusive>),
}

impl Pools {
    /// The pool of those who have this in common; made if there is none.
    pub(super) fn get(&self, common: Common, make: impl FnOnce() -> Lanes) -> Lanes {
        let mut pools = self.pools();
        if let Some(lanes) = pools.get(&common).and_then(Pool::lanes) {
            return lanes;
        }
        let lanes = make();
        let pool = match &lanes {
            Lanes::One(slot) => Pool::One(Arc::downgrade(slot)),
            Lanes::Each(exclusive) => Pool::Each(Arc::downgrade(exclusive)),
        };
        pools.insert(common, pool);
        lanes
    }

    /// Forgets those that nobody uses any more.
    pub(super) fn sweep(&self) {
        self.pools().retain(|_, pool| pool.lanes().is_some());
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Common, Pool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn lanes(&self) -> Option<Lanes> {
        Some(match self {
            Self::One(slot) => Lanes::One(slot.upgrade()?),
            Self::Each(exclusive) => Lanes::Each(exclusive.upgrade()?),
        })
    }
}
