//! The trail as lines of JSON, and checking them without the store.
//!
//! `{"seq":1,"at":…,"prev":"hex","hash":"hex","mac":"hex","body":{…}}`: the body stands there byte for byte as it was
//! hashed, so whoever has SHA-256 can check the hashes. Of records that were written together only the last has a `mac`, which
//! vouches for those before it, so that an export cannot end before it either. The first line is the checkpoint,
//! `{"checkpoint":{"count":…,"head":"hex","mac":"hex"}}`, so that a cut at the end is noticed.

use std::io::{self, BufRead, Read as _, Write};

use sallyport_core::Timestamp;
use sallyport_core::capability::DeriveKeyed;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::chain::{ChainBreak, Record, Verified, Walk};
use super::checkpoint::Checkpoint;
use super::hex;

/// The longest line that is read, in bytes; ours have less than 8 KiB.
const MAX_LINE: u64 = 64 * 1024;

/// Why an export does not verify.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The chain is wrong.
    #[error(transparent)]
    Broken(#[from] ChainBreak),
    /// A line is no record, and not the checkpoint in the first line.
    #[error("line {line} is not a record of the trail")]
    Line {
        /// Its number, from 1.
        line: u64,
    },
    /// The export could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(with = "hex")]
    prev: [u8; 32],
    #[serde(with = "hex")]
    hash: [u8; 32],
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex::maybe")]
    mac: Option<[u8; 32]>,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine {
    checkpoint: Checkpoint,
}

pub(super) fn write_record(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let body: &RawValue = serde_json::from_str(&record.body)?;
    let line = RecordLine {
        seq: record.seq,
        at: record.at,
        prev: record.prev,
        hash: record.hash,
        mac: record.mac,
        body,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

pub(super) fn write_checkpoint(out: &mut impl Write, checkpoint: &Checkpoint) -> io::Result<()> {
    serde_json::to_writer(
        &mut *out,
        &CheckpointLine {
            checkpoint: checkpoint.clone(),
        },
    )?;
    out.write_all(b"\n")
}

/// Checks an export. With the gateway's keys the MACs are checked; without them the hashes, the links and that the chain
/// reaches its checkpoint, which finds damage but not a forger who has computed all hashes anew.
///
/// # Errors
/// [`ExportError::Broken`] names the first record that is wrong.
pub fn verify_export(
    mut input: impl BufRead,
    keys: Option<&dyn DeriveKeyed>,
) -> Result<Verified, ExportError> {
    let mut walk = Walk::new(keys);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let unreadable = || ExportError::Line { line: number };
        let text = std::str::from_utf8(&line).map_err(|_| unreadable())?;
        if number == 1
            && let Ok(first) = serde_json::from_str::<CheckpointLine>(text)
        {
            walk.expect(first.checkpoint)?;
            continue;
        }
        let record: RecordLine<'_> = serde_json::from_str(text).map_err(|_| unreadable())?;
        walk.step(&Record {
            seq: record.seq,
            at: record.at,
            prev: record.prev,
            hash: record.hash,
            mac: record.mac,
            body: record.body.get().to_owned(),
        })?;
    }
    Ok(walk.finish()?)
}
