//! Taking what a server says.

use std::future::Future;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::Fuse;
use futures_util::{FutureExt as _, TryStreamExt as _};
use sallyport_core::fault::Fault;
use sallyport_net::duplex::Incoming;

use super::talk::Conversation;

/// Messages in a row that are none before the server is given up (ST-08).
const GARBAGE: usize = 100;

/// Messages in a row that belong to no call before the reader pauses (ST-07).
const UNASKED: usize = 1000;

/// How long it pauses.
const PAUSE: Duration = Duration::from_millis(50);

/// Messages that are taken together before anybody is woken.
const TOGETHER: usize = 256;

/// Messages of a server as they come.
pub(crate) trait Messages: Send {
    /// The next message; `None` when the server has said its last word. May be dropped and called again without loss.
    ///
    /// # Errors
    /// [`Unusable`]: nothing more can be read.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Unusable>> + Send;

    /// A message that has been read already, with the one before.
    ///
    /// # Errors
    /// [`Unusable`]: nothing more can be read.
    fn ready(&mut self) -> Result<Option<Bytes>, Unusable>;
}

impl Messages for Fuse<Incoming> {
    async fn next(&mut self) -> Result<Option<Bytes>, Unusable> {
        Ok(self.try_next().await?)
    }

    fn ready(&mut self) -> Result<Option<Bytes>, Unusable> {
        // The end is told again by `next`.
        Ok(self.try_next().now_or_never().transpose()?.flatten())
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

/// Why reading has come to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Read {
    /// There is nothing more to read.
    All,
    /// It should go on elsewhere.
    Elsewhere,
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

/// The reading of one server.
pub(crate) struct Reading<M> {
    messages: M,
    /// Messages in a row that were none, and that belonged to no call.
    garbage: usize,
    unasked: usize,
    /// Whether it can go on elsewhere.
    moves: bool,
    /// For those who are woken.
    room: Vec<Waker>,
}

impl<M: Messages> Reading<M> {
    /// From the first message on, where it begins.
    pub(super) fn of(messages: M) -> Self {
        Self {
            messages,
            garbage: 0,
            unasked: 0,
            moves: false,
            room: Vec::new(),
        }
    }

    /// From the first message on, where most of the calls come from.
    pub(crate) fn moving(messages: M) -> Self {
        Self {
            moves: true,
            ..Self::of(messages)
        }
    }

    /// Goes on with other messages.
    ///
    /// # Errors
    /// Those of the exchange.
    pub(crate) fn exchange<E>(self, exchange: impl FnOnce(M) -> Result<M, E>) -> Result<Self, E> {
        let messages = exchange(self.messages)?;
        Ok(Self { messages, ..self })
    }

    /// Takes messages until the server has no more, which ends the conversation, or until it should be read elsewhere.
    pub(crate) async fn here(&mut self, conversation: &Arc<Conversation>) -> Read {
        conversation.porters.reads_here();
        match self.take_all(conversation).await {
            Ok(Read::Elsewhere) => return Read::Elsewhere,
            Ok(Read::All) => {}
            Err(reason) if conversation.is_alive() => {
                let server = &conversation.ground.spec.name;
                tracing::warn!(%server, %reason, "a server's output is unusable; it is stopped");
            }
            Err(_) => {}
        }
        conversation.give_up();
        Read::All
    }

    async fn take_all(&mut self, conversation: &Arc<Conversation>) -> Result<Read, Unusable> {
        while let Some(message) = self.messages.next().await? {
            let taken = self.take(conversation, message);
            conversation.porters.wake(&mut self.room);
            taken?;
            if self.unasked >= UNASKED {
                self.unasked = 0;
                tokio::time::sleep(PAUSE).await;
            }
            if self.moves && conversation.porters.is_elsewhere() {
                return Ok(Read::Elsewhere);
            }
        }
        Ok(Read::All)
    }

    /// Takes a message and those that came with it. Whom they concern is told of all at once.
    fn take(&mut self, conversation: &Arc<Conversation>, first: Bytes) -> Result<(), Unusable> {
        let mut message = first;
        for _ in 0..TOGETHER {
            self.judge(conversation, conversation.dispatch(message))?;
            if self.unasked >= UNASKED {
                break;
            }
            match self.messages.ready()? {
                Some(next) => message = next,
                None => break,
            }
        }
        Ok(())
    }

    fn judge(&mut self, conversation: &Conversation, message: Use) -> Result<(), Unusable> {
        match message {
            Use::Blank => {}
            Use::Call => (self.garbage, self.unasked) = (0, 0),
            Use::Other => {
                self.garbage = 0;
                self.unasked += 1;
            }
            Use::Garbage => {
                self.garbage += 1;
                self.unasked += 1;
                conversation.ground.counters.garbage.add();
                if self.garbage == 1 {
                    let server = &conversation.ground.spec.name;
                    tracing::info!(%server, "something that a server said is no message");
                }
                if self.garbage > GARBAGE {
                    return Err(Unusable::Garbage);
                }
            }
        }
        Ok(())
    }
}
