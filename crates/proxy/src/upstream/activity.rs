//! Whether something is in use, and since when it is not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts users.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<Use>);

#[derive(Debug)]
struct Use {
    users: usize,
    since: Instant,
}

impl Activity {
    /// Idle from now on.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Use {
            users: 0,
            since: Instant::now(),
        }))
    }

    /// One more user, until it leaves.
    pub(crate) fn enter(&self) {
        self.lock().users += 1;
    }

    /// One user has left.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.users = state.users.saturating_sub(1);
        if state.users == 0 {
            state.since = Instant::now();
        }
    }

    /// For how long it has been idle; zero while it is in use.
    pub(crate) fn idle(&self) -> Duration {
        let state = self.lock();
        if state.users > 0 {
            return Duration::ZERO;
        }
        state.since.elapsed()
    }

    /// If it is idle, it is so from now on.
    pub(crate) fn touch(&self) {
        self.lock().since = Instant::now();
    }

    /// Whether it is in use.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().users > 0
    }

    fn lock(&self) -> MutexGuard<'_, Use> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
