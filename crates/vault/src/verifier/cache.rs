//! Verified tokens by the SHA-256 of their text: sharded, bounded, the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sallyport_core::{Principal, Thumbprint, Timestamp};

/// Enough that data threads seldom wait for each other.
const SHARDS: usize = 64;

type Hash = [u8; 32];

/// A token whose signature and claims have been verified.
pub(super) struct Entry {
    pub(super) principal: Arc<Principal>,
    /// The key that it is bound to.
    pub(super) key: Option<Thumbprint>,
    /// `nbf` or `iat`, less the skew that is granted.
    pub(super) not_before: Timestamp,
    /// The generation of the keys that verified it.
    pub(super) generation: u64,
    /// The epoch of the revocations at which its grant was last found alive.
    pub(super) checked: AtomicU64,
    /// Whether its first use has been told.
    pub(super) told: AtomicBool,
}

impl Entry {
    /// Whether nobody has been told of its use yet; from now on somebody has.
    pub(super) fn is_first_use(&self) -> bool {
        // Read before it is written: only the first use changes anything.
        !self.told.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }
}

pub(super) struct Cache {
    shards: Vec<RwLock<Shard>>,
    shard_capacity: usize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Hash, Entry, BuildHasherDefault<Prefix>>,
    /// In order of arrival; removed entries leave their hash behind until it is its turn.
    order: VecDeque<Hash>,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            shard_capacity: capacity.div_ceil(SHARDS),
        }
    }

    fn shard(&self, hash: &Hash) -> Option<&RwLock<Shard>> {
        // The last byte: the map inside a shard goes by the first ones.
        self.shards.get(usize::from(*hash.last()?) % SHARDS)
    }

    pub(super) fn with<T>(&self, hash: &Hash, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        let shard = self.shard(hash)?.read().unwrap_or_else(PoisonError::into_inner);
        shard.entries.get(hash).map(look)
    }

    pub(super) fn insert(&self, hash: Hash, entry: Entry) {
        if self.shard_capacity == 0 {
            return;
        }
        let Some(shard) = self.shard(&hash) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.entries.insert(hash, entry).is_none() {
            // Every hash of the map is in the queue, so a full queue is what has to shrink.
            while shard.order.len() >= self.shard_capacity {
                let Some(oldest) = shard.order.pop_front() else {
                    break;
                };
                if oldest != hash {
                    shard.entries.remove(&oldest);
                }
            }
            shard.order.push_back(hash);
        }
    }

    pub(super) fn remove(&self, hash: &Hash) {
        if let Some(shard) = self.shard(hash) {
            shard
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .entries
                .remove(hash);
        }
    }

    pub(super) fn len(&self) -> usize {
        let length =
            |shard: &RwLock<Shard>| shard.read().unwrap_or_else(PoisonError::into_inner).entries.len();
        self.shards.iter().map(length).sum()
    }
}

/// The key is a SHA-256 already: its first eight bytes are as good as any hash of it.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}
