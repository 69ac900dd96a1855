//! The task that writes the trail: gathers what comes within 75 ms into one transaction, and moves the checkpoint on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sallyport_core::Clock;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::capability::DeriveKeyed;
use tokio::time::Instant;

use super::append::{self, AppendError, append};
use super::batch::{Batch, Taken};
use super::chain::{Break, ChainBreak, Head};
use super::checkpoint::{self, Found};
use super::queue::Queue;
use super::rows::ROW;
use super::{AuditError, Signals};
use crate::{Store, StoreError};

/// How long records are gathered before they are written together. A quarter of what
/// [`Audit::record`](sallyport_core::audit::Audit::record) promises is left for the writing; the fewer transactions,
/// the less each call costs.
const GATHER: Duration = Duration::from_millis(75);

/// The most records in one transaction.
const BATCH: usize = ROW;

/// The checkpoint is never older than this, nor further behind than [`CHECKPOINT_RECORDS`], while records are written.
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);
const CHECKPOINT_RECORDS: u64 = 1000;

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    store: Store,
    keys: Arc<dyn DeriveKeyed>,
    clock: Arc<dyn Clock>,
    signals: Arc<Signals>,
    queue: Arc<Queue>,
    /// Taken from the queue and not yet put in order.
    taken: Taken,
    /// What is written next.
    waiting: Batch,
    /// The head after our last write: it has to be in the chain for ever.
    known: Head,
    /// Up to where the checkpoint has come, and when.
    witnessed: (u64, Instant),
    /// When to try again what failed last.
    write_again: Option<Instant>,
    witness_again: Option<Instant>,
}

/// The trail was changed by somebody else: nothing more is written to it.
struct Tampered;

impl Writer {
    /// Compares the chain with its checkpoint, and makes the first one.
    pub(super) async fn new(
        store: Store,
        keys: Arc<dyn DeriveKeyed>,
        clock: Arc<dyn Clock>,
        signals: Arc<Signals>,
        queue: Arc<Queue>,
    ) -> Result<Self, AuditError> {
        let mut tx = store.begin().await?;
        // With the write lock in hand: another process's first record cannot come between the two.
        let found = checkpoint::read(store.directory())?;
        let head = append::head(&mut tx).await?;
        let mut waiting = Batch::default();
        match found {
            Found::Checkpoint(seen) if seen.is_authentic(&*keys) => {
                let seen = Head {
                    seq: seen.count,
                    hash: seen.head,
                };
                append::witness(&mut tx, &seen, &head)
                    .await
                    .map_err(|error| match error {
                        AppendError::Store(error) => AuditError::Store(error),
                        AppendError::Broken(found) => AuditError::Broken(found),
                    })?;
            }
            Found::Checkpoint(_) | Found::Unreadable => {
                return Err(ChainBreak {
                    seq: head.seq,
                    what: Break::ForgedCheckpoint,
                }
                .into());
            }
            Found::Nothing if head == Head::NONE => {}
            Found::Nothing => {
                tracing::error!(records = head.seq, "the audit trail has lost its checkpoint");
                let event = Event::new(Action::Trail, Outcome::Failed);
                let event = event
                    .because("the checkpoint was missing: records may have been cut off before this one");
                waiting.push(clock.now(), &event.entry(&event.who()), None);
            }
        }
        tx.rollback().await?;
        let mut writer = Self {
            witnessed: (0, Instant::now()),
            known: head,
            store,
            keys,
            clock,
            signals,
            queue,
            taken: Taken::default(),
            waiting,
            write_again: None,
            witness_again: None,
        };
        if !writer.advance().await? {
            return Err(ChainBreak {
                seq: writer.known.seq,
                what: Break::ForgedCheckpoint,
            }
            .into());
        }
        writer.witnessed = (writer.known.seq, Instant::now());
        Ok(writer)
    }

    pub(super) async fn run(mut self) {
        let mut open = true;
        while open {
            open = self.receive().await;
            if self.write(!open).await.is_err() || self.witness(!open).await.is_err() {
                self.signals.broken.store(true, Ordering::Release);
                return;
            }
            let broken = self.write_again.is_some() || self.witness_again.is_some();
            self.signals.broken.store(broken, Ordering::Release);
        }
        let lost = self.waiting.lines.len();
        if lost > 0 {
            tracing::error!(
                records = lost,
                "audit records were lost: the trail could not be written"
            );
        }
    }

    /// Waits for records or for something to be due; `false` when there will be no more records.
    async fn receive(&mut self) -> bool {
        let due = [self.write_again, self.witness_again, self.witness_due()]
            .into_iter()
            .flatten()
            .min();
        let due = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let mut open = true;
        tokio::select! {
            () = self.queue.filled() => {}
            () = self.signals.stop.notified() => open = false,
            () = tokio::time::sleep_until(due) => {}
        }
        if open && self.queue.may_gather() {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = self.queue.urgent() => {}
                () = self.signals.stop.notified() => open = false,
            }
        }
        if !open {
            self.queue.close();
        }
        self.queue.take(&mut self.taken);
        open
    }

    /// Writes what waits. What somebody waits for and cannot be written is given up, and its effect will not happen; what
    /// has happened already is kept and tried again, and a record tells of the interruption.
    async fn write(&mut self, last: bool) -> Result<(), Tampered> {
        let early = self.write_again.is_some_and(|again| Instant::now() < again) && !last;
        let written = if early { 0 } else { self.write_batches().await? };
        if self.write_again.is_some() {
            self.taken.next(&mut self.waiting, usize::MAX);
            self.waiting.give_up(written);
        }
        Ok(())
    }

    /// Writes one batch after the other until nothing is left, or it fails; returns how many of those that wait are written.
    async fn write_batches(&mut self) -> Result<usize, Tampered> {
        let mut written = 0;
        loop {
            if written == self.waiting.lines.len() {
                written = 0;
                self.waiting.clear();
                self.taken.next(&mut self.waiting, BATCH);
            }
            if self.waiting.lines.is_empty() {
                return Ok(0);
            }
            let batch = self.waiting.lines.part(written..written + BATCH);
            match append(&self.store, &*self.keys, &self.known, batch).await {
                Ok(head) => {
                    self.known = head;
                    if self.write_again.take().is_some() {
                        tracing::info!("the audit trail is written again");
                    }
                    written += batch.len();
                    self.waiting.written(written);
                }
                Err(AppendError::Broken(found)) => {
                    tracing::error!(%found, "the audit trail was changed by somebody else: nothing more is recorded");
                    // What we have seen outlives this process, so that verifying finds what we have found.
                    let _ = self.advance().await;
                    return Err(Tampered);
                }
                Err(AppendError::Store(error)) => {
                    // The record of it comes after what was there before it.
                    self.taken.next(&mut self.waiting, usize::MAX);
                    self.failed(&error);
                    return Ok(written);
                }
            }
        }
    }

    /// Notes that the trail could not be written, and when to try again.
    fn failed(&mut self, error: &StoreError) {
        if self.write_again.is_none() {
            tracing::error!(%error, "the audit trail cannot be written: calls are refused");
            let event = Event::new(Action::Trail, Outcome::Failed)
                .because("the trail could not be written for a while");
            self.waiting
                .push(self.clock.now(), &event.entry(&event.who()), None);
        }
        self.write_again = Some(Instant::now() + RETRY);
    }

    fn witness_due(&self) -> Option<Instant> {
        let (seq, at) = self.witnessed;
        (self.known.seq > seq && self.witness_again.is_none()).then(|| at + CHECKPOINT_AGE)
    }

    /// Moves the checkpoint on if that is due.
    async fn witness(&mut self, last: bool) -> Result<(), Tampered> {
        let now = Instant::now();
        let behind = self.known.seq.saturating_sub(self.witnessed.0);
        let due = self
            .witness_again
            .or_else(|| self.witness_due())
            .is_some_and(|due| due <= now);
        if behind == 0 || !(due || last || (behind >= CHECKPOINT_RECORDS && self.witness_again.is_none())) {
            return Ok(());
        }
        match self.advance().await {
            Ok(true) => {
                self.witnessed = (self.known.seq, Instant::now());
                self.witness_again = None;
                Ok(())
            }
            Ok(false) => {
                tracing::error!(
                    "the checkpoint of the audit trail was changed by somebody else: nothing more is recorded"
                );
                Err(Tampered)
            }
            Err(error) => {
                if self.witness_again.replace(Instant::now() + RETRY).is_none() {
                    tracing::error!(%error, "the checkpoint of the audit trail cannot be written: calls are refused");
                }
                Ok(())
            }
        }
    }

    async fn advance(&self) -> std::io::Result<bool> {
        let (directory, head) = (self.store.directory().to_owned(), self.known.clone());
        let keys = Arc::clone(&self.keys);
        let advanced = tokio::task::spawn_blocking(move || checkpoint::advance(&directory, &head, &*keys));
        advanced.await.map_err(std::io::Error::other)?
    }
}

impl Drop for Writer {
    /// However it ends: nobody waits for what will not be written.
    fn drop(&mut self) {
        self.queue.close();
        self.queue.take(&mut self.taken);
    }
}
