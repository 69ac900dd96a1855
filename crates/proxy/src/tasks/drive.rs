//! Seeing a task to its end within the call that it came from, for a client that knows nothing of tasks: to it the call
//! takes long, and may ask something on its way.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use sallyport_core::fault::Fault;
use sallyport_mcp::answer::InputRequired;
use sallyport_mcp::error::{self, INTERNAL_ERROR};
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::tasks::{Status, Task};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::Subject;
use super::bridge::{self, End};
use super::created::cancel;
use crate::exchange::{Answered, Message, Question};
use crate::relay::Messages;
use crate::route::TaskOp;
use crate::unfold::legacy_params;

/// How long a task is left alone whose server does not say.
const POLL: Duration = Duration::from_secs(1);

/// How often in a row a look may fail before the call is given up.
const MAX_FAILURES: u32 = 5;

/// What the call wants of its task.
pub(super) struct Plan {
    /// The raw id that the client waits for.
    pub(super) id: Bytes,
    /// The raw progress token, if the client wants progress.
    pub(super) progress_token: Option<Bytes>,
    /// How long the server wants to be left alone.
    pub(super) poll: Option<Duration>,
    /// How long the call may take in all.
    pub(super) longest: Duration,
}

/// The messages of the call from here on, in the form of the task's server, as if the server had taken its time to answer.
/// Dropping the stream before its end cancels the task.
pub(super) fn drive(subject: Subject, plan: Plan) -> Messages {
    let (to, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut driver = Driver::new(&subject, plan, to.clone());
        let end = tokio::select! {
            biased;
            () = to.closed() => None,
            end = driver.run() => Some(end),
        };
        drop(driver);
        if !matches!(end, Some(Ok(_))) {
            cancel(subject.clone());
        }
        if let Some(end) = end {
            // The client may have left just now.
            let _ = to.send(end.map(Message::Terminal));
        }
        if let Some(kept) = subject.known() {
            subject.caller.proxy.tasks.forget(&kept);
        }
    });
    Box::pin(stream::unfold(messages, |mut messages| async {
        Some((messages.recv().await?, messages))
    }))
}

/// An answer of the client: its question's key, the method, and what it said.
type Given = (String, Method, Option<Answered>);

struct Driver<'d> {
    subject: &'d Subject,
    plan: Plan,
    to: mpsc::UnboundedSender<Result<Message, Fault>>,
    /// The keys of a modern server's questions that have been asked.
    asked: HashSet<String>,
    answers: FuturesUnordered<BoxFuture<'static, Given>>,
    /// A legacy server's questions, as they come.
    questions: Option<mpsc::UnboundedReceiver<Question>>,
    looks: u64,
    failures: u32,
}

/// What a look has shown.
enum Now {
    /// It goes on; how long to wait before the next look, and what the server says about it.
    Going(Option<u64>, Option<Bytes>),
    /// The response for the client.
    Done(Bytes),
}

impl<'d> Driver<'d> {
    fn new(subject: &'d Subject, plan: Plan, to: mpsc::UnboundedSender<Result<Message, Fault>>) -> Self {
        let kept = subject.known().filter(|_| subject.era() == Era::Legacy);
        Self {
            subject,
            plan,
            to,
            asked: HashSet::new(),
            answers: FuturesUnordered::new(),
            questions: kept.map(|kept| kept.questions.read()),
            looks: 0,
            failures: 0,
        }
    }

    /// Looks at the task until it has ended.
    ///
    /// # Errors
    /// It took too long, cannot be looked at, or asks what the client does not answer.
    async fn run(&mut self) -> Result<Bytes, Fault> {
        let until = Instant::now() + self.plan.longest;
        let mut poll = self.plan.poll;
        loop {
            let shortest = self.subject.caller.limits.tasks.poll;
            let next = Instant::now() + poll.unwrap_or(POLL).max(shortest);
            self.pause(next.min(until)).await?;
            if Instant::now() >= until {
                return Err(Fault::upstream(
                    "wait for a task",
                    "the call took longer than it may",
                ));
            }
            match self.look().await? {
                Now::Done(message) => return Ok(message),
                Now::Going(wait, message) => {
                    poll = wait.map(Duration::from_millis);
                    self.progress(message.as_deref());
                }
            }
        }
    }

    /// Waits, and passes on meanwhile what the server asks and what the client answers.
    async fn pause(&mut self, until: Instant) -> Result<(), Fault> {
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(()),
                Some(given) = self.answers.next(), if !self.answers.is_empty() => self.give(given).await?,
                Some(question) = next(&mut self.questions) => {
                    // Whoever reads this has left: then there is nobody to answer.
                    let _ = self.to.send(Ok(Message::Question(question)));
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Now, Fault> {
        self.looks += 1;
        let looked = match self.subject.era() {
            Era::Modern => self.look_modern().await,
            Era::Legacy => self.look_legacy().await,
        };
        match looked {
            Ok(now) => {
                self.failures = 0;
                Ok(now)
            }
            Err(fault) => {
                self.failures += 1;
                if self.failures >= MAX_FAILURES {
                    return Err(fault);
                }
                Ok(Now::Going(None, None))
            }
        }
    }

    async fn look_modern(&mut self) -> Result<Now, Fault> {
        let message = self.subject.ask(TaskOp::Get, self.subject.params(&[])).await?;
        let Some(result) = json::find(&message, "result") else {
            return Ok(Now::Done(self.failed("The server has lost the task")));
        };
        let Some(task) = Task::read(result, Era::Modern) else {
            return Ok(Now::Done(self.failed("The server told no state of the task")));
        };
        let part = |key: &str| json::find(result, key).unwrap_or(b"{}");
        Ok(match task.status {
            Status::Completed => Now::Done(error::result(&self.plan.id, part("result"))),
            Status::Failed => Now::Done(error::relay(Some(&self.plan.id), part("error"))),
            Status::Cancelled => Now::Done(self.failed("The task was cancelled")),
            Status::InputRequired if !self.ask(result) => {
                Now::Done(self.failed("The server's question cannot be understood"))
            }
            Status::Working | Status::InputRequired => {
                Now::Going(task.poll, task.message.map(Bytes::copy_from_slice))
            }
        })
    }

    async fn look_legacy(&mut self) -> Result<Now, Fault> {
        let look = match bridge::look(self.subject).await {
            Ok(look) => look,
            Err(refusal) => return Ok(Now::Done(refusal.message(Some(&self.plan.id)))),
        };
        Ok(match (look.status, &look.end) {
            (_, Some(End::Result(raw))) => Now::Done(error::result(&self.plan.id, raw)),
            (_, Some(End::Error(raw))) => Now::Done(error::relay(Some(&self.plan.id), raw)),
            (Status::Cancelled, None) => Now::Done(self.failed("The task was cancelled")),
            (status, None) => {
                if status == Status::InputRequired
                    && let Some(kept) = self.subject.known()
                {
                    bridge::wait(self.subject, &kept);
                }
                Now::Going(look.poll(), None)
            }
        })
    }

    /// Puts a modern server's new questions to the client. False if they are none.
    fn ask(&mut self, state: &[u8]) -> bool {
        let Ok(asks) = InputRequired::parse(state) else {
            return false;
        };
        let caller = &self.subject.caller;
        let patience = caller.limits.parked_for;
        for request in asks.requests {
            if !self.asked.insert(request.key.to_string()) {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            let params = match self.subject.client.era() {
                Era::Legacy => legacy_params(&*caller.proxy.random, request.method, request.params),
                Era::Modern => request.params.map(Bytes::copy_from_slice),
            };
            let question = Question {
                method: request.method.as_str().into(),
                params,
                answer,
            };
            // Whoever reads this has left: then the question is dropped, and with it the wait for its answer.
            let _ = self.to.send(Ok(Message::Question(question)));
            let (key, method) = (request.key.into_owned(), request.method);
            self.answers.push(Box::pin(async move {
                let answered = timeout(patience, answered).await;
                (key, method, answered.ok().and_then(Result::ok))
            }));
        }
        true
    }

    /// Gives a modern server the client's answer.
    async fn give(&mut self, (key, method, answered): Given) -> Result<(), Fault> {
        let result = match (answered, method) {
            (Some(Answered::Result(result)), _) => result,
            // The one question whose answer may be "no".
            (_, Method::ElicitationCreate) => Bytes::from_static(br#"{"action":"cancel"}"#),
            _ => {
                let why = "the client did not answer the server's question";
                return Err(Fault::new(
                    sallyport_core::fault::Blame::Client,
                    sallyport_core::fault::Retry::Never,
                    "wait for a task",
                    why,
                ));
            }
        };
        let mut responses = vec![b'{'];
        responses.extend_from_slice(&json::quote(&key));
        responses.push(b':');
        responses.extend_from_slice(&result);
        responses.push(b'}');
        let params = self.subject.params(&[("inputResponses", &responses)]);
        self.subject.ask(TaskOp::Update, params).await.map(drop)
    }

    /// Tells the client that its call goes on. `message` is a raw string of the server's.
    fn progress(&self, message: Option<&[u8]>) {
        let Some(token) = &self.plan.progress_token else {
            return;
        };
        let mut params = br#"{"progressToken":"#.to_vec();
        params.extend_from_slice(token);
        params.extend_from_slice(format!(",\"progress\":{}", self.looks).as_bytes());
        if let Some(message) = message {
            params.extend_from_slice(b",\"message\":");
            params.extend_from_slice(message);
        }
        params.push(b'}');
        let message = error::notification(Method::Progress.as_str(), Some(&params));
        // Whoever reads this has left.
        let _ = self.to.send(Ok(Message::Notification(message)));
    }

    fn failed(&self, text: &str) -> Bytes {
        error::message(Some(&self.plan.id), INTERNAL_ERROR, text, None)
    }
}

/// The next question, if there is anybody to ask one.
async fn next(questions: &mut Option<mpsc::UnboundedReceiver<Question>>) -> Option<Question> {
    match questions {
        Some(questions) => questions.recv().await,
        None => None,
    }
}
