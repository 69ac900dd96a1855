//! Idle connections of one worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sallyport_core::map::Map;
use tokio::time::Instant;

use super::connection::Connection;

/// The most idle connections that are kept for one target.
pub const MAX_IDLE: usize = 512;

/// How long an idle connection is kept: below the 5 s after which common servers (Node, uvicorn) close theirs. A request
/// that meets a closing connection cannot be repeated, so this is worth a few more connects. A server that tells its own
/// limit (`Keep-Alive: timeout=N`) is believed where that is shorter.
pub const IDLE: Duration = Duration::from_secs(4);

struct Idle {
    connection: Box<Connection>,
    until: Instant,
}

/// Idle connections by target, used last in, first out. On cache lines of its own, as the worker is that has it.
#[derive(Default)]
#[repr(align(128))]
pub struct Pool(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    idle: Map<u64, Vec<Idle>>,
    /// Whether a task closes the connections whose time is over.
    swept: bool,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().idle.values().map(Vec::len).sum()
    }

    /// The connection that became idle last, unless its time is over.
    pub(super) fn take(&self, target: u64) -> Option<Box<Connection>> {
        let newest = self.lock().idle.get_mut(&target)?.pop()?;
        (newest.until > Instant::now()).then_some(newest.connection)
    }

    /// Keeps a connection for at most `keep`.
    pub(super) fn put(self: &Arc<Self>, target: u64, mut connection: Box<Connection>, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        connection.trim();
        let until = Instant::now() + keep.min(IDLE);
        let mut shelf = self.lock();
        let connections = shelf.idle.entry(target).or_default();
        if connections.len() >= MAX_IDLE {
            return;
        }
        connections.push(Idle { connection, until });
        // Where there is a connection, there is a runtime.
        if !shelf.swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            shelf.swept = true;
            runtime.spawn(keep_swept(Arc::downgrade(self)));
        }
    }

    /// Closes the connections whose time is over, and tells whether any is left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut gone = Vec::new();
        let mut shelf = self.lock();
        shelf.idle.retain(|_, connections| {
            gone.extend(connections.extract_if(.., |idle| idle.until <= now));
            !connections.is_empty()
        });
        shelf.swept = !shelf.idle.is_empty();
        let any = shelf.swept;
        // The sockets are closed without the lock.
        drop(shelf);
        drop(gone);
        any
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sweeps until there is nothing left to sweep.
async fn keep_swept(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.sweep() {
            return;
        }
    }
}
