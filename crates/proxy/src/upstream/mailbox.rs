//! What a process tells one running call, until the client's side takes it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sallyport_core::fault::Fault;

use super::conversation::Porter;
use super::outgoing::Logs;
use super::pace::{Asked, Bounds, Questions};
use crate::exchange::Message;

/// The most bytes of notifications that wait for a client that reads slowly (SS-06); a terminal message always passes.
const WAITING: usize = 256 << 10;

/// The sending end: the reader of a pipe never waits for one client.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox(Arc<Shared>);

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Letters(Arc<Shared>);

/// All that the two sides of a call have in common, so that it costs one allocation and is on few cache lines.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Who wakes the call.
    porter: Porter,
    asked: Asked,
    terms: Terms,
}

/// What a call in a conversation is to be told, and how.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The raw id that the answer is to bear.
    pub(crate) id: Bytes,
    /// The raw token that progress is to bear.
    pub(crate) token: Option<Bytes>,
    /// Which log messages it takes.
    pub(crate) logs: Logs,
    /// Whether the server may be told that it is not wanted any more.
    pub(crate) may_cancel: bool,
}

impl Terms {
    /// Those of a call of which only questions are told here.
    const QUESTIONS: Self = Self {
        id: Bytes::new(),
        token: None,
        logs: Logs::None,
        may_cancel: false,
    };
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// The bytes in the queue that count toward the bound.
    waiting: usize,
    reader: Option<Waker>,
    /// Nobody waits any more.
    gone: bool,
}

/// Messages in their order. Mostly it is one, which takes no allocation.
#[derive(Debug, Default)]
struct Queue {
    first: Option<Result<Message, Fault>>,
    /// Empty if there is no first one.
    others: VecDeque<Result<Message, Fault>>,
}

impl Queue {
    fn push(&mut self, next: Result<Message, Fault>) {
        match &self.first {
            Some(_) => self.others.push_back(next),
            None => self.first = Some(next),
        }
    }

    fn pop(&mut self) -> Option<Result<Message, Fault>> {
        let first = self.first.take();
        self.first = self.others.pop_front();
        first
    }

    fn last_mut(&mut self) -> Option<&mut Result<Message, Fault>> {
        self.others.back_mut().or(self.first.as_mut())
    }
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    /// It waits for the client or is with it.
    Taken,
    /// Nobody waits any more.
    Gone,
    /// The client does not read: the call is to be cut.
    Overfull,
}

/// A mailbox and its letters, for the questions of a call that `porter` wakes.
pub(crate) fn mailbox(porter: Porter, questions: Questions) -> (Mailbox, Letters) {
    shared(porter, questions.into(), Terms::QUESTIONS)
}

/// A mailbox and its letters, for a call in a conversation that `porter` wakes.
pub(crate) fn mailbox_of_call(porter: Porter, terms: Terms) -> (Mailbox, Letters) {
    shared(porter, Asked::default(), terms)
}

fn shared(porter: Porter, asked: Asked, terms: Terms) -> (Mailbox, Letters) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        porter,
        asked,
        terms,
    });
    (Mailbox(Arc::clone(&shared)), Letters(shared))
}

impl Mailbox {
    /// Puts a message in. Progress joins that which waits already. Whoever waits is woken now.
    pub(crate) fn deliver(&self, message: Message) -> Delivery {
        self.deliver_by(message, |_, call| call.wake())
    }

    /// The same, but `leave` sees to it that the call's porter wakes whoever waits.
    pub(crate) fn deliver_by(&self, message: Message, leave: impl FnOnce(Porter, Waker)) -> Delivery {
        let size = size(&message);
        let mut state = self.0.state();
        if state.gone {
            return Delivery::Gone;
        }
        if size > 0 && state.waiting > 0 && state.waiting + size > WAITING {
            return Delivery::Overfull;
        }
        state.waiting += size;
        match (state.queue.last_mut(), message) {
            (Some(Ok(Message::Progress(together))), Message::Progress(more)) => together.extend(more),
            (_, message) => state.queue.push(Ok(message)),
        }
        if let Some(reader) = state.reader.take() {
            drop(state);
            leave(self.0.porter, reader);
        }
        Delivery::Taken
    }

    /// Ends the call with a failure, now.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = self.0.state();
        state.queue.push(Err(fault));
        if let Some(reader) = state.reader.take() {
            drop(state);
            reader.wake();
        }
    }

    /// The call's open questions.
    pub(crate) fn questions(&self) -> &Questions {
        self.0.asked.questions()
    }

    /// What the call is to be told.
    pub(crate) fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// Who wakes the call.
    pub(crate) fn porter(&self) -> Porter {
        self.0.porter
    }
}

impl Letters {
    /// The next message. May be dropped and called again without loss.
    ///
    /// # Errors
    /// The fault that has ended the call.
    pub(crate) async fn next(&mut self) -> Result<Message, Fault> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }

    /// The same, for as long as the call may wait.
    ///
    /// # Errors
    /// The fault that has ended the call, or ends it now.
    pub(crate) async fn next_within(&mut self, bounds: &Bounds) -> Result<Message, Fault> {
        let next = poll_fn(|cx| self.0.poll_next(cx));
        bounds.wait(&self.0.asked, next).await?
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Message, Fault>> {
        let mut state = self.state();
        if let Some(next) = state.queue.pop() {
            if let Ok(message) = &next {
                state.waiting = state.waiting.saturating_sub(size(message));
            }
            return Poll::Ready(next);
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.gone = true;
        // What was not read goes without the lock: a question that is dropped answers its server.
        let unread = std::mem::take(&mut state.queue);
        drop(state);
        drop(unread);
    }
}

/// What counts toward the bound.
fn size(message: &Message) -> usize {
    match message {
        Message::Notification(bytes) => bytes.len(),
        Message::Progress(together) => together.iter().map(|step| step.message.len()).sum(),
        Message::Question(question) => question.params.as_ref().map_or(1, |params| params.len() + 1),
        Message::Terminal(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::ProgressNote;

    #[tokio::test]
    async fn ss_06_a_slow_reader_is_cut_at_the_bound() {
        let (mailbox, mut letters) = mailbox(Porter::alone(), Questions::default());
        let half = Bytes::from(vec![b' '; WAITING / 2]);
        let note = |bytes: &Bytes| Message::Notification(bytes.clone());
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken);
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken, "at the bound");
        assert_eq!(mailbox.deliver(Message::Terminal(half.clone())), Delivery::Taken);
        assert!(letters.next().await.is_ok());
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken, "room again");
        assert_eq!(
            mailbox.deliver(note(&Bytes::from_static(b"x"))),
            Delivery::Overfull
        );
        drop(letters);
        assert_eq!(mailbox.deliver(Message::Terminal(half)), Delivery::Gone);
    }

    #[tokio::test]
    async fn progress_that_nobody_has_read_yet_is_read_together() {
        let (mailbox, mut letters) = mailbox(Porter::alone(), Questions::default());
        let progress = |text: &'static str| {
            let (message, value) = (text.into(), None);
            Message::Progress(vec![ProgressNote { message, value }])
        };
        mailbox.deliver(progress("1"));
        mailbox.deliver(progress("2"));
        mailbox.deliver(Message::Notification("log".into()));
        mailbox.deliver(progress("3"));
        mailbox.deliver(Message::Terminal("end".into()));
        let mut read = Vec::new();
        while !matches!(read.last(), Some(Message::Terminal(_))) {
            read.push(letters.next().await.expect("a message"));
        }
        let lengths: Vec<_> = read
            .iter()
            .map(|message| match message {
                Message::Progress(together) => together.len(),
                _ => 0,
            })
            .collect();
        assert_eq!(lengths, [2, 0, 1, 0], "what stands between keeps its place");
    }
}
