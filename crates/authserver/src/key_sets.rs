//! The public keys of others, at the addresses that they name (`jwks_uri`, RFC 7591 §2): fetched over the guarded way out when
//! they are needed, and kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::Timestamp;
use sallyport_net::Reach;
use sallyport_net::egress::EgressError;
use sallyport_oauth::jws::Keys;
use sallyport_oauth::rate::Wait;
use thiserror::Error;
use url::Url;

use crate::context::Context;
use crate::fetching::{Bounds, Fetching};

/// The longest set that is read, and how long it may take: sixteen RSA keys with certificates fit.
const BOUNDS: Bounds = Bounds {
    bytes: 64 * 1024,
    time: Duration::from_secs(5),
};

/// How long a set counts without being looked at again: as long as a revoked key may go on.
const FRESH: Duration = Duration::from_secs(600);

/// How soon a set is fetched again for a key that is not in it. Whoever invents key ids costs others no more than that.
const AGAIN: Duration = Duration::from_secs(30);

/// How long a set still counts while its site cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The most sets that are kept; the oldest go first.
const CAPACITY: usize = 1000;

/// Why there are no keys. The texts are for the log.
#[derive(Debug, Error)]
pub(crate) enum KeySetError {
    /// The set cannot be fetched now.
    #[error(transparent)]
    Unreachable(#[from] EgressError),
    /// What is there is no set of keys.
    #[error("the key set {0}")]
    Set(&'static str),
    /// Too many documents were fetched for this peer, or from this host.
    #[error("too many documents were fetched")]
    Throttled(Wait),
}

#[derive(Clone)]
struct Kept {
    keys: Arc<Keys>,
    fetched: Timestamp,
}

/// The key sets of one gateway.
pub(crate) struct KeySets {
    fetching: Arc<Fetching>,
    kept: Mutex<HashMap<Url, Kept>>,
}

impl KeySets {
    pub(crate) fn new(fetching: Arc<Fetching>) -> Self {
        Self {
            fetching,
            kept: Mutex::default(),
        }
    }

    /// The keys at `url`, fetched anew if the key `id` is not among those that are known.
    pub(crate) async fn find(
        &self,
        context: &Context,
        (url, reach): (&Url, Reach),
        id: Option<&str>,
    ) -> Result<Arc<Keys>, KeySetError> {
        if let Some(keys) = self.known(url, id, context.now) {
            return Ok(keys);
        }
        let turn = self.fetching.turn(url.as_str());
        let _turn = turn.lock().await;
        if let Some(keys) = self.known(url, id, context.now) {
            return Ok(keys);
        }
        self.fetching
            .count(url, context)
            .map_err(KeySetError::Throttled)?;
        let fetched = self.fetching.fetch(url, reach, BOUNDS).await;
        let read = match fetched {
            Ok(fetched) if fetched.status == 200 => read(&fetched.body).map_err(KeySetError::Set),
            Ok(_) => Err(KeySetError::Set("must be answered with status 200")),
            Err(error) => Err(error.into()),
        };
        match read {
            Ok(keys) => Ok(self.keep(url, keys, context.now)),
            Err(KeySetError::Unreachable(error)) => self
                .stale(url, context.now)
                .ok_or(KeySetError::Unreachable(error)),
            // What does not count ends what was kept before.
            Err(error) => {
                lock(&self.kept).remove(url);
                Err(error)
            }
        }
    }

    fn known(&self, url: &Url, id: Option<&str>, now: Timestamp) -> Option<Arc<Keys>> {
        let kept = lock(&self.kept).get(url).cloned()?;
        let age = now.since(kept.fetched);
        let is_there = id.is_none_or(|id| kept.keys.has(id));
        (age < if is_there { FRESH } else { AGAIN }).then_some(kept.keys)
    }

    fn stale(&self, url: &Url, now: Timestamp) -> Option<Arc<Keys>> {
        let kept = lock(&self.kept);
        let found = kept.get(url).filter(|kept| now.since(kept.fetched) < STALE);
        found.map(|kept| Arc::clone(&kept.keys))
    }

    fn keep(&self, url: &Url, keys: Keys, now: Timestamp) -> Arc<Keys> {
        let keys = Arc::new(keys);
        let mut kept = lock(&self.kept);
        if kept.len() >= CAPACITY && !kept.contains_key(url) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.fetched);
            let oldest = oldest.map(|(url, _)| url.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        let entry = Kept {
            keys: Arc::clone(&keys),
            fetched: now,
        };
        kept.insert(url.clone(), entry);
        keys
    }
}

fn read(body: &[u8]) -> Result<Keys, &'static str> {
    let set = serde_json::from_slice(body).map_err(|_| "must be JSON")?;
    Keys::parse(&set)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
