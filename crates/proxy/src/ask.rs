//! Questions that have been put to a legacy client: requests from the gateway, answered by a POST of the same session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use sallyport_core::Random;
use sallyport_core::random::token;
use sallyport_mcp::method::Method;
use sallyport_mcp::{error, json};
use tokio::sync::oneshot;

use crate::exchange::{Answered, Question};
use crate::stream::Outbox;
use crate::sync::lock;

/// How many questions one session may have open.
const MAX_OPEN: usize = 64;

/// The open questions of one session. Their ids are random: who did not see the question cannot answer it.
#[derive(Default)]
pub(crate) struct Questions {
    open: Mutex<Open>,
    /// Where the client hears that one is withdrawn when its call has no stream any more.
    outbox: Weak<Outbox>,
}

#[derive(Debug, Default)]
struct Open {
    waiting: HashMap<Box<str>, oneshot::Sender<Answered>>,
    /// Nobody is there any more who could answer.
    closed: bool,
}

/// A question that has been put. Dropping it withdraws the question; whoever waits for its answer is told.
pub(crate) struct Asked {
    questions: Arc<Questions>,
    id: Option<Box<str>>,
}

impl Questions {
    /// No questions yet, of a session with this outbox.
    pub(crate) fn new(outbox: &Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            outbox: Arc::downgrade(outbox),
        })
    }

    /// Opens a question. Returns what keeps it open and the JSON-RPC request for the client; `None` when too many are
    /// open.
    pub(crate) fn ask(self: &Arc<Self>, random: &dyn Random, question: Question) -> Option<(Asked, Bytes)> {
        let id: Box<str> = token::<16>(random).into();
        let message = error::request(&json::quote(&id), &question.method, question.params.as_deref());
        let mut open = lock(&self.open);
        open.waiting.retain(|_, answer| !answer.is_closed());
        if open.closed || open.waiting.len() >= MAX_OPEN {
            return None;
        }
        open.waiting.insert(id.clone(), question.answer);
        let asked = Asked {
            questions: Arc::clone(self),
            id: Some(id),
        };
        Some((asked, message))
    }

    /// Hands over the client's answer. False when there is no such question, or not any more.
    pub(crate) fn answer(&self, id: &str, answered: Answered) -> bool {
        let waiting = lock(&self.open).waiting.remove(id);
        waiting.is_some_and(|waiting| waiting.send(answered).is_ok())
    }

    /// Withdraws every question, and puts none any more: the client has said its last.
    pub(crate) fn close(&self) {
        let mut open = lock(&self.open);
        open.closed = true;
        open.waiting.clear();
    }
}

impl Asked {
    /// Takes the question back. What tells the client so, unless it has been answered.
    pub(crate) fn withdraw(mut self) -> Option<Bytes> {
        let id = self.id.take()?;
        lock(&self.questions.open).waiting.remove(&id)?;
        Some(no_longer(&id))
    }

    /// Lets the question stay open until it is answered or nobody waits for it any more.
    pub(crate) fn leave_open(mut self) {
        self.id = None;
    }
}

impl Drop for Asked {
    /// The call is over before its end: it was cancelled. Who listens is told.
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        if lock(&self.questions.open).waiting.remove(&id).is_some()
            && let Some(outbox) = self.questions.outbox.upgrade()
            && outbox.is_open()
        {
            outbox.send(no_longer(&id));
        }
    }
}

/// Tells a client that a question needs no answer any more (2025-11-25, Cancellation).
fn no_longer(id: &str) -> Bytes {
    let mut params = b"{\"requestId\":".to_vec();
    json::quote_into(&mut params, id);
    params.extend_from_slice(b",\"reason\":\"no longer asked\"}");
    error::notification(Method::Cancelled.as_str(), Some(&params))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::Counting;

    fn question() -> (Question, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            method: "roots/list".into(),
            params: None,
            answer,
        };
        (question, answered)
    }

    #[tokio::test]
    async fn p_83_an_answer_reaches_its_question_once() {
        let questions = Arc::new(Questions::default());
        let (question, answered) = question();
        let (asked, message) = questions.ask(&Counting::default(), question).expect("room");
        let id = asked.id.clone().expect("an id");
        assert!(message.starts_with(br#"{"jsonrpc":"2.0","id":""#));
        assert!(message.ends_with(br#","method":"roots/list"}"#));
        assert!(!questions.answer("1", Answered::Result("{}".into())));
        assert!(questions.answer(&id, Answered::Result("{}".into())));
        assert!(!questions.answer(&id, Answered::Result("{}".into())));
        assert!(matches!(answered.await, Ok(Answered::Result(_))));
    }

    #[tokio::test]
    async fn a_withdrawn_question_tells_who_waits() {
        let questions = Arc::new(Questions::default());
        let (first, answered) = question();
        let asked = questions.ask(&Counting::default(), first);
        drop(asked);
        assert!(answered.await.is_err());

        let (second, answered) = question();
        let (asked, message) = questions.ask(&Counting::default(), second).expect("room");
        let told: serde_json::Value =
            serde_json::from_slice(&asked.withdraw().expect("still open")).expect("JSON");
        let asked: serde_json::Value = serde_json::from_slice(&message).expect("JSON");
        assert_eq!(told["method"], "notifications/cancelled");
        assert_eq!(told["params"]["requestId"], asked["id"]);
        assert!(answered.await.is_err());

        let (third, answered) = question();
        let (asked, _) = questions.ask(&Counting::default(), third).expect("room");
        let id = asked.id.clone().expect("an id");
        assert!(questions.answer(&id, Answered::Result("{}".into())));
        assert_eq!(asked.withdraw(), None, "answered already");
        assert!(answered.await.is_ok());
    }
}
