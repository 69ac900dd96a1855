//! The resources that a legacy session follows at a modern server: all on one stream, however many subscriptions there are.
//! The filter of a stream cannot be changed (2026-07-28, Subscriptions), so that a new one takes its place with each change,
//! and the old one is closed once the new one is acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sallyport_core::fault::Fault;
use tokio_util::task::AbortOnDropHandle;

use super::listen::ListenFilter;
use super::modern::Listener;
use crate::exchange::Downstream;

/// What one session follows at one server.
pub(crate) struct Union {
    listener: Listener,
    downstream: Arc<dyn Downstream>,
    /// How many subscriptions there are to each resource.
    wanted: Mutex<BTreeMap<Box<str>, usize>>,
    /// Held while another stream takes the present one's place: none is opened for a filter that is not the last.
    stream: tokio::sync::Mutex<Option<Stream>>,
}

struct Stream {
    accepted: Vec<String>,
    _listening: AbortOnDropHandle<()>,
}

/// Subscriptions, until dropped.
pub(crate) struct Joined {
    union: Arc<Union>,
    uris: Vec<Box<str>>,
}

impl Union {
    pub(super) fn new(listener: Listener, downstream: Arc<dyn Downstream>) -> Arc<Self> {
        Arc::new(Self {
            listener,
            downstream,
            wanted: Mutex::default(),
            stream: tokio::sync::Mutex::default(),
        })
    }

    /// What opens streams.
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Subscribes; with it, what of it the server accepted.
    ///
    /// # Errors
    /// A fault when the server does not open a stream. What was followed before goes on.
    pub(super) async fn join(self: &Arc<Self>, uris: Vec<String>) -> Result<(Vec<String>, Joined), Fault> {
        {
            let mut wanted = self.wanted();
            for uri in &uris {
                *wanted.entry(uri.as_str().into()).or_default() += 1;
            }
        }
        let mut joined = Joined {
            union: Arc::clone(self),
            uris: uris.iter().map(|uri| uri.as_str().into()).collect(),
        };
        let mut stream = self.stream.lock().await;
        let has = |stream: &Option<Stream>, uri: &String| {
            stream
                .as_ref()
                .is_some_and(|stream| stream.accepted.contains(uri))
        };
        if !uris.iter().all(|uri| has(&stream, uri)) {
            self.renew(&mut stream).await?;
        }
        let (accepted, refused): (Vec<_>, Vec<_>) = uris.into_iter().partition(|uri| has(&stream, uri));
        joined.leave(|uri| refused.iter().any(|refused| **refused == *uri));
        Ok((accepted, joined))
    }

    /// Puts a stream for all that is wanted now in the place of the present one.
    async fn renew(&self, stream: &mut Option<Stream>) -> Result<(), Fault> {
        let uris: Vec<_> = self.wanted().keys().map(|uri| String::from(&**uri)).collect();
        if uris.is_empty() {
            *stream = None;
            return Ok(());
        }
        let filter = ListenFilter {
            uris,
            ..ListenFilter::default()
        };
        let (accepted, listening) = self.listener.open(filter, Arc::clone(&self.downstream)).await?;
        *stream = Some(Stream {
            accepted: accepted.uris,
            _listening: listening,
        });
        Ok(())
    }

    /// Lets go of what nobody wants any more. If that fails, the stream tells of more than is passed on.
    async fn shrink(&self) {
        let mut stream = self.stream.lock().await;
        let is_wanted = |uri: &String| self.wanted().contains_key(uri.as_str());
        let fits = |stream: &Stream| stream.accepted.iter().all(is_wanted);
        if !stream.as_ref().is_none_or(fits)
            && let Err(fault) = self.renew(&mut stream).await
        {
            tracing::debug!(server = %self.listener.ground.spec.name, %fault, "a subscription was not given up");
        }
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<Box<str>, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Joined {
    /// Gives up those that are `left`.
    fn leave(&mut self, left: impl Fn(&str) -> bool) {
        let mut wanted = self.union.wanted();
        for uri in self.uris.extract_if(.., |uri| left(uri)) {
            if let Some(count) = wanted.get_mut(&uri) {
                *count -= 1;
                if *count == 0 {
                    wanted.remove(&uri);
                }
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.leave(|_| true);
        let union = Arc::clone(&self.union);
        let ground = &self.union.listener.ground;
        if !ground.is_closed() {
            ground.tasks.spawn(async move { union.shrink().await });
        }
    }
}
