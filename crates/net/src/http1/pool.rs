//! Idle connections of one worker.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Connection;

/// The most idle connections that are kept for one target.
pub const MAX_IDLE: usize = 512;

/// How long an idle connection is kept: below the 5 s after which common servers (Node, uvicorn) close theirs. A request
/// that meets a closing connection cannot be repeated, so this is worth a few more connects. A server that tells its own
/// limit (`Keep-Alive: timeout=N`) is believed where that is shorter.
pub const IDLE: Duration = Duration::from_secs(4);

struct Idle {
    connection: Connection,
    until: Instant,
}

/// Idle connections by target, used last in, first out.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<HashMap<u64, Vec<Idle>>>,
    filled: Notify,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Closes idle connections whose time is over, those of the first targets first.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        self.lock().retain(|_, connections| {
            let keep = connections.partition_point(|idle| idle.until <= now);
            gone.extend(connections.drain(..keep));
            !connections.is_empty()
        });
        // The sockets are closed out here, without the lock.
        drop(gone);
    }

    /// Sweeps as long as it is polled; without an idle connection it does not even wake.
    pub async fn keep_swept(&self) {
        loop {
            self.filled.notified().await;
            while self.idle() > 0 {
                tokio::time::sleep(IDLE / 2).await;
                self.sweep();
            }
        }
    }

    pub(super) fn take(&self, target: u64) -> Option<Connection> {
        let mut idle = self.lock();
        let connections = idle.get_mut(&target)?;
        let newest = connections.pop()?;
        if newest.until > Instant::now() {
            return Some(newest.connection);
        }
        None
    }

    pub(super) fn put(&self, target: u64, mut connection: Connection, keep: Duration) {
        if keep.is_zero() {
            return;
        }
        connection.trim();
        let until = Instant::now() + keep.min(IDLE);
        let mut idle = self.lock();
        let first = idle.is_empty();
        let connections = idle.entry(target).or_default();
        if connections.len() < MAX_IDLE {
            connections.push(Idle { connection, until });
        }
        drop(idle);
        if first {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
