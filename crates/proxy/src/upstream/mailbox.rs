//! What a process tells one running call, until the client's side takes it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sallyport_core::fault::Fault;

use super::conversation::{Limits, Porter};
use super::outgoing::Logs;
use super::pace::{Asked, Questions};
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
    /// When the call began, in looks.
    began: u32,
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
    /// From when on the server has been silent, in looks, and how many questions had ended then.
    silence: (u32, usize),
    /// The server has said something since the last look.
    heard: bool,
    /// It may be silent, and take as long as it likes.
    is_endless: bool,
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
    shared(porter, questions.into(), Terms::QUESTIONS, 0)
}

/// A mailbox and its letters, for a call in a conversation that `porter` wakes and that begins now, in looks.
pub(crate) fn mailbox_of_call(porter: Porter, terms: Terms, began: u32) -> (Mailbox, Letters) {
    shared(porter, Asked::default(), terms, began)
}

fn shared(porter: Porter, asked: Asked, terms: Terms, began: u32) -> (Mailbox, Letters) {
    let state = State {
        silence: (began, 0),
        ..State::default()
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        porter,
        asked,
        terms,
        began,
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
        state.heard = true;
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

    /// Ends the call if it has had its time, and somebody waits for it: once. While a question waits for the client, the server's silence is not its own; nor
    /// was it while one waited whose call nobody read meanwhile: from its answer on the server has its whole time again.
    pub(crate) fn look(&self, now: u32, limits: Limits) {
        let mut state = self.0.state();
        let asked = &self.0.asked;
        let ended = asked.ended();
        // Nor is it while there is something to read, or nobody who reads.
        let heard = std::mem::take(&mut state.heard) || state.reader.is_none();
        if heard || asked.any() || ended != state.silence.1 {
            state.silence = (now, ended);
        }
        let silent = now.wrapping_sub(state.silence.0) >= limits.idle;
        let late = now.wrapping_sub(self.0.began) >= limits.call;
        if state.is_endless || state.reader.is_none() || !(silent || late) {
            return;
        }
        drop(state);
        let reason = if late {
            "the call took longer than it may"
        } else {
            "the server is silent"
        };
        self.fail(Fault::upstream("wait for the answer", reason));
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

    /// The server may be silent, and take as long as it likes.
    pub(crate) fn endless(&self) {
        self.0.state().is_endless = true;
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

    const LIMITS: Limits = Limits { idle: 10, call: 100 };

    /// A call that is waited for, and who waits.
    fn waiting() -> (Mailbox, Letters, Waker) {
        let (mailbox, letters) = mailbox_of_call(Porter::alone(), Terms::QUESTIONS, 7);
        (mailbox, letters, Waker::noop().clone())
    }

    /// Whether the call has ended with a failure.
    fn has_failed(letters: &Letters, waker: &Waker) -> bool {
        let next = letters.0.poll_next(&mut Context::from_waker(waker));
        matches!(next, Poll::Ready(Err(_)))
    }

    /// The first look of these that ends the call.
    fn ends_at(
        mailbox: &Mailbox,
        letters: &Letters,
        waker: &Waker,
        looks: std::ops::Range<u32>,
    ) -> Option<u32> {
        looks.into_iter().find(|now| {
            mailbox.look(*now, LIMITS);
            has_failed(letters, waker)
        })
    }

    #[test]
    fn st_09_silence_ends_a_call_in_a_conversation() {
        let (mailbox, letters, waker) = waiting();
        assert!(!has_failed(&letters, &waker));
        assert_eq!(ends_at(&mailbox, &letters, &waker, 8..1000), Some(17));
        let (mailbox, letters, waker) = waiting();
        letters.endless();
        assert!(!has_failed(&letters, &waker));
        assert_eq!(ends_at(&mailbox, &letters, &waker, 8..1000), None);
    }

    #[test]
    fn a_sign_of_life_ends_silence_but_not_for_ever() {
        let (mailbox, letters, waker) = waiting();
        for now in 8..107 {
            let note = Message::Notification(Bytes::from_static(b"{}"));
            assert_eq!(mailbox.deliver(note), Delivery::Taken);
            assert!(!has_failed(&letters, &waker), "it is read");
            assert_eq!(ends_at(&mailbox, &letters, &waker, now..now + 1), None, "{now}");
        }
        assert_eq!(ends_at(&mailbox, &letters, &waker, 107..1000), Some(107));
    }

    #[test]
    fn p_68_p_97_an_open_question_excuses_silence_in_a_conversation() {
        let (mailbox, letters, waker) = waiting();
        assert!(!has_failed(&letters, &waker));
        let open = mailbox.questions().open();
        assert_eq!(ends_at(&mailbox, &letters, &waker, 8..60), None);
        drop(open);
        assert_eq!(
            ends_at(&mailbox, &letters, &waker, 60..1000),
            Some(70),
            "from its end on"
        );
        let (mailbox, letters, waker) = waiting();
        let _open = mailbox.questions().open();
        assert!(!has_failed(&letters, &waker));
        assert_eq!(
            ends_at(&mailbox, &letters, &waker, 8..1000),
            Some(107),
            "the whole call"
        );
    }

    #[test]
    fn a_call_that_nobody_reads_is_ended_once_when_somebody_does() {
        let (mailbox, letters, waker) = waiting();
        mailbox.deliver(Message::Notification(Bytes::from_static(b"{}")));
        let unread = |letters: &Letters| {
            let state = letters.0.state();
            usize::from(state.queue.first.is_some()) + state.queue.others.len()
        };
        for now in 8..1000 {
            mailbox.look(now, LIMITS);
        }
        assert_eq!(unread(&letters), 1, "the message");
        assert!(!has_failed(&letters, &waker) && !has_failed(&letters, &waker));
        for now in 1000..1100 {
            mailbox.look(now, LIMITS);
        }
        assert_eq!(unread(&letters), 1, "the end");
        assert!(has_failed(&letters, &waker));
    }

    #[test]
    fn who_does_not_read_waits_for_nothing() {
        let (mailbox, letters, waker) = waiting();
        mailbox.deliver(Message::Notification(Bytes::from_static(b"{}")));
        for now in 8..60 {
            mailbox.look(now, LIMITS);
        }
        assert!(!has_failed(&letters, &waker), "the message");
        assert!(!has_failed(&letters, &waker), "and nothing else");
        assert_eq!(ends_at(&mailbox, &letters, &waker, 60..1000), Some(69));
    }
}
