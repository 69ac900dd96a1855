//! Appending to the chain in the database.

use sallyport_core::capability::DeriveKeyed;
use sqlx::SqliteConnection;
use thiserror::Error;

use super::chain::{Break, ChainBreak, Head};
use super::lines::Part;
use super::rows::Row;
use crate::columns::Columns as _;
use crate::{Store, StoreError};

#[derive(Debug, Error)]
pub(super) enum AppendError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Broken(#[from] ChainBreak),
}

impl From<sqlx::Error> for AppendError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Appends at most [`ROW`](super::rows::ROW) records as a whole or not at all, and returns the new head. Several processes continue one
/// chain (AL-07), and what was there before (`known`) has to be there still.
pub(super) async fn append(
    store: &Store,
    keys: &dyn DeriveKeyed,
    known: &Head,
    bodies: Part<'_>,
) -> Result<Head, AppendError> {
    let (row, end) = Row::follow(known, bodies, keys)?;
    // Mostly nobody else has written, and the database has to be asked only once.
    if row.insert_after(store, known).await? {
        return Ok(end);
    }
    let mut tx = store.begin().await?;
    let head = head(&mut tx).await?;
    witness(&mut tx, known, &head).await?;
    let (row, end) = Row::follow(&head, bodies, keys)?;
    row.insert(&mut tx).await?;
    tx.commit().await?;
    Ok(end)
}

pub(super) fn signed(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Corrupt { what: "seq" })
}

/// The last record that is there.
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT seq, substr(hash, -32) AS hash FROM audit ORDER BY seq DESC LIMIT 1");
    match row.fetch_optional(connection).await? {
        Some(row) => Ok(Head {
            seq: row.number("seq")?,
            hash: row.digest("hash")?,
        }),
        None => Ok(Head::NONE),
    }
}

/// Whether the chain that ends in `head` holds `known`. Without this a chain that was cut while the gateway runs would be
/// written on, and the next checkpoint would bless it.
pub(super) async fn witness(
    connection: &mut SqliteConnection,
    known: &Head,
    head: &Head,
) -> Result<(), AppendError> {
    if head.seq < known.seq {
        return Err(ChainBreak {
            seq: head.seq.saturating_add(1),
            what: Break::Truncated,
        }
        .into());
    }
    let there = if head.seq == known.seq {
        Some(head.hash)
    } else if known.seq == 0 {
        return Ok(());
    } else {
        let row = sqlx::query("SELECT seq, hash FROM audit WHERE seq >= ? ORDER BY seq LIMIT 1");
        let row = row.bind(signed(known.seq)?).fetch_optional(connection).await?;
        match row {
            Some(row) => hash_at(&row.bytes("hash")?, row.number("seq")?, known.seq),
            None => None,
        }
    };
    match there {
        Some(hash) if hash == known.hash => Ok(()),
        Some(_) => Err(ChainBreak {
            seq: known.seq,
            what: Break::Replaced,
        }
        .into()),
        None => Err(ChainBreak {
            seq: known.seq,
            what: Break::Missing,
        }
        .into()),
    }
}

/// The hash of the record `seq` in a row that ends with the record `last`.
fn hash_at(hashes: &[u8], last: u64, seq: u64) -> Option<[u8; 32]> {
    let (hashes, _) = hashes.as_chunks::<32>();
    let from_end = usize::try_from(last.checked_sub(seq)?).ok()?;
    let at = hashes.len().checked_sub(from_end)?.checked_sub(1)?;
    hashes.get(at).copied()
}
