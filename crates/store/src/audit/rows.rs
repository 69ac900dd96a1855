//! Records as they lie in the database: a row holds those that were written together, so that many cost little more than
//! one. What is hashed is each record on its own; what is signed is the row.

use sallyport_core::Timestamp;
use sallyport_core::capability::DeriveKeyed;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::append::signed;
use super::chain::{self, Head, Record};
use super::lines::Part;
use crate::columns::Columns as _;
use crate::write::Prepared;
use crate::{Store, StoreError};

/// The most records in one row, and in one transaction: some 3 MB of calls.
pub(super) const ROW: usize = 8192;

/// Bodies of fewer bytes than this are kept as they are: packed, they would not take a page less.
const PACK: usize = 4096;

const INSERT: &str =
    "INSERT INTO audit (seq, prev, at, hash, mac, body, packed) VALUES (?, ?, ?, ?, ?, ?, ?)";

/// Writes only if the last record is the one that is expected: its place, and its hash.
const INSERT_AFTER: &str = "INSERT INTO audit (seq, prev, at, hash, mac, body, packed) SELECT ?, ?, ?, ?, ?, ?, ? \
     FROM (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1) AS last \
     WHERE last.seq = ? AND substr(last.hash, -32) = ?";

/// Records as the columns of one row.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) prev: Vec<u8>,
    pub(super) at: Vec<u8>,
    pub(super) hash: Vec<u8>,
    pub(super) mac: Vec<u8>,
    pub(super) bodies: Bodies,
}

/// The bodies: a line each, without the last line's end.
pub(super) enum Bodies {
    Plain(String),
    /// Compressed as one block of LZ4 after its length: the calls of a moment are much alike.
    Packed(Vec<u8>),
}

impl Bodies {
    pub(super) fn of(text: &[u8]) -> Self {
        if text.len() < PACK {
            Self::Plain(String::from_utf8_lossy(text).into_owned())
        } else {
            Self::Packed(lz4_flex::compress_prepend_size(text))
        }
    }

    /// What stands in the two columns, which may have been written by anybody.
    fn read(body: String, packed: Option<&[u8]>) -> Option<String> {
        let Some(packed) = packed else {
            return Some(body);
        };
        // A block of LZ4 cannot grow to more than this; whoever claims it does not get the memory.
        let longest = packed.len().saturating_mul(256);
        let (length, _) = packed.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if !body.is_empty() || length > longest {
            return None;
        }
        String::from_utf8(lz4_flex::decompress_size_prepended(packed).ok()?).ok()
    }
}

impl Row {
    /// The row of the bodies that follow `head`, and the head after them.
    pub(super) fn follow(
        head: &Head,
        bodies: Part<'_>,
        keys: &dyn DeriveKeyed,
    ) -> Result<(Self, Head), StoreError> {
        let prev = head.hash.to_vec();
        let first = head.seq.saturating_add(1);
        let mut head = head.clone();
        let mut at = Vec::with_capacity(bodies.len() * 8);
        let mut hash = Vec::with_capacity(bodies.len() * 32);
        let text = bodies.write(|time, body| {
            chain::follow(&mut head, time, body);
            hash.extend_from_slice(&head.hash);
            at.extend_from_slice(&time.as_millis().to_be_bytes());
        });
        let row = Self {
            seq: signed(head.seq)?,
            prev,
            at,
            hash,
            mac: chain::mac_of(first, &head, keys).to_vec(),
            bodies: Bodies::of(&text),
        };
        Ok((row, head))
    }

    pub(super) async fn insert(self, tx: &mut SqliteConnection) -> Result<(), StoreError> {
        self.bind(sqlx::query(INSERT)).execute(tx).await?;
        Ok(())
    }

    /// Writes the row if `known`, which it follows, is the last record that is there. `false`: it is not, and nothing was
    /// written.
    pub(super) async fn insert_after(self, store: &Store, known: &Head) -> Result<bool, StoreError> {
        let query = self.bind(sqlx::query(INSERT_AFTER));
        let query = query.bind(signed(known.seq)?).bind(known.hash.to_vec());
        Ok(store.write_at_once(query).await? > 0)
    }

    fn bind(self, query: Prepared<'_>) -> Prepared<'_> {
        let (body, packed) = match self.bodies {
            Bodies::Plain(body) => (body, None),
            Bodies::Packed(packed) => (String::new(), Some(packed)),
        };
        query
            .bind(self.seq)
            .bind(self.prev)
            .bind(self.at)
            .bind(self.hash)
            .bind(self.mac)
            .bind(body)
            .bind(packed)
    }
}

/// The records of a row, in order. Its MAC is the last record's; in older rows each has one.
///
/// # Errors
/// [`StoreError::Corrupt`] if the row is none that was written here.
pub(super) fn read(row: &SqliteRow) -> Result<Vec<Record>, StoreError> {
    let corrupt = || StoreError::Corrupt { what: "audit" };
    let last = row.number("seq")?;
    let (at, hash, mac) = (row.bytes("at")?, row.bytes("hash")?, row.bytes("mac")?);
    let body = Bodies::read(row.text("body")?, row.maybe_bytes("packed")?.as_deref()).ok_or_else(corrupt)?;
    let (at, no_more_at) = at.as_chunks::<8>();
    let (hash, no_more_hash) = hash.as_chunks::<32>();
    let (mac, no_more_mac) = mac.as_chunks::<32>();
    let bodies: Vec<&str> = body.split('\n').collect();
    let whole = no_more_at.is_empty() && no_more_hash.is_empty() && no_more_mac.is_empty();
    let count = hash.len();
    if !whole || [at.len(), bodies.len()] != [count; 2] || ![1, count].contains(&mac.len()) {
        return Err(corrupt());
    }
    // They belong to the last records of the row.
    let unsigned = count.saturating_sub(mac.len());
    let mac = std::iter::repeat_n(None, unsigned).chain(mac.iter().map(|mac| Some(*mac)));
    let before = u64::try_from(count)
        .ok()
        .and_then(|count| last.checked_sub(count));
    let mut prev = row.digest("prev")?;
    (before.ok_or_else(corrupt)?..last)
        .zip(at.iter().zip(hash).zip(mac.zip(bodies)))
        .map(|(before, ((at, hash), (mac, body)))| {
            Ok(Record {
                seq: before.saturating_add(1),
                at: Timestamp::from_millis(i64::from_be_bytes(*at)),
                prev: std::mem::replace(&mut prev, *hash),
                hash: *hash,
                mac,
                body: body.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_back_packed_from_the_bound_on() {
        for (length, is_packed) in [(0, false), (PACK - 1, false), (PACK, true), (1 << 20, true)] {
            let text = "{\"action\":\"tool_call\"}\n".repeat(length / 10);
            let text = text.get(..length).unwrap();
            let (body, packed) = match Bodies::of(text.as_bytes()) {
                Bodies::Plain(body) => (body, None),
                Bodies::Packed(packed) => (String::new(), Some(packed)),
            };
            assert_eq!(packed.is_some(), is_packed);
            assert!(packed.as_ref().is_none_or(|packed| packed.len() < length / 4));
            assert_eq!(Bodies::read(body, packed.as_deref()).as_deref(), Some(text));
        }
    }

    #[test]
    fn al_01_what_was_never_packed_is_not_read_and_takes_no_memory() {
        let good = lz4_flex::compress_prepend_size(&[b'x'; 5000]);
        assert!(Bodies::read(String::new(), Some(&good)).is_some());
        assert_eq!(Bodies::read("both".to_owned(), Some(&good)), None);
        for end in 0..good.len() {
            assert_eq!(Bodies::read(String::new(), good.get(..end)), None, "cut at {end}");
        }
        let mut endless = good.clone();
        endless[..4].fill(0xff);
        assert_eq!(Bodies::read(String::new(), Some(&endless)), None);
        let not_text = lz4_flex::compress_prepend_size(&[0xff; 5000]);
        assert_eq!(Bodies::read(String::new(), Some(&not_text)), None);
    }
}
