//! Reading, verifying and exporting the trail.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::capability::DeriveKeyed;
use sqlx::sqlite::SqliteRow;

use super::append::signed;
use super::chain::{Break, ChainBreak, Record, Verified, Walk};
use super::checkpoint::{self, Found};
use super::{AuditError, export, rows};
use crate::{Store, StoreError};

/// Records that are held at once while the whole trail is read.
const PAGE: u32 = 1000;

/// The records of a row that ends beyond the wanted ones and holds some of them.
const LONGEST: i64 = rows::ROW as i64;

/// How often a follower looks for new records.
const POLL: Duration = Duration::from_millis(250);

/// The trail as it can be read; it needs no running gateway.
#[derive(Clone)]
pub struct AuditLog {
    store: Store,
    keys: Arc<dyn DeriveKeyed>,
}

impl AuditLog {
    /// The trail of a store.
    #[must_use]
    pub fn new(store: Store, keys: Arc<dyn DeriveKeyed>) -> Self {
        Self { store, keys }
    }

    /// The last `count` records, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn tail(&self, count: u32) -> Result<Vec<Record>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM audit WHERE seq > (SELECT MAX(seq) FROM audit) - ? ORDER BY seq")
                .bind(i64::from(count))
                .fetch_all(self.store.reader())
                .await?;
        let mut records = read_all(&rows)?;
        let more = records
            .len()
            .saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        records.drain(..more);
        Ok(records)
    }

    /// Up to `limit` records after `seq`, in order.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn after(&self, seq: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let mut records = read_all(&self.rows(seq, limit).await?)?;
        records.retain(|record| record.seq > seq);
        records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(records)
    }

    /// The records after `seq` as they are written, for `audit tail -f`.
    #[must_use]
    pub fn follow(&self, seq: u64) -> Follow {
        Follow {
            log: self.clone(),
            seq,
        }
    }

    /// Walks the whole chain: every hash, every link, every MAC, and the checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Broken`] names the first record that is wrong.
    pub async fn verify(&self) -> Result<Verified, AuditError> {
        let mut walk = Walk::new(Some(&*self.keys));
        // Read before the chain: what is appended meanwhile only makes the chain longer than it says.
        match checkpoint::read(self.store.directory())? {
            Found::Checkpoint(checkpoint) => walk.expect(checkpoint)?,
            Found::Unreadable => {
                return Err(ChainBreak {
                    seq: 0,
                    what: Break::ForgedCheckpoint,
                }
                .into());
            }
            Found::Nothing => {}
        }
        loop {
            let rows = self.rows(walk.last(), PAGE).await?;
            for row in &rows {
                // What cannot be read was not written by us: that is a finding, not a failure.
                let seq = walk.last().saturating_add(1);
                let records = rows::read(row).map_err(|_| ChainBreak {
                    seq,
                    what: Break::Changed,
                })?;
                for record in &records {
                    walk.step(record)?;
                }
            }
            if rows.is_empty() {
                return Ok(walk.finish()?);
            }
        }
    }

    /// Writes the whole trail as lines of JSON, the checkpoint first, for [`verify_export`](super::verify_export).
    /// The writer is called between reads of the store, so it should not block for long.
    ///
    /// # Errors
    /// [`AuditError`] if the store, the checkpoint or the writer failed.
    pub async fn export(&self, out: &mut (impl Write + Send)) -> Result<u64, AuditError> {
        if let Found::Checkpoint(checkpoint) = checkpoint::read(self.store.directory())? {
            export::write_checkpoint(out, &checkpoint)?;
        }
        let mut last = 0;
        loop {
            let records = self.after(last, PAGE).await?;
            for record in &records {
                export::write_record(out, record)?;
                last = record.seq;
            }
            if records.is_empty() {
                break;
            }
        }
        out.flush()?;
        Ok(last)
    }

    /// The rows of at least `limit` records after `seq`, as far as there are any, and of not many more: the next row,
    /// wherever it ends, and those that end soon enough after it.
    async fn rows(&self, seq: u64, limit: u32) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM audit WHERE seq > ?1 AND seq <= (SELECT MIN(seq) FROM audit WHERE seq > ?1) + ?2 \
             ORDER BY seq",
        );
        let rows = rows.bind(signed(seq)?).bind(i64::from(limit) + LONGEST);
        Ok(rows.fetch_all(self.store.reader()).await?)
    }
}

fn read_all(rows: &[SqliteRow]) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    for row in rows {
        records.append(&mut rows::read(row)?);
    }
    Ok(records)
}

/// Records as they are written, by whatever process.
pub struct Follow {
    log: AuditLog,
    seq: u64,
}

impl Follow {
    /// Waits until there is at least one more record and returns what there is, in order, some hundreds at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; calling again goes on where it was.
    pub async fn next(&mut self) -> Result<Vec<Record>, StoreError> {
        loop {
            let records = self.log.after(self.seq, 500).await?;
            if let Some(last) = records.last() {
                self.seq = last.seq;
                return Ok(records);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}
