//! A client's use of a modern server.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use memchr::memmem::Finder;
use sallyport_core::fault::{Fault, Retry};
use sallyport_mcp::Era;
use sallyport_mcp::log::LogLevel;
use sallyport_net::Worker;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::ground::Ground;
use super::http::Modern;
use super::listen::{ListenFilter, Listening, OpenListen, follow};
use super::outgoing::{Logs, Outgoing};
use super::presented::Presented;
use super::slot::Slot;
use crate::exchange::{Control, Downstream, OutboundCall, Reply};

/// Prepared once: for short parameters the preparation costs more than the search.
static BAGGAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"baggage"));
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));

/// The way to a modern server.
#[derive(Clone)]
pub(crate) enum Way {
    /// Over HTTP, each call for itself.
    Http(Arc<Modern>),
    /// In a conversation.
    Slot(Arc<Slot>),
}

/// Calls and controls of one client at a modern server.
pub(crate) struct ModernLink {
    ground: Arc<Ground>,
    client: Era,
    presented: Presented,
    way: Way,
    downstream: Arc<dyn Downstream>,
    /// What a legacy client's session asked for.
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    uris: BTreeSet<Box<str>>,
    listening: Option<AbortOnDropHandle<()>>,
}

impl ModernLink {
    pub(crate) fn new(
        ground: &Arc<Ground>,
        client: Era,
        presented: Presented,
        way: Way,
        downstream: Arc<dyn Downstream>,
    ) -> Self {
        Self {
            ground: Arc::clone(ground),
            client,
            presented,
            way,
            downstream,
            session: Mutex::default(),
        }
    }

    /// Sends a call.
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
        let outgoing = Outgoing {
            method: call.method,
            target: &call.target,
            params: self.params(call.params, level),
            id: call.id,
            token: call.progress_token,
            logs: level.map_or(Logs::None, Logs::From),
            flows: call.flows,
        };
        let slot = match &self.way {
            Way::Http(modern) => return modern.call(worker, &outgoing, kept).await,
            Way::Slot(slot) => slot,
        };
        let wire = slot.wire().await?;
        let keep = (kept.clone(), Arc::clone(slot));
        match wire.call(worker, &outgoing, keep).await {
            Err(fault) if fault.retry == Retry::Safe && !wire.is_alive() => {
                let wire = slot.wire().await?;
                wire.call(worker, &outgoing, (kept, Arc::clone(slot))).await
            }
            other => other,
        }
    }

    /// A modern client's own parameters pass as they are, unless they hold what must not: baggage.
    fn params(&self, params: Bytes, level: Option<LogLevel>) -> Bytes {
        let has = |needle: &Finder<'_>| needle.find(&params).is_some();
        let as_it_is = self.client == Era::Modern && !has(&BAGGAGE) && !has(&ESCAPE);
        if as_it_is {
            return params;
        }
        self.presented.modern_params(&params, level)
    }

    /// Tells the server something outside of calls, as far as modern servers have an ear for it.
    ///
    /// # Errors
    /// A fault when the server does not take it.
    pub(crate) async fn control(&self, control: Control) -> Result<(), Fault> {
        match control {
            Control::Subscribe(uri) => {
                let new = self.session().uris.insert(uri);
                self.resubscribe(new).await
            }
            Control::Unsubscribe(uri) => {
                let known = self.session().uris.remove(&uri);
                self.resubscribe(known).await
            }
            Control::RootsChanged => Ok(()),
        }
    }

    /// Filters cannot be changed: a new stream takes the old one's place once it is acknowledged.
    async fn resubscribe(&self, changed: bool) -> Result<(), Fault> {
        if !changed {
            return Ok(());
        }
        let uris: Vec<String> = self
            .session()
            .uris
            .iter()
            .map(|uri| String::from(&**uri))
            .collect();
        if uris.is_empty() {
            let ended = self.session().listening.take();
            drop(ended);
            return Ok(());
        }
        let filter = ListenFilter {
            uris,
            ..ListenFilter::default()
        };
        let (_, listening) = self.open(filter, Arc::clone(&self.downstream)).await?;
        let before = self.session().listening.replace(listening);
        drop(before);
        Ok(())
    }

    /// Listens on behalf of a modern client. List changes show in the fleet; they are not asked for here.
    ///
    /// # Errors
    /// A fault when the server does not open a stream.
    pub(crate) async fn listen(
        &self,
        mut filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Listening, Fault> {
        let closing = self.ground.closing.clone();
        if filter.uris.is_empty() && filter.tasks.is_empty() {
            return Ok(Listening::new(filter, closing, Box::new(())));
        }
        let asked = ListenFilter {
            uris: std::mem::take(&mut filter.uris),
            tasks: std::mem::take(&mut filter.tasks),
            ..ListenFilter::default()
        };
        let (accepted, listening) = self.open(asked, downstream).await?;
        filter.uris = accepted.uris;
        filter.tasks = accepted.tasks;
        Ok(Listening::new(filter, closing, Box::new(listening)))
    }

    async fn open(
        &self,
        filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<(ListenFilter, AbortOnDropHandle<()>), Fault> {
        let (sender, acknowledged) = oneshot::channel();
        let source = Source {
            way: self.way.clone(),
            ground: Arc::clone(&self.ground),
        };
        let listening = follow(
            &self.ground,
            source,
            &self.presented,
            filter,
            Some(downstream),
            sender,
        );
        let accepted = wait(&self.ground, acknowledged).await?;
        Ok((accepted, listening))
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the first acknowledgement, for as long as a handshake may take.
///
/// # Errors
/// A fault when it does not come.
pub(crate) async fn wait(
    ground: &Ground,
    acknowledged: oneshot::Receiver<Result<ListenFilter, Fault>>,
) -> Result<ListenFilter, Fault> {
    let late = || Fault::upstream("listen", "the server did not acknowledge it in time");
    tokio::time::timeout(ground.spec.limits.handshake, acknowledged)
        .await
        .map_err(|_| late())?
        .map_err(|_| late())?
}

/// Opens listen streams over the control runtime's connections.
pub(crate) struct Source {
    pub(crate) way: Way,
    pub(crate) ground: Arc<Ground>,
}

impl OpenListen for Source {
    async fn open(&self, outgoing: &Outgoing<'_>) -> Result<Reply, Fault> {
        match &self.way {
            Way::Http(modern) => modern.listen(&self.ground.worker, outgoing).await,
            Way::Slot(slot) => slot.wire().await?.listen(outgoing).await,
        }
    }
}
