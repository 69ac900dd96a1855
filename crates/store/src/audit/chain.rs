//! The chain itself: what is hashed, and how a chain is walked.
//!
//! `hash = SHA-256("sallyport audit 1" | seq | at | prev | body)` with the numbers as eight bytes, most significant first;
//! anybody can compute it. `mac` is a keyed hash under the gateway's master key; only the gateway can. One vouches for all
//! records of a row, because the hash of the last binds those before it: for a row of one it is that of `hash`, else that of
//! the number of the first record and the last one's `hash`, so that rows cannot be put together either.

use aws_lc_rs::digest::{Context, SHA256, digest};
use sallyport_core::Timestamp;
use sallyport_core::audit::Event;
use sallyport_core::capability::DeriveKeyed;
use thiserror::Error;

use super::checkpoint::Checkpoint;

const DOMAIN: &[u8] = b"sallyport audit 1";
const RECORD: &str = "audit/record";
const ROW: &str = "audit/row";

/// Records of up to so many bytes, nearly all, are hashed in one piece, which takes a good deal less than in parts.
const TOGETHER: usize = 1024;

/// What the first record names as the hash before it.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its place, from 1.
    pub seq: u64,
    /// When the event was recorded.
    pub at: Timestamp,
    /// The hash of the record before it; zeros for the first.
    pub prev: [u8; 32],
    /// The hash of this record.
    pub hash: [u8; 32],
    /// The keyed hash that vouches for this record and for those since the last one that has any. Of records that were
    /// written together the last has it; in older trails each has one.
    pub mac: Option<[u8; 32]>,
    /// The event, as one line of JSON in ASCII, exactly as it was hashed.
    pub body: String,
}

impl Record {
    /// The event, if the body is one that this version knows.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        serde_json::from_str(&self.body).ok()
    }

    /// Whether it tells of the trail itself.
    fn is_doubt(&self) -> bool {
        self.body.starts_with(r#"{"action":"trail""#)
    }
}

/// Makes a body the next record after `head`, which becomes that record's.
pub(super) fn follow(head: &mut Head, at: Timestamp, body: &[u8]) {
    head.seq = head.seq.saturating_add(1);
    head.hash = hash(head.seq, at, &head.hash, body);
}

/// What vouches for the records from `first` to `last`.
pub(super) fn mac_of(first: u64, last: &Head, keys: &dyn DeriveKeyed) -> [u8; 32] {
    if first == last.seq {
        keys.derive(RECORD, &last.hash)
    } else {
        keys.derive(ROW, &[first.to_be_bytes().as_slice(), &last.hash].concat())
    }
}

fn hash(seq: u64, at: Timestamp, prev: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let (seq, at) = (seq.to_be_bytes(), at.as_millis().to_be_bytes());
    let parts = [DOMAIN, &seq, &at, prev, body];
    let mut together = [0; TOGETHER];
    let digest = match joined(&parts, &mut together) {
        Some(all) => digest(&SHA256, all),
        None => {
            let mut context = Context::new(&SHA256);
            parts.iter().for_each(|part| context.update(part));
            context.finish()
        }
    };
    // SHA-256 has 32 bytes; a chain of zeros would not verify.
    digest.as_ref().try_into().unwrap_or(GENESIS)
}

/// The parts one after the other, if there is room for them.
fn joined<'a>(parts: &[&[u8]], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        let end = length + part.len();
        room.get_mut(length..end)?.copy_from_slice(part);
        length = end;
    }
    room.get(..length)
}

/// The last record of a chain: how many there are, and the hash of the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) hash: [u8; 32],
}

impl Head {
    pub(super) const NONE: Self = Self {
        seq: 0,
        hash: GENESIS,
    };
}

/// A chain that was found whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// How many records there are.
    pub count: u64,
    /// The hash of the last one; zeros if there is none.
    pub head: [u8; 32],
    /// The records in which the trail itself says that it was interrupted, or went on without its checkpoint.
    pub doubts: Vec<u64>,
}

/// Where a chain is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("record {seq}: {what}")]
pub struct ChainBreak {
    /// The first record that is wrong, or missing, or that no MAC vouches for. With a row's MAC alone it cannot be told
    /// which of its records somebody made up; all of them are in doubt then.
    pub seq: u64,
    /// What is wrong with it.
    pub what: Break,
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Break {
    /// Another record stands in its place: it was removed, or others were put before it.
    #[error("it is missing, or out of order")]
    Missing,
    /// It does not name the hash of the record before it.
    #[error("it does not follow the record before it")]
    Unlinked,
    /// Its content does not have the hash that it carries.
    #[error("it was changed")]
    Changed,
    /// Neither it nor a record that follows it has a MAC for it that was made with the gateway's key.
    #[error("it was not written by this gateway, or with another master key")]
    Forged,
    /// It is not the record that the checkpoint saw in this place.
    #[error("it is not the record that the checkpoint saw")]
    Replaced,
    /// The checkpoint has seen this record, and it is gone.
    #[error("it was cut off together with all that followed")]
    Truncated,
    /// There is no checkpoint, so records from here on may have been cut off.
    #[error("the checkpoint is missing, so it may have been cut off")]
    NoCheckpoint,
    /// The checkpoint itself was not made with the gateway's key.
    #[error("the checkpoint was changed, or made with another master key")]
    ForgedCheckpoint,
}

/// A walk along a chain from its first record.
pub(super) struct Walk<'a> {
    keys: Option<&'a dyn DeriveKeyed>,
    checkpoint: Option<Checkpoint>,
    head: Head,
    /// The last record that a MAC vouches for.
    vouched: u64,
    doubts: Vec<u64>,
}

impl<'a> Walk<'a> {
    /// Without keys the hashes are checked and the MACs are not.
    pub(super) fn new(keys: Option<&'a dyn DeriveKeyed>) -> Self {
        Self {
            keys,
            checkpoint: None,
            head: Head::NONE,
            vouched: 0,
            doubts: Vec::new(),
        }
    }

    /// The walk has to pass this checkpoint; one that lies behind is not looked back at.
    pub(super) fn expect(&mut self, checkpoint: Checkpoint) -> Result<(), ChainBreak> {
        if self.keys.is_some_and(|keys| !checkpoint.is_authentic(keys)) {
            return Err(ChainBreak {
                seq: checkpoint.count,
                what: Break::ForgedCheckpoint,
            });
        }
        self.checkpoint = Some(checkpoint);
        self.compare()
    }

    pub(super) fn last(&self) -> u64 {
        self.head.seq
    }

    pub(super) fn step(&mut self, record: &Record) -> Result<(), ChainBreak> {
        let seq = self.head.seq.saturating_add(1);
        let wrong = |what| Err(ChainBreak { seq, what });
        if record.seq != seq {
            return wrong(Break::Missing);
        }
        if record.prev != self.head.hash {
            return wrong(Break::Unlinked);
        }
        if record.hash != hash(seq, record.at, &record.prev, record.body.as_bytes()) {
            return wrong(Break::Changed);
        }
        self.head = Head {
            seq,
            hash: record.hash,
        };
        if let (Some(keys), Some(mac)) = (self.keys, record.mac) {
            if mac != mac_of(self.vouched.saturating_add(1), &self.head, keys) {
                return Err(self.forged());
            }
            self.vouched = seq;
        }
        if record.is_doubt() {
            self.doubts.push(seq);
        }
        self.compare()
    }

    /// The first record that nothing vouches for.
    fn forged(&self) -> ChainBreak {
        ChainBreak {
            seq: self.vouched.saturating_add(1),
            what: Break::Forged,
        }
    }

    fn compare(&self) -> Result<(), ChainBreak> {
        match &self.checkpoint {
            Some(seen) if seen.count == self.head.seq && seen.head != self.head.hash => Err(ChainBreak {
                seq: seen.count,
                what: Break::Replaced,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<Verified, ChainBreak> {
        if self.keys.is_some() && self.vouched < self.head.seq {
            return Err(self.forged());
        }
        let next = self.head.seq.saturating_add(1);
        match &self.checkpoint {
            Some(seen) if seen.count >= next => Err(ChainBreak {
                seq: next,
                what: Break::Truncated,
            }),
            None if next > 1 => Err(ChainBreak {
                seq: next,
                what: Break::NoCheckpoint,
            }),
            _ => Ok(Verified {
                count: self.head.seq,
                head: self.head.hash,
                doubts: self.doubts,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_piece_or_in_parts_the_hash_is_the_same() {
        let (at, prev) = (Timestamp::from_millis(1_700_000_000_123), [7; 32]);
        let most = TOGETHER - DOMAIN.len() - 8 - 8 - 32;
        for length in [0, 1, 222, most - 1, most, most + 1, 100_000] {
            let body = vec![b'x'; length];
            let mut context = Context::new(&SHA256);
            for part in [
                DOMAIN,
                &9_u64.to_be_bytes(),
                &1_700_000_000_123_i64.to_be_bytes(),
                &prev,
                &body,
            ] {
                context.update(part);
            }
            assert_eq!(hash(9, at, &prev, &body), context.finish().as_ref(), "{length}");
        }
    }
}
