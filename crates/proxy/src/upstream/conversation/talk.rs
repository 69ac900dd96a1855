//! One conversation: its calls, what is said in it, its end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_mcp::error;
use sallyport_net::Duplex;
use sallyport_net::duplex::Incoming;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::calls::{Calls, Running};
use super::outbox::{FAREWELL, Outbox, WriteError};
use super::reply::InFlight;
use crate::upstream::ground::Ground;
use crate::upstream::inbox::{Inbox, Respond};
use crate::upstream::mailbox::mailbox;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::pace::Pace;

/// Messages in a row that are none before the server is given up (ST-08).
const GARBAGE: usize = 100;

/// Messages in a row that belong to no call before the reader pauses (ST-07).
const UNASKED: usize = 1000;

/// How long it pauses.
const PAUSE: Duration = Duration::from_millis(50);

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

/// Messages of a server as they come.
pub(crate) trait Messages: Send {
    /// The next message; `None` when the server has said its last word.
    ///
    /// # Errors
    /// [`Unusable`]: nothing more can be read.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Unusable>> + Send;
}

impl Messages for Incoming {
    async fn next(&mut self) -> Result<Option<Bytes>, Unusable> {
        Ok(self.try_next().await?)
    }
}

/// Why what a server says cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Carrier(#[from] Fault),
    #[error("{GARBAGE} messages in a row are none")]
    Garbage,
}

/// An open conversation with a server.
pub(crate) struct Conversation {
    pub(crate) ground: Arc<Ground>,
    carrier: Carrier,
    legacy: AtomicBool,
    pub(super) calls: Calls,
    pub(crate) inbox: Arc<Inbox>,
    pub(super) outbox: Outbox,
    /// It is to end.
    stop: CancellationToken,
    /// It has ended, and so has what carried it.
    ended: CancellationToken,
    told_to_end: AtomicBool,
}

impl Conversation {
    /// A conversation in `era`. Whoever has the carrier writes what waits ([`Self::write`], [`Self::run`]), reads
    /// ([`Self::read`]), and says when the carrier has ended ([`Self::finish`]).
    pub(crate) fn new(ground: &Arc<Ground>, carrier: Carrier, era: Era, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self {
            ground: Arc::clone(ground),
            carrier,
            legacy: AtomicBool::new(era == Era::Legacy),
            calls: Calls::default(),
            inbox,
            outbox: Outbox::new(ground.spec.limits.message_bytes),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            told_to_end: AtomicBool::new(false),
        })
    }

    /// The era in which the server is spoken to.
    pub(super) fn era(&self) -> Era {
        if self.legacy.load(Ordering::Acquire) {
            Era::Legacy
        } else {
            Era::Modern
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
        let pace = Pace::start(&self.ground.spec.limits);
        let (sender, letters) = mailbox(pace.questions().clone());
        let entered = self.calls.enter(Running {
            id: outgoing.id.clone(),
            token: outgoing.token.clone(),
            logs: outgoing.logs,
            // 2025-11-25, Cancellation: `initialize` never is.
            may_cancel: outgoing.method != "initialize",
            mailbox: sender,
        });
        let id = entered.ok_or_else(|| Fault::unreached("send the request", self.carrier.ended()))?;
        let number = id.to_string();
        let params: &[u8] = &outgoing.params;
        let (before, token, after) = match span {
            Some(span) => (
                params.get(..span.start()).unwrap_or_default(),
                number.as_bytes(),
                params.get(span.end()..).unwrap_or_default(),
            ),
            None => (params, &[][..], &[][..]),
        };
        let queued = self.outbox.push(&[
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            number.as_bytes(),
            b",\"method\":\"",
            outgoing.method.as_bytes(),
            b"\",\"params\":",
            before,
            token,
            after,
            b"}",
        ]);
        if let Err(error) = queued {
            self.calls.take(id);
            return Err(Fault::unreached("send the request", error));
        }
        Ok(InFlight::new(Arc::clone(self), id, letters, pace))
    }

    /// Sends a notification or an answer.
    ///
    /// # Errors
    /// A fault when it cannot be queued.
    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Fault> {
        self.outbox
            .push(&[message])
            .map_err(|error| Fault::unreached("send a message", error))
    }

    /// Gives a call up: late messages about it find nobody, and the server is told to stop.
    pub(crate) fn abandon(&self, id: u64, reason: &str) {
        if !self.calls.take(id).is_some_and(|call| call.may_cancel) {
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
            call.mailbox.fail(fault);
        }
    }

    /// Whether it can be used.
    pub(crate) fn is_alive(&self) -> bool {
        !self.stop.is_cancelled() && !self.ended.is_cancelled()
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
        self.stop.cancel();
    }

    /// It ended because we wanted it to.
    pub(crate) fn was_told_to_end(&self) -> bool {
        self.told_to_end.load(Ordering::Acquire)
    }

    /// The server has gone or cannot be understood.
    pub(crate) fn give_up(&self) {
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

    /// Takes messages until the server has no more, then ends the conversation.
    pub(crate) async fn read(self: &Arc<Self>, mut messages: impl Messages) {
        if let Err(reason) = self.take_all(&mut messages).await
            && self.is_alive()
        {
            tracing::warn!(server = %self.ground.spec.name, %reason, "a server's output is unusable; it is stopped");
        }
        self.give_up();
    }

    async fn take_all(self: &Arc<Self>, messages: &mut impl Messages) -> Result<(), Unusable> {
        let (mut garbage, mut unasked) = (0, 0);
        while let Some(message) = messages.next().await? {
            match self.dispatch(message) {
                Use::Blank => {}
                Use::Call => (garbage, unasked) = (0, 0),
                Use::Other => {
                    garbage = 0;
                    unasked += 1;
                }
                Use::Garbage => {
                    garbage += 1;
                    unasked += 1;
                    self.ground.counters.garbage.add();
                    if garbage == 1 {
                        tracing::info!(server = %self.ground.spec.name, "something that a server said is no message");
                    }
                    if garbage > GARBAGE {
                        return Err(Unusable::Garbage);
                    }
                }
            }
            if unasked >= UNASKED {
                unasked = 0;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// A conversation in `era` over a connection that carries whole messages both ways.
    pub(crate) fn over(ground: &Arc<Ground>, era: Era, inbox: Arc<Inbox>, duplex: Duplex) -> Arc<Self> {
        let conversation = Self::new(ground, Carrier::Connection, era, inbox);
        let (writer, stall) = (Arc::clone(&conversation), ground.spec.limits.idle);
        let Duplex { incoming, outgoing } = duplex;
        conversation.run(incoming, async move {
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
            tokio::select! {
                () = conversation.read(messages) => {}
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

impl Respond for Conversation {
    fn respond(&self, message: Bytes) {
        // A server that has gone waits for no answer.
        let _unread = self.send(&message);
    }
}

/// What a message was; of a batch, its most useful one counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Use {
    /// Nothing.
    Blank,
    /// No message.
    Garbage,
    /// A message about something else.
    Other,
    /// About a running call.
    Call,
}
