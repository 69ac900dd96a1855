//! Appending to the chain in the database.

use std::sync::LazyLock;

use sallyport_core::Timestamp;
use sallyport_core::capability::DeriveKeyed;
use sqlx::SqliteConnection;
use thiserror::Error;

use super::chain::{Break, ChainBreak, Head, Record};
use crate::columns::Columns as _;
use crate::{Store, StoreError};

const INSERT: &str = "INSERT INTO audit (seq, at, prev, hash, mac, body) VALUES ";
const ROW: &str = "(?, ?, ?, ?, ?, ?)";

/// Rows in one statement. Each statement goes to the connection's thread and back, which costs more than its rows: a
/// busy trail writes hundreds of rows at a time, a quiet one a few.
const MANY: usize = 128;
const SOME: usize = 8;

static INSERT_MANY: LazyLock<String> = LazyLock::new(|| statement(MANY));
static INSERT_SOME: LazyLock<String> = LazyLock::new(|| statement(SOME));
static INSERT_ONE: LazyLock<String> = LazyLock::new(|| statement(1));

fn statement(rows: usize) -> String {
    format!("{INSERT}{}", vec![ROW; rows].join(", "))
}

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

/// Appends in one transaction and returns the new head. The head is read within the transaction, so that several
/// processes continue one chain (AL-07), and what was there before (`known`) has to be there still.
pub(super) async fn append(
    store: &Store,
    keys: &dyn DeriveKeyed,
    known: &Head,
    bodies: impl Iterator<Item = (Timestamp, String)>,
) -> Result<Head, AppendError> {
    let mut tx = store.begin().await?;
    let mut head = head(&mut tx).await?;
    witness(&mut tx, known, &head).await?;
    let mut records = Vec::new();
    for (at, body) in bodies {
        let record = Record::follow(&head, at, body, keys);
        head = Head {
            seq: record.seq,
            hash: record.hash,
        };
        records.push(record);
    }
    let (many, rest) = records.as_chunks::<MANY>();
    for rows in many {
        insert(&mut tx, &INSERT_MANY, rows).await?;
    }
    let (some, rest) = rest.as_chunks::<SOME>();
    for rows in some {
        insert(&mut tx, &INSERT_SOME, rows).await?;
    }
    for row in rest {
        insert(&mut tx, &INSERT_ONE, std::slice::from_ref(row)).await?;
    }
    tx.commit().await?;
    Ok(head)
}

async fn insert(tx: &mut SqliteConnection, sql: &'static str, records: &[Record]) -> Result<(), StoreError> {
    let mut query = sqlx::query(sql);
    for record in records {
        query = query
            .bind(signed(record.seq)?)
            .bind(record.at.as_millis())
            .bind(record.prev.as_slice())
            .bind(record.hash.as_slice())
            .bind(record.mac.as_slice())
            .bind(record.body.as_str());
    }
    query.execute(tx).await?;
    Ok(())
}

pub(super) fn signed(seq: u64) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::Corrupt { what: "seq" })
}

/// The last record that is there.
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
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
        let row = sqlx::query("SELECT hash FROM audit WHERE seq = ?").bind(signed(known.seq)?);
        row.fetch_optional(connection)
            .await?
            .map(|row| row.digest("hash"))
            .transpose()?
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
