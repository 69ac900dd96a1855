//! The answer to one call of a conversation.

use std::sync::Arc;

use futures_util::stream;
use sallyport_core::fault::Fault;

use super::talk::Held;
use crate::exchange::{Message, Reply};
use crate::upstream::mailbox::Letters;

/// A call that runs in a conversation. Dropped before its end, the server is told to stop.
pub(crate) struct InFlight {
    conversation: Arc<Held>,
    id: u64,
    letters: Letters,
    done: bool,
}

impl InFlight {
    pub(super) fn new(conversation: Arc<Held>, id: u64, letters: Letters) -> Self {
        Self {
            conversation,
            id,
            letters,
            done: false,
        }
    }

    /// Lets the call be silent for as long as it likes: a stream of notifications.
    pub(crate) fn without_deadline(self) -> Self {
        self.letters.endless();
        self
    }

    /// The next message.
    ///
    /// # Errors
    /// A fault ends the call.
    pub(crate) async fn next(&mut self) -> Result<Message, Fault> {
        let message = self.letters.next().await;
        self.done = matches!(message, Ok(Message::Terminal(_)));
        message
    }

    /// The whole answer, or a stream if something comes before it. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault when nothing comes.
    pub(crate) async fn reply<K: Send + 'static>(mut self, kept: K) -> Result<Reply, Fault> {
        let first = match self.next().await? {
            Message::Terminal(bytes) => return Ok(Reply::Whole(bytes)),
            first => first,
        };
        let state = Some((self, Some(first), kept));
        let messages = stream::unfold(state, |state| async move {
            let (mut call, first, kept) = state?;
            let message = match first {
                Some(first) => Ok(first),
                None => call.next().await,
            };
            let more = !matches!(message, Err(_) | Ok(Message::Terminal(_)));
            Some((message, more.then_some((call, None, kept))))
        });
        Ok(Reply::Stream(Box::pin(messages)))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.done {
            self.conversation.0.abandon(self.id, "no longer wanted");
        }
    }
}
