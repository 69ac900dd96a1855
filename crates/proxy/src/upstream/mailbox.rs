//! What a process tells one running call, until the client's side takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sallyport_core::fault::Fault;
use tokio::sync::mpsc;

use super::pace::Questions;
use crate::exchange::Message;

/// The most bytes of notifications that wait for a client that reads slowly (SS-06); a terminal message always passes.
const WAITING: usize = 256 << 10;

/// The sending end: the reader of a pipe never waits for one client.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    sender: mpsc::UnboundedSender<Result<Message, Fault>>,
    waiting: Arc<AtomicUsize>,
    questions: Questions,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Letters {
    receiver: mpsc::UnboundedReceiver<Result<Message, Fault>>,
    waiting: Arc<AtomicUsize>,
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

/// A mailbox and its letters.
pub(crate) fn mailbox(questions: Questions) -> (Mailbox, Letters) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let letters = Letters {
        receiver,
        waiting: Arc::clone(&waiting),
    };
    (
        Mailbox {
            sender,
            waiting,
            questions,
        },
        letters,
    )
}

impl Mailbox {
    /// Puts a message in.
    pub(crate) fn deliver(&self, message: Message) -> Delivery {
        let size = size(&message);
        let before = self.waiting.fetch_add(size, Ordering::AcqRel);
        if size > 0 && before > 0 && before + size > WAITING {
            return Delivery::Overfull;
        }
        match self.sender.send(Ok(message)) {
            Ok(()) => Delivery::Taken,
            Err(_) => Delivery::Gone,
        }
    }

    /// Ends the call with a failure.
    pub(crate) fn fail(&self, fault: Fault) {
        // Nobody waits: then nobody needs to know.
        let _gone = self.sender.send(Err(fault));
    }

    /// The call's open questions.
    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
    }
}

impl Letters {
    /// The next message; `None` when the sending end is gone.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, Fault>> {
        let next = self.receiver.recv().await;
        if let Some(Ok(message)) = &next {
            self.waiting.fetch_sub(size(message), Ordering::AcqRel);
        }
        next
    }
}

/// What counts toward the bound.
fn size(message: &Message) -> usize {
    match message {
        Message::Notification(bytes) => bytes.len(),
        Message::Progress(together) => together.iter().map(|message| message.len()).sum(),
        Message::Question(question) => question.params.as_ref().map_or(1, |params| params.len() + 1),
        Message::Terminal(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn ss_06_a_slow_reader_is_cut_at_the_bound() {
        let (mailbox, mut letters) = mailbox(Questions::default());
        let half = Bytes::from(vec![b' '; WAITING / 2]);
        let note = |bytes: &Bytes| Message::Notification(bytes.clone());
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken);
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken, "at the bound");
        assert_eq!(mailbox.deliver(Message::Terminal(half.clone())), Delivery::Taken);
        assert!(letters.next().await.is_some());
        assert_eq!(mailbox.deliver(note(&half)), Delivery::Taken, "room again");
        assert_eq!(
            mailbox.deliver(note(&Bytes::from_static(b"x"))),
            Delivery::Overfull
        );
        drop(letters);
        assert_eq!(mailbox.deliver(Message::Terminal(half)), Delivery::Gone);
    }
}
