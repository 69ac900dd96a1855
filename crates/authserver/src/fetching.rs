//! The guarded way out for documents that clients name: what is fetched is counted by host and by peer, so that nobody makes
//! us a burden for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Method;
use sallyport_net::Reach;
use sallyport_net::egress::{Egress, EgressError, Fetch, Fetched};
use sallyport_net::http1::RequestHead;
use sallyport_oauth::rate::{Limiter, Wait, peer_key};
use tokio::sync::Mutex as Turn;
use url::Url;

use crate::context::Context;
use crate::settings::Throttle;

/// The most hosts and peers whose fetches are counted.
const COUNTED: usize = 10_000;

/// How much of a document is taken, and how long it may take in all.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

pub(crate) struct Fetching {
    egress: Arc<Egress>,
    /// One fetch of a document at a time: whoever comes meanwhile waits for it.
    turns: Mutex<HashMap<String, Weak<Turn<()>>>>,
    hosts: Mutex<Limiter<String>>,
    peers: Mutex<Limiter<IpAddr>>,
}

impl Fetching {
    pub(crate) fn new(egress: Arc<Egress>, throttle: Throttle) -> Self {
        Self {
            egress,
            turns: Mutex::default(),
            hosts: Mutex::new(Limiter::new(throttle.documents_per_host, COUNTED)),
            peers: Mutex::new(Limiter::new(throttle.documents_per_peer, COUNTED)),
        }
    }

    /// Whose turn it is to fetch the document at `url`.
    pub(crate) fn turn(&self, url: &str) -> Arc<Turn<()>> {
        let mut turns = lock(&self.turns);
        if let Some(turn) = turns.get(url).and_then(Weak::upgrade) {
            return turn;
        }
        // Who waits holds a strong reference; the others are over.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::new(()));
        turns.insert(url.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// Counts a fetch. A refused one costs neither host nor peer anything.
    pub(crate) fn count(&self, url: &Url, context: &Context) -> Result<(), Wait> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let peer = peer_key(context.peer);
        let mut peers = lock(&self.peers);
        peers.check(&peer, context.now)?;
        lock(&self.hosts).take(&host, context.now)?;
        peers.take(&peer, context.now)
    }

    /// Fetches JSON.
    pub(crate) async fn fetch(
        &self,
        url: &Url,
        reach: Reach,
        bounds: Bounds,
    ) -> Result<Fetched, EgressError> {
        let mut head = RequestHead::new(Method::GET);
        // Name and value are fixed and right.
        let _ = head.put("accept", "application/json");
        let fetch = Fetch {
            head,
            url,
            reach,
            body: &[],
            limit: bounds.bytes,
            time: bounds.time,
        };
        self.egress.fetch(fetch).await
    }
}

/// A limiter is consistent after every step of its own, so a thread that died in between has left nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
