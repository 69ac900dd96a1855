//! A client's use of a legacy server.

use std::sync::{Arc, Mutex, PoisonError};

use sallyport_core::fault::{Fault, Retry};
use sallyport_mcp::answer::without_input;
use sallyport_mcp::log::LogLevel;
use sallyport_mcp::meta::{MetaFor, rewrite};
use sallyport_mcp::{Era, error};
use sallyport_net::Worker;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::inbox::Attached;
use super::lanes::Lanes;
use super::listen::{ListenFilter, Listening};
use super::outgoing::{Logs, Outgoing};
use super::request::RequestError;
use super::slot::Slot;
use crate::exchange::{Downstream, OutboundCall, Reply};

/// Calls and controls of one client at a legacy server.
pub(crate) struct LegacyLink {
    ground: Arc<Ground>,
    client: Era,
    lanes: Lanes,
    downstream: Arc<dyn Downstream>,
    /// Whether the client is the only one in the session, so that its level is the session's.
    is_alone: bool,
    /// The client's ear in the session, if it has one session.
    attached: Attached,
    /// Its ears in those that its calls have had to themselves.
    leased: Mutex<Vec<Attached>>,
}

impl LegacyLink {
    /// A use through `lanes` by a client of the era `client`. `is_client` makes it the one client of the session.
    pub(crate) fn new(
        ground: &Arc<Ground>,
        client: Era,
        lanes: Lanes,
        downstream: Arc<dyn Downstream>,
        is_client: bool,
    ) -> Self {
        let attached = lanes.control().inbox.attach(Arc::clone(&downstream), is_client);
        Self {
            ground: Arc::clone(ground),
            client,
            lanes,
            downstream,
            is_alone: is_client,
            attached,
            leased: Mutex::default(),
        }
    }

    /// How many calls run at once, where each has a session or process to itself.
    pub(crate) fn lanes(&self) -> Option<usize> {
        self.lanes.count()
    }

    /// Whatever a session or process says after the call that it was leased to still finds the client.
    fn hear(&self, slot: &Slot) {
        let is_here = |attached: &Attached| attached.is_at(&slot.inbox);
        let mut leased = self.leased.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_here(&self.attached) && !leased.iter().any(is_here) {
            leased.push(slot.inbox.attach(Arc::clone(&self.downstream), false));
        }
    }

    /// Sends a call. It is repeated once where the server had forgotten the session and so did not look at it (P-90).
    ///
    /// # Errors
    /// A fault.
    pub(crate) async fn call<K: Clone + Send + Sync + 'static>(
        &self,
        worker: &Arc<Worker>,
        call: OutboundCall,
        kept: K,
    ) -> Result<Reply, Fault> {
        let level = call.log_level;
        let (params, logs) = match (self.client, level) {
            // Of a session that it shares with others it filters what they want besides.
            (Era::Legacy, Some(level)) if !self.is_alone => (call.params, Logs::From(level)),
            (Era::Legacy, _) => (call.params, Logs::Session),
            (Era::Modern, level) => (
                rewrite(&without_input(&call.params), MetaFor::Legacy).into(),
                level.map_or(Logs::None, Logs::From),
            ),
        };
        let outgoing = Outgoing {
            method: call.method,
            target: call.target,
            params,
            id: call.id,
            token: call.progress_token,
            logs,
            flows: call.flows,
        };
        let lane = if call.is_of_task {
            self.lanes.control_lane()
        } else {
            self.lanes.lane().await?
        };
        let lane = Arc::new(lane);
        if self.lanes.count().is_some() {
            self.hear(lane.slot());
        }
        let mut again = true;
        loop {
            let wire = lane.slot().wire().await?;
            if let Some(level) = level.filter(|level| lane.slot().lacks_level(*level, self.is_alone)) {
                // In a box, as whatever is seldom needed: the future of every call has room for it otherwise.
                Box::pin(lane.slot().set_level(worker, level)).await;
            }
            let kept = (kept.clone(), Arc::clone(&lane), Arc::clone(&wire));
            match wire.call(worker, &outgoing, kept).await {
                Err(fault) if again && fault.retry == Retry::Safe && !wire.is_alive() => {
                    again = false;
                    self.ground.counters.sessions_renewed.add();
                }
                other => return other,
            }
        }
    }

    /// Every session or process of the client that is open may have asked for its roots; one that is not open has none
    /// to forget.
    ///
    /// # Errors
    /// A fault when one of them does not take it.
    pub(crate) async fn roots_changed(&self, worker: &Arc<Worker>) -> Result<(), Fault> {
        let message = error::notification("notifications/roots/list_changed", None);
        let mut told = Ok(());
        for wire in self.lanes.all().iter().filter_map(|slot| slot.alive()) {
            told = told.and(wire.notify(worker, &message).await);
        }
        told
    }

    /// Whether the client hears now what is said in the session that it has to itself.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_alone && self.downstream.hears()
    }

    /// The level of the client's session has changed.
    pub(crate) fn level_changed(&self, level: LogLevel) {
        let slot = Arc::clone(self.lanes.control());
        if self.is_alone && slot.alive().is_some() && slot.lacks_level(level, true) {
            let ground = Arc::clone(&self.ground);
            self.ground
                .tasks
                .spawn(async move { slot.set_level(&ground.worker, level).await });
        }
    }

    /// Listens; list changes show in the fleet, so only resources are asked for.
    ///
    /// # Errors
    /// A fault when no session can be opened. A resource that the server does not take is left out.
    pub(crate) async fn listen(
        &self,
        worker: &Arc<Worker>,
        mut filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Listening, Fault> {
        let slot = Arc::clone(self.lanes.control());
        let attached = slot.inbox.attach(downstream, false);
        let asked = std::mem::take(&mut filter.uris);
        let listener = Listener {
            slot,
            attached: Arc::new(attached),
            uris: Mutex::default(),
            ended: CancellationToken::new(),
        };
        if !asked.is_empty() {
            // Before anybody listens: a session that is opened later is told of everything that is listened to.
            listener.slot.hear().await?;
        }
        let mut refused = None;
        let alone = asked.len() == 1;
        // What was not announced is not asked for (P-93).
        for uri in asked.into_iter().filter(|_| listener.slot.has_subscriptions()) {
            let first = listener.attached.subscribe(&uri);
            let told = if first {
                listener.slot.subscribe(worker, &uri, true).await
            } else {
                Ok(())
            };
            match told {
                Ok(()) => {
                    listener.uris().push(uri.as_str().into());
                    filter.uris.push(uri);
                }
                Err(RequestError::Fault(fault)) if alone || fault.retry == Retry::Safe => return Err(fault),
                Err(error) => {
                    listener.attached.unsubscribe(&uri);
                    tracing::debug!(server = %self.ground.spec.name, %error, "a resource is not subscribed to");
                    if let RequestError::Refused(raw) = error {
                        refused.get_or_insert(raw);
                    }
                }
            }
        }
        if !filter.tasks.is_empty() {
            // A task's state is told of on the session's own stream.
            listener.slot.hear().await?;
        }
        if !filter.uris.is_empty() || !filter.tasks.is_empty() {
            listener.stay();
        }
        let listening = Listening::new(filter, self.ground.closing.clone(), Box::new(listener));
        Ok(listening.refusing(refused))
    }
}

/// A modern client's listening at a legacy server, until dropped.
struct Listener {
    slot: Arc<Slot>,
    attached: Arc<Attached>,
    uris: Mutex<Vec<Box<str>>>,
    ended: CancellationToken,
}

impl Listener {
    /// Opens the session again whenever it ends; a new one is told of all subscriptions (P-61).
    fn stay(&self) {
        let (slot, ended) = (Arc::downgrade(&self.slot), self.ended.clone());
        let ground = Arc::clone(&self.slot.ground);
        let closing = ground.closing.clone();
        self.slot.ground.tasks.spawn(async move {
            let mut backoff = super::backoff::Backoff::default();
            let reopen = async {
                while let Some(slot) = slot.upgrade() {
                    let opened = slot.wire().await;
                    drop(slot);
                    match opened {
                        Ok(wire) => {
                            backoff.succeeded();
                            wire.ended().await;
                        }
                        Err(_) => tokio::time::sleep(backoff.failed(&*ground.deps.random)).await,
                    }
                }
            };
            tokio::select! {
                () = reopen => {}
                () = ended.cancelled() => {}
                () = closing.cancelled() => {}
            }
        });
    }

    fn uris(&self) -> std::sync::MutexGuard<'_, Vec<Box<str>>> {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ended.cancel();
        let (slot, uris) = (Arc::clone(&self.slot), std::mem::take(&mut *self.uris()));
        let last: Vec<_> = uris
            .into_iter()
            .filter(|uri| self.attached.unsubscribe(uri))
            .collect();
        if last.is_empty() || slot.alive().is_none() {
            return;
        }
        let ground = Arc::clone(&slot.ground);
        ground.tasks.spawn(async move {
            for uri in last {
                // A server that is gone has forgotten the subscription as well.
                let _told = slot.subscribe(&slot.ground.worker, &uri, false).await;
            }
        });
    }
}
