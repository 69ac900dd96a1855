//! One worker: a thread's share of upstream connections.

use std::sync::Arc;

use crate::http1::Pool;

/// What one thread keeps between requests. A worker may be used from any thread; used from its own, its connections
/// are woken where they are needed. On cache lines of its own: each thread's requests count who holds its worker.
#[repr(align(128))]
pub struct Worker {
    index: usize,
    pool: Arc<Pool>,
}

impl Worker {
    /// A worker with an empty pool. The listener makes its own; others (catalogue fetches, commands) make one each.
    #[must_use]
    pub fn new(index: usize) -> Arc<Self> {
        Arc::new(Self {
            index,
            pool: Pool::new(),
        })
    }

    /// Its number, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its idle connections to servers.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}
