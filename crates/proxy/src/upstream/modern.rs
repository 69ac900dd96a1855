//! A client's use of a modern server.

use std::sync::{Arc, LazyLock};

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
use super::link::{Kept, Replying};
use super::listen::{ListenFilter, Listening, NoStream, OpenListen, follow};
use super::outgoing::{Logs, Outgoing};
use super::presented::Presented;
use super::slot::Slot;
use super::union::Union;
use crate::exchange::{Downstream, OutboundCall, Reply};

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
    /// What a legacy client's session follows.
    union: Arc<Union>,
}

impl ModernLink {
    pub(crate) fn new(
        ground: &Arc<Ground>,
        client: Era,
        presented: Presented,
        way: Way,
        downstream: Arc<dyn Downstream>,
    ) -> Self {
        let listener = Listener {
            ground: Arc::clone(ground),
            presented: presented.clone(),
            way: way.clone(),
        };
        Self {
            ground: Arc::clone(ground),
            client,
            presented,
            way,
            union: Union::new(listener, downstream),
        }
    }

    /// Sends a call; where there is a conversation, at once. `kept`, which lives as long as the call, keeps this use of the
    /// server and with it its conversation.
    pub(crate) fn call<'a>(
        &'a self,
        worker: &'a Arc<Worker>,
        call: OutboundCall,
        kept: Kept,
    ) -> Replying<'a> {
        let slot = match &self.way {
            Way::Http(modern) => {
                let outgoing = self.outgoing(call);
                return Box::pin(async move { modern.call(worker, &outgoing, kept).await });
            }
            Way::Slot(slot) => slot,
        };
        let outgoing = self.outgoing(call);
        let called = slot.conversation(|conversation| {
            let called = conversation.call(&outgoing);
            called.map_err(|fault| (fault, conversation.is_alive()))
        });
        match called {
            Some(Ok(running)) => Box::pin(running.reply(kept)),
            Some(Err((fault, is_alive))) if is_alive || fault.retry != Retry::Safe => {
                Box::pin(std::future::ready(Err(fault)))
            }
            Some(Err(_)) | None => Box::pin(open(slot, worker, outgoing, kept)),
        }
    }

    fn outgoing(&self, call: OutboundCall) -> Outgoing<'static> {
        let level = call.log_level;
        Outgoing {
            method: call.method,
            target: call.target,
            params: self.params(call.params, level),
            id: call.id,
            token: call.progress_token,
            logs: level.map_or(Logs::None, Logs::From),
            flows: call.flows,
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

    /// Listens; a legacy session's subscriptions share one stream. List changes show in the fleet; they are not asked for
    /// here.
    ///
    /// # Errors
    /// A fault when the server does not open a stream and does not say why.
    pub(crate) async fn listen(
        &self,
        filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Listening, Fault> {
        match self.listen_to(filter, downstream).await {
            Err(fault) => match NoStream::said(&fault) {
                Some(why) => {
                    let (nothing, ended) = (ListenFilter::default(), self.ground.closing.clone());
                    Ok(Listening::new(nothing, ended, Box::new(())).refusing(Some(why.clone())))
                }
                None => Err(fault),
            },
            listening => listening,
        }
    }

    async fn listen_to(
        &self,
        mut filter: ListenFilter,
        downstream: Arc<dyn Downstream>,
    ) -> Result<Listening, Fault> {
        let closing = self.ground.closing.clone();
        if filter.uris.is_empty() && filter.tasks.is_empty() {
            return Ok(Listening::new(filter, closing, Box::new(())));
        }
        if self.client == Era::Legacy && filter.tasks.is_empty() {
            let (accepted, joined) = self.union.join(std::mem::take(&mut filter.uris)).await?;
            filter.uris = accepted;
            return Ok(Listening::new(filter, closing, Box::new(joined)));
        }
        let asked = ListenFilter {
            uris: std::mem::take(&mut filter.uris),
            tasks: std::mem::take(&mut filter.tasks),
            ..ListenFilter::default()
        };
        let (accepted, listening) = self.union.listener().open(asked, downstream).await?;
        filter.uris = accepted.uris;
        filter.tasks = accepted.tasks;
        Ok(Listening::new(filter, closing, Box::new(listening)))
    }
}

/// Sends a call in a conversation that has to be opened first, and again if that one ends before it has taken the call.
///
/// # Errors
/// A fault.
async fn open(
    slot: &Arc<Slot>,
    worker: &Arc<Worker>,
    outgoing: Outgoing<'_>,
    kept: Kept,
) -> Result<Reply, Fault> {
    let wire = slot.wire().await?;
    match wire.call(worker, &outgoing, kept.clone()).await {
        Err(fault) if fault.retry == Retry::Safe && !wire.is_alive() => {
            slot.wire().await?.call(worker, &outgoing, kept).await
        }
        other => other,
    }
}

/// Opens listen streams for one client.
pub(crate) struct Listener {
    pub(crate) ground: Arc<Ground>,
    presented: Presented,
    way: Way,
}

impl Listener {
    /// Opens a stream and waits for its acknowledgement.
    ///
    /// # Errors
    /// A fault when the server does not open it.
    pub(crate) async fn open(
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
