//! Which session or process a call takes. A legacy process does not say which call its questions are about, nor does a
//! server over HTTP that puts them on the session's own stream. So a client without sessions of its own gets one for each
//! call that may be asked something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sallyport_core::fault::{Blame, Fault, Retry};
use sallyport_mcp::Era;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ground::Ground;
use super::presented::Presented;
use super::slot::Slot;

/// Leased sessions or processes of one client at one server; further calls wait for one of them.
const LANES: usize = 4;

/// The sessions or processes of one link, or of several.
#[derive(Clone)]
pub(crate) enum Lanes {
    /// All calls share one.
    One(Arc<Slot>),
    /// Each call has one to itself, from the time on when the server is known to ask apart from its calls.
    Each(Arc<Exclusive>),
}

/// Sessions or processes that are leased to one call at a time.
pub(crate) struct Exclusive {
    ground: Arc<Ground>,
    presented: Presented,
    free: Mutex<Vec<Arc<Slot>>>,
    /// All that were made, whether leased or not.
    made: Mutex<Vec<Weak<Slot>>>,
    permits: Arc<Semaphore>,
    /// For what is no call, for tasks, and for all calls of a server that asks on their streams.
    control: Arc<Slot>,
    /// Whether a call has that to itself: only a session, in which questions about tasks do not disturb it.
    control_is_leased: AtomicBool,
}

/// The use of a session or process; a leased one goes back when this is dropped.
pub(crate) struct Lane {
    slot: Arc<Slot>,
    lease: Option<(Arc<Exclusive>, OwnedSemaphorePermit)>,
}

impl Lanes {
    /// Leased ones.
    pub(crate) fn each(ground: &Arc<Ground>, presented: Presented) -> Self {
        Self::Each(Arc::new(Exclusive {
            control: Slot::new(ground, Era::Legacy, presented.clone(), false),
            ground: Arc::clone(ground),
            presented,
            free: Mutex::default(),
            made: Mutex::default(),
            control_is_leased: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(LANES)),
        }))
    }

    /// One to call through.
    ///
    /// # Errors
    /// A fault of ours, safe to repeat, when all have been waiting for their client's answers for too long.
    pub(crate) async fn lane(&self) -> Result<Lane, Fault> {
        let exclusive = match self {
            Self::One(slot) => {
                return Ok(Lane {
                    slot: Arc::clone(slot),
                    lease: None,
                });
            }
            Self::Each(exclusive) if !exclusive.ground.asks_apart() => return Ok(self.control_lane()),
            Self::Each(exclusive) => exclusive,
        };
        let permits = Arc::clone(&exclusive.permits);
        let patience = exclusive.ground.spec.limits.idle;
        let permit = tokio::time::timeout(patience, permits.acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|error| Fault::gateway(LEASE, error))?;
        Ok(Lane {
            slot: exclusive.take(),
            lease: Some((Arc::clone(exclusive), permit)),
        })
    }

    /// All of them, those that are leased too.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        let mut all = vec![Arc::clone(self.control())];
        if let Self::Each(exclusive) = self {
            all.extend(exclusive.made().iter().filter_map(Weak::upgrade));
        }
        all
    }

    /// How many there are, if each call has one to itself.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Self::Each(exclusive) if exclusive.ground.asks_apart() => Some(LANES),
            Self::Each(_) | Self::One(_) => None,
        }
    }

    /// The common one, to call through: for tasks, which stay where they were made and whose questions say what they are
    /// about.
    pub(crate) fn control_lane(&self) -> Lane {
        Lane {
            slot: Arc::clone(self.control()),
            lease: None,
        }
    }

    /// The common one.
    pub(crate) fn control(&self) -> &Arc<Slot> {
        match self {
            Self::One(slot) => slot,
            Self::Each(exclusive) => &exclusive.control,
        }
    }
}

const LEASE: &str = "lease a session or process";

fn busy() -> Fault {
    Fault::new(
        Blame::Gateway,
        Retry::Safe,
        LEASE,
        "every session or process of this client waits for an answer of the client",
    )
}

impl Exclusive {
    fn make(&self) -> Arc<Slot> {
        let slot = Slot::new(&self.ground, Era::Legacy, self.presented.clone(), false);
        self.made().push(Arc::downgrade(&slot));
        slot
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Slot>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that no call uses. The common session comes first: what the server remembers there of calls before it was known
    /// to ask apart is not lost.
    fn take(&self) -> Arc<Slot> {
        if !self.control_is_leased.swap(true, Ordering::AcqRel) {
            if self.control.is_quiet() {
                return Arc::clone(&self.control);
            }
            self.control_is_leased.store(false, Ordering::Release);
        }
        let free = self.free().pop();
        free.unwrap_or_else(|| self.make())
    }

    fn give_back(&self, slot: &Arc<Slot>) {
        if Arc::ptr_eq(slot, &self.control) {
            self.control_is_leased.store(false, Ordering::Release);
        } else {
            self.free().push(Arc::clone(slot));
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Slot>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// The session or process.
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Back into the pool first, so that whoever gets the permit finds it.
        if let Some((exclusive, _permit)) = &self.lease {
            exclusive.give_back(&self.slot);
        }
    }
}
