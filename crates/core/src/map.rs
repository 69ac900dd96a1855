//! Maps and sets for what each request looks up.
//!
//! They are hashed by foldhash, seeded anew for each map, which costs less than the standard library's SipHash for the short
//! keys here. It is not a cryptographic hash; use these where the number of entries is bounded, and the standard
//! library's maps where strangers can fill one without limit.

use std::collections::{HashMap, HashSet};

/// Chooses the seed of a map.
pub type Seed = foldhash::fast::RandomState;

/// A map that each request may look into.
pub type Map<K, V> = HashMap<K, V, Seed>;

/// A set that each request may look into.
pub type Set<K> = HashSet<K, Seed>;
