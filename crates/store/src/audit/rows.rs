//! Records as they lie in the database: a row holds those that were written together, so that many cost little more than
//! one. What is hashed and signed is each record on its own; how they are spread over rows says nothing.

use sallyport_core::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::append::signed;
use super::chain::{Head, Record};
use crate::columns::Columns as _;
use crate::write::Prepared;
use crate::{Store, StoreError};

/// The most records in one row, and in one transaction: some 1.5 MB of calls.
pub(super) const ROW: usize = 4096;

const INSERT: &str = "INSERT INTO audit (seq, prev, at, hash, mac, body) VALUES (?, ?, ?, ?, ?, ?)";

/// Writes only if the last record is the one that is expected: its place, and its hash.
const INSERT_AFTER: &str = "INSERT INTO audit (seq, prev, at, hash, mac, body) SELECT ?, ?, ?, ?, ?, ? \
     FROM (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1) AS last \
     WHERE last.seq = ? AND substr(last.hash, -32) = ?";

/// Writes the records, which follow each other, as one row.
pub(super) async fn insert(tx: &mut SqliteConnection, records: &[Record]) -> Result<(), StoreError> {
    if let Some(row) = Row::of(records)? {
        row.bind(sqlx::query(INSERT)).execute(tx).await?;
    }
    Ok(())
}

/// Writes the records, which follow `known`, as one row, if `known` is the last record that is there. `false`: it is not,
/// and nothing was written.
pub(super) async fn insert_after(
    store: &Store,
    known: &Head,
    records: &[Record],
) -> Result<bool, StoreError> {
    let Some(row) = Row::of(records)? else {
        return Ok(true);
    };
    let query = row.bind(sqlx::query(INSERT_AFTER));
    let query = query.bind(signed(known.seq)?).bind(known.hash.to_vec());
    Ok(store.write_at_once(query).await? > 0)
}

/// Records as the columns of one row.
struct Row {
    seq: i64,
    prev: Vec<u8>,
    at: Vec<u8>,
    hash: Vec<u8>,
    mac: Vec<u8>,
    body: String,
}

impl Row {
    /// `None` without records.
    fn of(records: &[Record]) -> Result<Option<Self>, StoreError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(None);
        };
        let mut at = Vec::with_capacity(records.len() * 8);
        let mut hash = Vec::with_capacity(records.len() * 32);
        let mut mac = Vec::with_capacity(records.len() * 32);
        let length: usize = records.iter().map(|record| record.body.len() + 1).sum();
        let mut body = String::with_capacity(length);
        for record in records {
            if !at.is_empty() {
                body.push('\n');
            }
            at.extend_from_slice(&record.at.as_millis().to_be_bytes());
            hash.extend_from_slice(&record.hash);
            mac.extend_from_slice(&record.mac);
            body.push_str(&record.body);
        }
        Ok(Some(Self {
            seq: signed(last.seq)?,
            prev: first.prev.to_vec(),
            at,
            hash,
            mac,
            body,
        }))
    }

    fn bind(self, query: Prepared<'_>) -> Prepared<'_> {
        query
            .bind(self.seq)
            .bind(self.prev)
            .bind(self.at)
            .bind(self.hash)
            .bind(self.mac)
            .bind(self.body)
    }
}

/// The records of a row, in order.
///
/// # Errors
/// [`StoreError::Corrupt`] if the row is none that was written here.
pub(super) fn read(row: &SqliteRow) -> Result<Vec<Record>, StoreError> {
    let corrupt = || StoreError::Corrupt { what: "audit" };
    let last = row.number("seq")?;
    let (at, hash, mac) = (row.bytes("at")?, row.bytes("hash")?, row.bytes("mac")?);
    let body = row.text("body")?;
    let (at, no_more_at) = at.as_chunks::<8>();
    let (hash, no_more_hash) = hash.as_chunks::<32>();
    let (mac, no_more_mac) = mac.as_chunks::<32>();
    let bodies: Vec<&str> = body.split('\n').collect();
    let whole = no_more_at.is_empty() && no_more_hash.is_empty() && no_more_mac.is_empty();
    let count = hash.len();
    if !whole || [at.len(), mac.len(), bodies.len()] != [count; 3] {
        return Err(corrupt());
    }
    let before = u64::try_from(count)
        .ok()
        .and_then(|count| last.checked_sub(count));
    let mut prev = row.digest("prev")?;
    (before.ok_or_else(corrupt)?..last)
        .zip(at.iter().zip(hash).zip(mac.iter().zip(bodies)))
        .map(|(before, ((at, hash), (mac, body)))| {
            Ok(Record {
                seq: before.saturating_add(1),
                at: Timestamp::from_millis(i64::from_be_bytes(*at)),
                prev: std::mem::replace(&mut prev, *hash),
                hash: *hash,
                mac: *mac,
                body: body.to_owned(),
            })
        })
        .collect()
}
