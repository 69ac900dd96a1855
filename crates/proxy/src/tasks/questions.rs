//! The questions of one task's server that wait for the client (input_required).

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use sallyport_mcp::answer::InputResponse;
use sallyport_mcp::tasks::with_related_task;
use tokio::sync::{Notify, mpsc};

use crate::exchange::{Answered, Question};
use crate::sync::lock;

/// How many questions of one task are open at once; a further one gets no answer.
const MAX_OPEN: usize = 64;

/// The open questions of one task.
#[derive(Debug, Default)]
pub(super) struct Questions {
    state: Mutex<State>,
    /// Told of each new one.
    pub(super) came: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Counts for the task's whole life: no key is used twice.
    last: u64,
    open: Vec<(String, Question)>,
    /// Who takes them as they come, while there is one.
    reader: Option<mpsc::UnboundedSender<Question>>,
}

impl Questions {
    /// Takes a question: it goes to who reads them, else it is kept under a key of its own.
    pub(super) fn ask(&self, question: Question) {
        let mut state = self.state();
        let question = match state.reader.take() {
            None => question,
            Some(reader) => match reader.send(question) {
                Ok(()) => {
                    state.reader = Some(reader);
                    return;
                }
                Err(unread) => unread.0,
            },
        };
        state.open.retain(|(_, question)| !question.answer.is_closed());
        if state.open.len() >= MAX_OPEN {
            return;
        }
        state.last += 1;
        let key = format!("k{}", state.last);
        state.open.push((key, question));
        drop(state);
        self.came.notify_waiters();
    }

    /// From now on they are read as they come, those that wait first. Whoever read before reads no more.
    pub(super) fn read(&self) -> mpsc::UnboundedReceiver<Question> {
        let (reader, questions) = mpsc::unbounded_channel();
        let mut state = self.state();
        for (_, question) in state.open.drain(..) {
            // The reader is right here.
            let _ = reader.send(question);
        }
        state.reader = Some(reader);
        questions
    }

    /// Whether somebody reads them as they come.
    pub(super) fn is_read(&self) -> bool {
        self.state()
            .reader
            .as_ref()
            .is_some_and(|reader| !reader.is_closed())
    }

    /// Shows the open ones.
    pub(super) fn show<T>(&self, show: impl FnOnce(&[(String, Question)]) -> T) -> T {
        let mut state = self.state();
        state.open.retain(|(_, question)| !question.answer.is_closed());
        show(&state.open)
    }

    /// Gives questions their answers, which are told to belong to `task`, the server's own id. Answers to what is not open
    /// are let be.
    pub(super) fn answer(&self, answers: &[InputResponse<'_>], task: &str) {
        for answer in answers {
            let found = {
                let mut state = self.state();
                let place = state.open.iter().position(|(key, _)| *key == answer.key);
                place.map(|place| state.open.remove(place).1)
            };
            if let Some(question) = found {
                let result: Bytes = with_related_task(answer.result, Some(task)).into();
                // A server that has gone meanwhile shows when the task is looked at.
                let _ = question.answer.send(Answered::Result(result));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_mcp::answer::input_responses;
    use tokio::sync::oneshot;

    fn question() -> (Question, oneshot::Receiver<Answered>) {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            method: "elicitation/create".into(),
            params: None,
            answer,
        };
        (question, answered)
    }

    fn keys(questions: &Questions) -> Vec<String> {
        questions.show(|open| open.iter().map(|(key, _)| key.clone()).collect())
    }

    #[tokio::test]
    async fn p_103_keys_are_never_used_twice() {
        let questions = Questions::default();
        let (first, answered) = question();
        let (second, _waits) = question();
        questions.ask(first);
        questions.ask(second);
        assert_eq!(keys(&questions), ["k1", "k2"]);
        let raw = br#"{"k1":{"action":"accept"},"k9":{}}"#;
        questions.answer(&input_responses(raw).expect("answers"), "t");
        assert_eq!(keys(&questions), ["k2"]);
        let Ok(Answered::Result(result)) = answered.await else {
            panic!("an answer");
        };
        assert_eq!(sallyport_mcp::tasks::related_task(&result).as_deref(), Some("t"));
        let (third, _waits_too) = question();
        questions.ask(third);
        assert_eq!(keys(&questions), ["k2", "k3"]);
    }

    #[tokio::test]
    async fn questions_go_to_who_reads_them_and_wait_when_nobody_does() {
        let questions = Questions::default();
        let (first, _a) = question();
        questions.ask(first);
        let mut reader = questions.read();
        let (second, _b) = question();
        questions.ask(second);
        assert!(reader.recv().await.is_some() && reader.recv().await.is_some());
        drop(reader);
        let (third, _c) = question();
        questions.ask(third);
        assert_eq!(keys(&questions), ["k1"].map(|_| "k2"));
    }

    #[test]
    fn at_the_limit_and_one_past_it() {
        let questions = Questions::default();
        let mut waits = Vec::new();
        for _ in 0..=MAX_OPEN {
            let (question, answered) = question();
            questions.ask(question);
            waits.push(answered);
        }
        assert_eq!(keys(&questions).len(), MAX_OPEN);
        assert!(
            waits.last_mut().is_some_and(|last| last.try_recv().is_err()),
            "one past it is told that there is no answer"
        );
        drop(waits);
        assert!(keys(&questions).is_empty(), "withdrawn ones are not shown");
    }
}
