use std::io::BufReader;
use std::time::{Duration, Instant};

use sallyport_core::audit::{Action, Outcome};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::append::append;
use super::chain::{GENESIS, Head, follow, mac_of};
use super::lines::Lines;
use super::rows::{Bodies, ROW, Row};
use super::*;
use crate::testing::{TestClock, TestKeys, at, keys, open, store};

mod rows;
mod tampering;
mod writing;

async fn trail(store: &Store) -> Result<AuditTrail, AuditError> {
    AuditTrail::start(store, keys(), Arc::new(TestClock)).await
}

fn event(n: usize) -> Event {
    Event::new(Action::ToolCall, Outcome::Ok).on(&format!("tool {n}"))
}

/// A stopped trail of `count` records with its checkpoint.
async fn written(count: usize) -> (TempDir, Store, AuditLog) {
    let (root, store) = store().await;
    let trail = trail(&store).await.unwrap();
    for n in 0..count {
        trail.record(&event(n)).unwrap();
    }
    trail.shutdown().await;
    let log = trail.log().clone();
    (root, store, log)
}

async fn sql(store: &Store, statements: &'static str) {
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(statements).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn broken(log: &AuditLog) -> ChainBreak {
    match log.verify().await {
        Err(AuditError::Broken(found)) => found,
        other => panic!("{other:?}"),
    }
}

/// Writes the trail anew as `records`, so many in a row.
async fn rewrite(store: &Store, records: &[Record], in_a_row: usize) {
    rewrite_rows(store, records.chunks(in_a_row)).await;
}

async fn rewrite_rows(store: &Store, rows: impl Iterator<Item = &[Record]>) {
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("DELETE FROM audit")
        .execute(&mut *tx)
        .await
        .unwrap();
    for row in rows {
        row_of(row).insert(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// These records as a row, whatever is wrong with them.
fn row_of(records: &[Record]) -> Row {
    let all = |field: &dyn Fn(&Record) -> Vec<u8>| records.iter().flat_map(field).collect();
    let bodies: Vec<&str> = records.iter().map(|record| record.body.as_str()).collect();
    Row {
        seq: records.last().unwrap().seq.try_into().unwrap(),
        prev: records[0].prev.to_vec(),
        at: all(&|record| record.at.as_millis().to_be_bytes().to_vec()),
        hash: all(&|record| record.hash.to_vec()),
        mac: all(&|record| record.mac.map(Vec::from).unwrap_or_default()),
        bodies: Bodies::of(bodies.join("\n").as_bytes()),
    }
}

/// Gives each record a row of its own, so that statements can do something to one.
async fn spread(store: &Store, log: &AuditLog) {
    let records = log.after(0, u32::MAX).await.unwrap();
    rewrite(store, &signed(records, 1), 1).await;
}

/// The records with the MACs that they have where so many were written together.
fn signed(mut records: Vec<Record>, together: usize) -> Vec<Record> {
    for row in records.chunks_mut(together) {
        let first = row[0].seq;
        for record in &mut *row {
            record.mac = None;
        }
        let last = row.last_mut().unwrap();
        last.mac = Some(mac_of(first, &head(last), &*keys()));
    }
    records
}

fn head(record: &Record) -> Head {
    Head {
        seq: record.seq,
        hash: record.hash,
    }
}

/// What somebody without the key makes of records: all hashes right again from this index on.
fn restamp(records: &mut [Record], from: usize) {
    let mut known = from
        .checked_sub(1)
        .map_or(Head::NONE, |before| head(&records[before]));
    for record in &mut records[from..] {
        record.prev = known.hash;
        follow(&mut known, record.at, record.body.as_bytes());
        (record.seq, record.hash) = (known.seq, known.hash);
    }
}
