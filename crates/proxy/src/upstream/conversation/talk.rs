//! One conversation: its calls, what is said in it, its end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_mcp::error;
use sallyport_net::Duplex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::calls::Calls;
use super::outbox::{FAREWELL, Outbox, QueueError, WriteError};
use super::porter::{Porter, Porters};
use super::reading::{Messages, Reading};
use super::reply::InFlight;
use super::watch::Watch;
use crate::upstream::changes::Changed;
use crate::upstream::ground::Ground;
use crate::upstream::inbox::{Inbox, Respond};
use crate::upstream::mailbox::{Terms, mailbox_of_call};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::request::code_of;

/// What carries a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// The standard streams of a child.
    Process,
    /// A connection over the network.
    Connection,
}

impl Carrier {
    fn ended(self) -> &'static str {
        match self {
            Self::Process => "the process ended",
            Self::Connection => "the connection ended",
        }
    }
}

/// An open conversation with a server. What counts the references to it stands on a cache line of its own: what is
/// read for each call is not.
#[repr(align(128))]
pub(crate) struct Conversation {
    pub(crate) ground: Arc<Ground>,
    carrier: Carrier,
    legacy: AtomicBool,
    pub(super) calls: Calls,
    pub(crate) inbox: Arc<Inbox>,
    pub(super) outbox: Outbox,
    pub(super) porters: Porters<Held>,
    watch: Arc<Watch>,
    /// It can be used: neither is it to end nor has it ended. Asked for each call, which the tokens would take a lock for.
    alive: AtomicBool,
    /// It is to end.
    stop: CancellationToken,
    /// It has ended, and so has what carried it.
    ended: CancellationToken,
    told_to_end: AtomicBool,
    /// What the first answer to a modern request says of the server has been looked at, or need not be.
    proved: AtomicBool,
}

impl Conversation {
    /// A conversation in `era`, in which what is said waits in `outbox`. Whoever has the carrier writes that, reads
    /// ([`Reading`]), and says when the carrier has ended ([`Self::finish`]).
    pub(crate) fn new(
        ground: &Arc<Ground>,
        carrier: Carrier,
        era: Era,
        inbox: Arc<Inbox>,
        outbox: Outbox,
    ) -> Arc<Self> {
        let watch = Watch::new(&ground.spec.limits);
        let looking = Arc::clone(&watch);
        let conversation = Arc::new(Self {
            watch,
            ground: Arc::clone(ground),
            carrier,
            legacy: AtomicBool::new(era == Era::Legacy),
            calls: Calls::default(),
            inbox,
            outbox,
            porters: Porters::new(),
            alive: AtomicBool::new(true),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            told_to_end: AtomicBool::new(false),
            proved: AtomicBool::new(false),
        });
        let ended = conversation.ended.clone();
        let looking = looking.run(Arc::downgrade(&conversation));
        ground.tasks.spawn(ended.run_until_cancelled_owned(looking));
        conversation
    }

    /// The era in which the server is spoken to.
    pub(super) fn era(&self) -> Era {
        if self.legacy.load(Ordering::Acquire) {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// It is only being found out what the server speaks: nothing that it says to that contradicts anything.
    pub(crate) fn examine(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Looks what the answer to a modern request says of the server: one that has never answered well, and says what a server
    /// with `initialize` says to strangers, is looked at again. The request is not repeated.
    pub(super) fn weigh(&self, error: Option<&[u8]>) {
        if self.proved.load(Ordering::Relaxed) || self.era() == Era::Legacy {
            return;
        }
        // Once is enough for a conversation, either way.
        self.proved.store(true, Ordering::Relaxed);
        // Strict servers take a request that comes too early for one with wrong parameters.
        let is_strange = |code| error::is_of_a_handshake(code) || code == i64::from(error::INVALID_PARAMS);
        if error.and_then(code_of).is_some_and(is_strange) {
            self.ground.changes.add(Changed::EVERYTHING);
        }
    }

    /// From now on it is spoken to as a legacy server: it did not understand a modern request.
    pub(crate) fn speak_legacy(&self) {
        self.legacy.store(true, Ordering::Release);
    }

    /// Sends a request.
    ///
    /// # Errors
    /// A fault that is safe to repeat: the request was not queued.
    pub(crate) fn call(self: &Arc<Self>, outgoing: &Outgoing<'_>) -> Result<InFlight, Fault> {
        let span = outgoing.token_span()?;
        let (porter, held) = self.porter();
        let terms = Terms {
            id: outgoing.id.clone(),
            token: outgoing.token.clone(),
            logs: outgoing.logs,
            // 2025-11-25, Cancellation: `initialize` never is.
            may_cancel: outgoing.method != "initialize",
        };
        let (mailbox, letters) = mailbox_of_call(porter, terms, self.watch.now());
        let id = self
            .calls
            .enter(mailbox)
            .ok_or_else(|| Fault::unreached("send the request", self.carrier.ended()))?;
        self.watch.begin();
        let mut digits = itoa::Buffer::new();
        let number = digits.format(id);
        let params: &[u8] = &outgoing.params;
        let (before, token, after) = match span {
            Some(span) => (
                params.get(..span.start()).unwrap_or_default(),
                number.as_bytes(),
                params.get(span.end()..).unwrap_or_default(),
            ),
            None => (params, &[][..], &[][..]),
        };
        let queued = self.push(
            porter,
            &[
                b"{\"jsonrpc\":\"2.0\",\"id\":",
                number.as_bytes(),
                b",\"method\":\"",
                outgoing.method.as_bytes(),
                b"\",\"params\":",
                before,
                token,
                after,
                b"}",
            ],
        );
        if let Err(error) = queued {
            self.calls.take(id);
            return Err(Fault::unreached("send the request", error));
        }
        Ok(InFlight::new(held, id, letters))
    }

    /// Sends a notification or an answer.
    ///
    /// # Errors
    /// A fault when it cannot be queued.
    pub(crate) fn send(self: &Arc<Self>, message: &[u8]) -> Result<(), Fault> {
        self.push(self.porter().0, &[message])
            .map_err(|error| Fault::unreached("send a message", error))
    }

    /// Queues a message; it is written with whatever else comes up meanwhile where the porter is.
    fn push(&self, porter: Porter, pieces: &[&[u8]]) -> Result<(), QueueError> {
        if self.outbox.push(pieces)? && !self.porters.write(porter) {
            self.outbox.tell_writer();
        }
        Ok(())
    }

    /// The porter of the runtime that this is called in, and what holds the conversation there.
    fn porter(self: &Arc<Self>) -> (Porter, Arc<Held>) {
        let hold = || Held(Arc::clone(self));
        let here = self.porters.here(hold, |runtime, at_work, held| {
            let desk = Desk(held);
            self.ground.tasks.spawn_on(runtime, async move {
                at_work.serve(|| desk.0.0.outbox.write()).await;
            });
        });
        here.unwrap_or_else(|| (Porter::alone(), Arc::new(hold())))
    }

    /// Gives a call up: late messages about it find nobody, and the server is told to stop.
    pub(crate) fn abandon(self: &Arc<Self>, id: u64, reason: &str) {
        if !self.calls.take(id).is_some_and(|call| call.terms().may_cancel) {
            return;
        }
        let params = format!("{{\"requestId\":{id},\"reason\":\"{reason}\"}}");
        let message = error::notification("notifications/cancelled", Some(params.as_bytes()));
        // A server that does not read or has gone has nothing to cancel.
        let _unread = self.send(&message);
    }

    /// Ends a call whose request did not reach the server.
    pub(crate) fn fail(&self, id: u64, fault: Fault) {
        if let Some(call) = self.calls.take(id) {
            call.fail(fault);
        }
    }

    /// Whether it can be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Whether the carrier has ended too.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Becomes ready when the carrier has ended.
    pub(crate) async fn wait_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Asks it to end, politely at first; [`Self::wait_ended`] tells when it has.
    pub(crate) fn stop(&self) {
        self.told_to_end.store(true, Ordering::Release);
        self.give_up();
    }

    /// It ended because we wanted it to.
    pub(crate) fn was_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::Acquire)
    }

    /// The server has gone or cannot be understood.
    pub(crate) fn give_up(&self) {
        self.alive.store(false, Ordering::Release);
        self.stop.cancel();
    }

    /// Becomes ready when it is to end.
    pub(crate) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// For how long nobody has used it; `None` while a call runs or somebody listens to a resource.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.calls.idle().filter(|_| self.inbox.uris().is_empty())
    }

    /// The runtime on which the server is read from now on, if another than before.
    pub(crate) fn move_reader(&self) -> Option<Handle> {
        self.porters.move_reader()
    }

    /// What waits to be sent.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes what a writer came back with.
    pub(crate) fn written(&self, written: Result<(), WriteError>) {
        if let Err(error) = written
            && self.is_alive()
        {
            tracing::warn!(server = %self.ground.spec.name, %error, "a server does not take messages; it is stopped");
            self.give_up();
        }
    }

    /// A conversation in `era` over a connection that carries whole messages both ways.
    pub(crate) fn over(ground: &Arc<Ground>, era: Era, inbox: Arc<Inbox>, duplex: Duplex) -> Arc<Self> {
        let outbox = Outbox::new(ground.spec.limits.message_bytes);
        let conversation = Self::new(ground, Carrier::Connection, era, inbox, outbox);
        let (writer, stall) = (Arc::clone(&conversation), ground.spec.limits.idle);
        let Duplex { incoming, outgoing } = duplex;
        conversation.run(incoming.fuse(), async move {
            writer.outbox.drain_into(outgoing, stall).await
        });
        conversation
    }

    /// Reads and writes over a connection until it ends; `writing` sends what waits in [`Self::outbox`].
    pub(crate) fn run<W>(self: &Arc<Self>, messages: impl Messages + 'static, writing: W)
    where
        W: Future<Output = Result<(), WriteError>> + Send + 'static,
    {
        let conversation = Arc::clone(self);
        let writer = Arc::clone(self);
        let writer = self.ground.tasks.spawn(async move {
            let written = writing.await;
            writer.written(written);
        });
        let writer = AbortOnDropHandle::new(writer);
        self.ground.tasks.spawn(async move {
            let mut reading = Reading::of(messages);
            tokio::select! {
                _all = reading.here(&conversation) => {}
                () = conversation.stopping() => {}
            }
            conversation.outbox.close();
            // What waited is still sent, and the connection closed in good order, if the server takes part.
            let _farewell = tokio::time::timeout(FAREWELL, writer).await;
            conversation.finish();
        });
    }

    /// The carrier has ended.
    pub(crate) fn finish(&self) {
        self.give_up();
        self.outbox.close();
        self.calls.end(self.carrier.ended());
        self.porters.end();
        self.inbox.forget_questions();
        if !self.was_told_to_end() {
            match self.carrier {
                Carrier::Process => self.ground.counters.crashes.add(),
                Carrier::Connection => self.ground.counters.connections_lost.add(),
            }
            tracing::warn!(server = %self.ground.spec.name, "{}", self.carrier.ended());
        }
        self.ended.cancel();
    }
}

/// Where a porter writes. What it leaves unwritten, because its runtime has ended, others write.
struct Desk(Arc<Held>);

impl Drop for Desk {
    fn drop(&mut self) {
        self.0.0.outbox.tell_writer();
    }
}

/// What holds a conversation for all calls of one runtime: who holds on to it for the time of a call is counted here, where
/// no other thread counts.
#[repr(align(128))]
pub(super) struct Held(pub(super) Arc<Conversation>);

/// How a server that asked gets its answer.
pub(super) struct Asker(pub(super) Arc<Conversation>);

impl Respond for Asker {
    fn respond(&self, message: Bytes) {
        // A server that has gone waits for no answer.
        let _unread = self.0.send(&message);
    }
}
