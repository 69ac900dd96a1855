//! A running call as the client hears it: what the server says, turned into the client's era, one message at a time.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use sallyport_core::audit::Outcome;
use sallyport_core::fault::Fault;
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use tokio::time::{Instant, timeout_at};

use crate::ask::Asked;
use crate::call::Call;
use crate::caller::Client;
use crate::exchange::{Long, Message, ProgressNote, Question, Reply};
use crate::progress::Progress;
use crate::refusal::Refusal;
use crate::running::RunningCall;
use crate::tasks::{self, Created};
use crate::translate::{self, Terminal};
use crate::unfold::Round;
use crate::visit::{self, Visits};
use crate::{notice, park, unfold};

/// How long after a legacy server's first question others are waited for, so that the client is asked once.
const GATHER: Duration = Duration::from_millis(50);

/// How often a server may ask again within one call (P-54).
pub(crate) const MAX_ROUNDS: u8 = 10;

/// One message to the client.
#[derive(Debug)]
pub(crate) enum Out {
    /// A notification about the call.
    Notification(Bytes),
    /// Progress of the call that came together.
    Progress(Vec<Bytes>),
    /// A request of the gateway to a legacy client.
    Request(Bytes),
    /// The response while it comes. Nothing follows.
    Long(Long),
    /// The response. Nothing follows.
    Last {
        /// The HTTP status, as long as nothing has been sent.
        status: u16,
        /// The message.
        message: Bytes,
    },
}

impl Out {
    /// The same once all of it has come.
    pub(crate) async fn settled(self) -> Self {
        let Self::Long(long) = self else {
            return self;
        };
        let id = long.id.clone();
        let message = match long.whole().await {
            Ok(message) => message,
            Err(fault) => Refusal::fault(&fault).message(Some(&id)),
        };
        Self::Last { status: 200, message }
    }

    /// The messages, in their order, once all of them have come.
    pub(crate) async fn into_messages(self) -> Vec<Bytes> {
        match self {
            Self::Long(_) => Box::pin(self.settled()).await.said(),
            other => other.said(),
        }
    }

    /// The messages that are there.
    fn said(self) -> Vec<Bytes> {
        match self {
            Self::Long(_) => Vec::new(),
            Self::Notification(message) | Self::Request(message) | Self::Last { message, .. } => {
                vec![message]
            }
            Self::Progress(together) => together,
        }
    }
}

/// What a client hears of one call.
pub(crate) type Outgoing = Pin<Box<dyn Stream<Item = Out> + Send>>;

/// A running call. Dropping it cancels the call.
pub(crate) struct Relay {
    pub(crate) call: Call,
    pub(crate) stage: Stage,
    /// Messages that go out before anything else is read.
    pub(crate) queue: VecDeque<Out>,
    /// Questions that the client has been asked; withdrawn with the call.
    pub(crate) asked: Vec<Asked>,
    /// A legacy server's questions for a modern client, gathered until then.
    pub(crate) gathered: Vec<Question>,
    gather_until: Option<Instant>,
    /// The era spoken with the server.
    pub(crate) era: Era,
    pub(crate) rounds: u8,
    /// Set when answers bear another id, or progress another token, than the client now waits for.
    pub(crate) relabel: Option<Label>,
    /// URLs that the person visits for the call.
    pub(crate) visits: Visits,
    /// What the client has been told of it.
    progress: Progress,
}

/// What the client now waits for.
pub(crate) struct Label {
    pub(crate) id: Bytes,
    /// `None`: the client does not want progress any more.
    pub(crate) progress_token: Option<Bytes>,
}

/// What a server says about a call.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<Message, Fault>> + Send>>;

/// What the server says next.
enum Heard {
    Message(Message),
    Long(Long),
}

/// How far a call has come.
pub(crate) enum Stage {
    /// Not sent yet: with these parameters, under this id.
    Ready(Bytes, Bytes),
    /// The server is answering.
    Answering(Messages),
    /// The client has been asked on behalf of a modern server.
    Waiting(Round),
    /// The person is at URLs of a legacy server, by its ids; the call is made again.
    Away(Vec<String>),
}

/// Starts a call. Nothing is sent before the stream is read.
pub(crate) fn start(mut call: Call) -> impl Stream<Item = Out> + Send {
    // Nothing has been said yet that the response would have to agree with.
    call.flows = true;
    start_after(call, Visits::default())
}

/// Starts a call for which the person has been elsewhere.
pub(crate) fn start_after(call: Call, visits: Visits) -> impl Stream<Item = Out> + Send {
    let stage = Stage::Ready(call.params.clone(), call.id.clone());
    let era = call.client.era();
    begin(call, stage, era, visits)
}

/// Goes on with a call that a server of this era is answering already.
pub(crate) fn answering(call: Call, messages: Messages, era: Era) -> impl Stream<Item = Out> + Send {
    begin(call, Stage::Answering(messages), era, Visits::default())
}

fn begin(call: Call, stage: Stage, era: Era, visits: Visits) -> impl Stream<Item = Out> + Send {
    run(Box::new(Relay {
        era,
        call,
        stage,
        queue: VecDeque::new(),
        asked: Vec::new(),
        gathered: Vec::new(),
        gather_until: None,
        rounds: 0,
        relabel: None,
        visits,
        progress: Progress::default(),
    }))
}

/// The messages of a call from where it stands. Boxed, because the call is handed from step to step.
pub(crate) fn run(relay: Box<Relay>) -> impl Stream<Item = Out> + Send {
    stream::unfold(Some(relay), |relay| async { relay?.until_cancelled().await })
}

/// A call's step: what the client hears next, and the call unless that was the last.
pub(crate) type Step = (Out, Option<Box<Relay>>);

impl Relay {
    /// The next step; `None` once the client has cancelled the request, which ends the call.
    async fn until_cancelled(self: Box<Self>) -> Option<Step> {
        let cancel = self.call.running.as_ref().map(RunningCall::cancel);
        let mut step = pin!(self.step());
        poll_fn(|cx| match &cancel {
            Some(cancel) if cancel.poll(cx).is_ready() => Poll::Ready(None),
            _ => step.as_mut().poll(cx).map(Some),
        })
        .await
    }

    async fn step(mut self: Box<Self>) -> Step {
        loop {
            if let Some(out) = self.queue.pop_front() {
                return self.said(out);
            }
            if self.gather_is_over() {
                return park::park(self);
            }
            let message = match self.advance().await {
                Ok(Some(Heard::Message(message))) => message,
                Ok(Some(Heard::Long(long))) => return self.flow(long),
                Ok(None) => continue,
                Err(refusal) => return self.refused(&refusal),
            };
            match message {
                Message::Notification(message) => {
                    if let Some(out) = self.notification(message) {
                        return (out, Some(self));
                    }
                }
                Message::Progress(together) => {
                    if let Some(out) = self.progress(together) {
                        return (out, Some(self));
                    }
                }
                Message::Question(question) => self.question(question),
                Message::Terminal(message) => {
                    let last = self.terminal(message);
                    self.queue.extend(last);
                }
            }
        }
    }

    /// Goes on to the next message of the server. `None` when the call has come to another stage, or a time is over.
    async fn advance(&mut self) -> Result<Option<Heard>, Refusal> {
        match &mut self.stage {
            Stage::Ready(params, id) => {
                let (params, id) = (std::mem::take(params), std::mem::take(id));
                let (reply, era) = self.call.send(params, id).await?;
                self.era = era;
                match reply {
                    Reply::Whole(message) => Ok(Some(Heard::Message(Message::Terminal(message)))),
                    Reply::Long(long) => Ok(Some(Heard::Long(long))),
                    Reply::Stream(messages) => {
                        self.stage = Stage::Answering(messages);
                        Ok(None)
                    }
                }
            }
            Stage::Answering(messages) => {
                let next = match self.gather_until {
                    None => messages.next().await,
                    Some(until) => match timeout_at(until, messages.next()).await {
                        Ok(next) => next,
                        Err(_) => return Ok(None),
                    },
                };
                match next {
                    Some(Ok(message)) => Ok(Some(Heard::Message(message))),
                    Some(Err(fault)) => Err(self.call.failed(&fault)),
                    None => Err(self
                        .call
                        .failed(&Fault::upstream("read the answer", "it ended too early"))),
                }
            }
            Stage::Waiting(round) => {
                let round = std::mem::replace(round, Round::nothing());
                let (params, id) = Box::pin(unfold::answered(self, round)).await?;
                self.withdraw_questions();
                self.stage = Stage::Ready(params, id);
                Ok(None)
            }
            Stage::Away(ids) => {
                let ids = std::mem::take(ids);
                let (params, id) = Box::pin(visit::back(self, &ids)).await;
                self.stage = Stage::Ready(params, id);
                Ok(None)
            }
        }
    }

    fn notification(&mut self, message: Bytes) -> Option<Out> {
        let message = translate::notification(message, self.call.client.era(), &self.call)?;
        if translate::is_progress(&message) {
            return self.progress(vec![ProgressNote::read(message)]);
        }
        Some(Out::Notification(message))
    }

    fn progress(&mut self, together: Vec<ProgressNote>) -> Option<Out> {
        let further = together.into_iter().filter(|note| self.progress.is_further(note));
        let mut together: Vec<Bytes> = further.map(|note| note.message).collect();
        if let Some(label) = &self.relabel {
            let token = label.progress_token.as_ref()?;
            for message in &mut together {
                *message = notice::with_progress_token(message, token);
            }
        }
        (!together.is_empty()).then_some(Out::Progress(together))
    }

    /// A legacy server asks. Without a way to answer the question is dropped, which tells the server so.
    fn question(&mut self, question: Question) {
        let method = Method::parse(&question.method);
        if !self.call.client.can().allow(method, question.params.as_deref()) || !self.can_ask() {
            return;
        }
        let question = translate::question(question, &self.call);
        match &self.call.client {
            Client::Legacy(session) => {
                let random = &*self.call.caller.proxy.random;
                if let Some((asked, message)) = session.ears.questions.ask(random, question) {
                    self.asked.push(asked);
                    self.queue.push_back(Out::Request(message));
                }
            }
            Client::Modern(_) => {
                self.gathered.push(question);
                self.gather_until.get_or_insert_with(|| Instant::now() + GATHER);
            }
        }
    }

    /// Whether a question can reach the client: on the call's own stream, or on another of its session.
    pub(crate) fn can_ask(&self) -> bool {
        match &self.call.client {
            Client::Legacy(session) => self.call.caller.accept.events || session.ears.outbox.is_open(),
            Client::Modern(_) => true,
        }
    }

    fn gather_is_over(&self) -> bool {
        self.gather_until.is_some_and(|until| Instant::now() >= until)
    }

    /// The response as it comes; the call ends with it.
    fn flow(self: Box<Self>, long: Long) -> Step {
        let Long { id, begin, rest } = long;
        let rest = stream::unfold(Some((self, rest)), |state| async {
            let (mut relay, mut rest) = state?;
            let piece = rest.next().await;
            let outcome = match &piece {
                Some(Ok(_)) => return Some((piece?, Some((relay, rest)))),
                Some(Err(fault)) => {
                    let _told_already = relay.call.failed(fault);
                    Outcome::Failed
                }
                None => Outcome::Ok,
            };
            relay.call.record.close(outcome, None);
            Some((piece?, None))
        });
        let rest = Box::pin(rest);
        (Out::Long(Long { id, begin, rest }), None)
    }

    /// The server's response. `None` when it asks for more and the client is asked.
    fn terminal(&mut self, message: Bytes) -> Option<Out> {
        let message = match tasks::created(self, message) {
            Created::No(message) => message,
            Created::Driven => return None,
            Created::Told(message) => return Some(self.last(200, message)),
            Created::Refused(refusal) => return Some(self.refuse(&refusal)),
        };
        match translate::terminal(message, self.era, &self.call) {
            Terminal::Done { status, message, ok } => {
                let outcome = if ok { Outcome::Ok } else { Outcome::Failed };
                self.call.record.close(outcome, None);
                self.withdraw();
                Some(self.last(status, message))
            }
            Terminal::Asks(asks) => unfold::ask(self, &asks),
            Terminal::Visits(refused) => visit::ask(self, &refused),
        }
    }

    /// The response, under the id that the client waits for.
    fn last(&self, status: u16, message: Bytes) -> Out {
        let message = match &self.relabel {
            Some(label) => notice::with_member(&message, "id", &label.id),
            None => message,
        };
        Out::Last { status, message }
    }

    fn refused(mut self: Box<Self>, refusal: &Refusal) -> Step {
        let last = self.refuse(refusal);
        match self.queue.pop_front() {
            Some(first) => {
                self.queue.push_back(last);
                self.said(first)
            }
            None => (last, None),
        }
    }

    /// One message goes out; after the response there is no call any more.
    fn said(self: Box<Self>, out: Out) -> Step {
        let more = !matches!(out, Out::Last { .. } | Out::Long(_));
        (out, more.then_some(self))
    }

    /// Ends the call with an error of the gateway's own.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) -> Out {
        self.call.record.close(Outcome::Failed, None);
        self.withdraw();
        let id = self.waiting_for();
        let status = match self.call.client {
            Client::Legacy(_) if refusal.status == 404 => 200,
            _ => refusal.status,
        };
        Out::Last {
            status,
            message: refusal.message(Some(id)),
        }
    }

    /// The raw id of the request that the client waits for.
    pub(crate) fn waiting_for(&self) -> &Bytes {
        self.relabel.as_ref().map_or(&self.call.id, |label| &label.id)
    }

    /// The end is near: a legacy client is told of what is not asked any more, and of visits that are over.
    fn withdraw(&mut self) {
        self.withdraw_questions();
        self.queue
            .extend(self.visits.over(None).into_iter().map(Out::Notification));
    }

    fn withdraw_questions(&mut self) {
        let asked = self.asked.drain(..).filter_map(Asked::withdraw);
        self.queue.extend(asked.map(Out::Notification));
    }

    /// Takes the gathered questions; the time for gathering starts anew with the next.
    pub(crate) fn take_gathered(&mut self) -> Vec<Question> {
        self.gather_until = None;
        std::mem::take(&mut self.gathered)
    }
}
