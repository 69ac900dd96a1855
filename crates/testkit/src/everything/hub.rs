//! What the handlers of one server share: who wants to hear of changes, and what was called.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmcp::RoleServer;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::{Peer, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use tokio::sync::broadcast;

/// Something changed that clients may listen for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(String),
}

/// Which lists have one item more than at the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Longer {
    pub(super) tools: bool,
    pub(super) prompts: bool,
    pub(super) resources: bool,
}

/// The shared part of a server.
pub struct Hub {
    changes: broadcast::Sender<Change>,
    /// Streams that were accepted and are not served yet: what changes in between belongs to them.
    accepted: Mutex<VecDeque<broadcast::Receiver<Change>>>,
    /// Legacy subscriptions: URI and session.
    watched: Mutex<Vec<(String, Peer<RoleServer>)>>,
    counts: Mutex<BTreeMap<String, u64>>,
    /// Which lists have one item more than at the start.
    longer: Mutex<Longer>,
    /// The tasks of every client: possession of an id is enough for this server.
    tasks: TaskManager,
    /// The key of [`Hub::seal`]; a new one for each server.
    key: RandomState,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(64).0,
            accepted: Mutex::default(),
            watched: Mutex::default(),
            counts: Mutex::default(),
            longer: Mutex::default(),
            tasks: TaskManager::new(),
            key: RandomState::new(),
        }
    }
}

/// A lock that a panicked test does not poison.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn same(a: &Peer<RoleServer>, b: &Peer<RoleServer>) -> bool {
    // Peers of one session share their information.
    match (a.peer_info(), b.peer_info()) {
        (Some(a), Some(b)) => std::sync::Arc::ptr_eq(&a, &b),
        _ => false,
    }
}

impl Hub {
    pub(super) fn count(&self, what: &str) {
        *lock(&self.counts).entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }

    pub(super) fn tasks(&self) -> &TaskManager {
        &self.tasks
    }

    pub(super) fn longer(&self) -> Longer {
        *lock(&self.longer)
    }

    /// Makes the change, and tells everybody who listens.
    pub(super) fn announce(&self, change: Change) {
        {
            let mut longer = lock(&self.longer);
            match change {
                Change::Tools => longer.tools = !longer.tools,
                Change::Prompts => longer.prompts = !longer.prompts,
                Change::Resources => longer.resources = !longer.resources,
                Change::Resource(_) => {}
            }
        }
        // Nobody listens: nothing to do.
        let _ = self.changes.send(change);
    }

    pub(super) fn subscribe(&self, uri: String, peer: Peer<RoleServer>) {
        self.count("resources/subscribe");
        lock(&self.watched).push((uri, peer));
    }

    pub(super) fn unsubscribe(&self, uri: &str, peer: &Peer<RoleServer>) {
        lock(&self.watched).retain(|(watched, by)| watched != uri || !same(by, peer));
    }

    /// From now on the legacy session hears of changes.
    pub(super) fn session_opened(self: &std::sync::Arc<Self>, peer: Peer<RoleServer>) {
        let mut changes = self.changes.subscribe();
        let hub = std::sync::Arc::clone(self);
        tokio::spawn(async move {
            while let Ok(change) = changes.recv().await {
                let sent = match change {
                    Change::Tools => peer.notify_tool_list_changed().await,
                    Change::Prompts => peer.notify_prompt_list_changed().await,
                    Change::Resources => peer.notify_resource_list_changed().await,
                    Change::Resource(uri) => {
                        let wanted = lock(&hub.watched)
                            .iter()
                            .any(|(w, by)| *w == uri && same(by, &peer));
                        if !wanted {
                            continue;
                        }
                        peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri))
                            .await
                    }
                };
                if sent.is_err() {
                    break;
                }
            }
        });
    }

    /// A `subscriptions/listen` stream is about to be acknowledged: from now on it hears of changes.
    pub(super) fn stream_accepted(&self) {
        lock(&self.accepted).push_back(self.changes.subscribe());
    }

    /// Sends changes into a `subscriptions/listen` stream until it ends.
    pub(super) async fn forward_to(&self, context: &SubscriptionContext) {
        // Every stream hears the same, so it does not matter whose receiver this was.
        let accepted = lock(&self.accepted).pop_front();
        let mut changes = accepted.unwrap_or_else(|| self.changes.subscribe());
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return,
                change = changes.recv() => match change {
                    Ok(change) => change,
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
            let sink = context.sink();
            // The sink refuses what this stream did not ask for.
            let _ = match change {
                Change::Tools => sink.notify_tool_list_changed().await,
                Change::Prompts => sink.notify_prompt_list_changed().await,
                Change::Resources => sink.notify_resource_list_changed().await,
                Change::Resource(uri) => sink.notify_resource_updated(uri).await,
            };
        }
    }

    /// State that only this server can have made. (A keyed hash is enough for a fixture; it is no MAC.)
    pub(super) fn seal(&self, state: &str) -> String {
        format!("{state}.{:016x}", self.key.hash_one(state))
    }

    /// The state in `sealed`, if [`Hub::seal`] made it.
    pub(super) fn open<'a>(&self, sealed: &'a str) -> Option<&'a str> {
        let (state, _) = sealed.rsplit_once('.')?;
        (self.seal(state) == sealed).then_some(state)
    }
}
