//! The audit trail: a chain of records in the database, each with the SHA-256 of itself and of the one before it, and for those
//! that were written together a MAC over the last; and a checkpoint in a file of its own, so that a chain that was cut is told
//! from one that ends (AL-01..03).
//!
//! What this proves: without the master key nobody can change, insert, remove or reorder a record, and nobody can cut the
//! chain below the last checkpoint, without [`AuditLog::verify`] naming the first record that is wrong, or, if somebody has
//! computed the hashes anew, the first of those that were written together with it. What it cannot prove: an attacker who
//! can put back both an older database and the checkpoint of that time is noticed only against an export that was taken in
//! between.

mod append;
mod batch;
mod body;
mod callers;
mod chain;
mod checkpoint;
mod export;
mod hex;
mod lines;
mod log;
mod queue;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sallyport_core::Clock;
use sallyport_core::audit::{Audit, AuditUnavailable, Entry, Event, Pending};
use sallyport_core::capability::DeriveKeyed;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use chain::{Break, ChainBreak, Record, Verified};
pub use export::{ExportError, verify_export};
pub use log::{AuditLog, Follow};

use crate::{Store, StoreError};
use queue::Queue;
use writer::Writer;

/// How many records may wait to be written before [`Audit::record`] refuses: a third of a second of the fastest load, about
/// 10 MB of usual calls. Threads take room for 64 at once, so that one is refused up to 945 records earlier while 15 others have not used
/// theirs.
pub const QUEUE: usize = 65_536;

/// Why the trail could not be started or read.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The trail does not match its checkpoint: somebody changed it, or this is another master key.
    #[error(
        "the audit trail cannot be trusted: {0}. Keep a copy of the data directory. To go on with what is there, remove \
         `audit.checkpoint`; the trail will say so for ever"
    )]
    Broken(#[from] ChainBreak),
    /// The checkpoint could not be read or written.
    #[error("the checkpoint of the audit trail: {0}")]
    Checkpoint(#[from] std::io::Error),
}

/// The running audit trail. Records are written by a task of its own in one transaction for many; what waits for its
/// record is written at once, together with all that came before it. The records of a thread stand in its order, those of
/// several by their times; within a millisecond theirs may stand in any order if nobody waited for one.
pub struct AuditTrail {
    queue: Arc<Queue>,
    signals: Arc<Signals>,
    clock: Arc<dyn Clock>,
    log: AuditLog,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the trail and its task tell each other.
#[derive(Default)]
struct Signals {
    /// Set while nothing can be written; then every record is refused.
    broken: AtomicBool,
    /// Write what is there and end.
    stop: Notify,
}

impl AuditTrail {
    /// Starts the trail after comparing it with its checkpoint. Must be called within a Tokio runtime; the task lives on
    /// that runtime.
    ///
    /// A checkpoint that is missing although there are records is no refusal but a record of its own (`trail`, `failed`),
    /// which stays in the chain.
    ///
    /// # Errors
    /// [`AuditError::Broken`] if the chain does not reach or match its checkpoint.
    pub async fn start(
        store: &Store,
        keys: Arc<dyn DeriveKeyed>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuditError> {
        let queue = Arc::new(Queue::default());
        let signals = Arc::new(Signals::default());
        let writer = Writer::new(
            store.clone(),
            Arc::clone(&keys),
            Arc::clone(&clock),
            Arc::clone(&signals),
            Arc::clone(&queue),
        )
        .await?;
        let task = tokio::spawn(writer.run());
        let log = AuditLog::new(store.clone(), keys);
        Ok(Self {
            queue,
            signals,
            clock,
            log,
            task: Mutex::new(Some(task)),
        })
    }

    /// The trail as it can be read.
    #[must_use]
    pub fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Whether records are refused at present: what `/readyz` asks.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.signals.broken.load(Ordering::Acquire) || self.queue.is_closed()
    }

    /// Writes what waits, sets the checkpoint, and ends the task. Records that come later are refused.
    pub async fn shutdown(&self) {
        self.signals.stop.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the audit trail did not end well");
        }
    }
}

impl Audit for AuditTrail {
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>> {
        Box::pin(async move {
            if self.is_broken() {
                return Err(AuditUnavailable);
            }
            let who = event.who();
            let entry = event.entry(&who);
            let pushed = self.queue.push_when_there_is_room(self.clock.now(), &entry);
            let written = pushed.await.map_err(|_| AuditUnavailable)?;
            written.await.map_err(|_| AuditUnavailable)
        })
    }

    fn enter(&self, entry: &Entry<'_>) -> Result<(), AuditUnavailable> {
        if self.signals.broken.load(Ordering::Acquire) {
            return Err(AuditUnavailable);
        }
        let at = entry.at.unwrap_or_else(|| self.clock.now());
        self.queue.push(at, entry, None).map_err(|_| AuditUnavailable)
    }
}

impl Drop for AuditTrail {
    fn drop(&mut self) {
        self.signals.stop.notify_one();
    }
}
