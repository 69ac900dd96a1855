//! Calls of clients that can be asked. A server may put a question on the session's own stream, which says nothing of the
//! call that it is about (2025-11-25, Listening for Messages from the Server), and at any time: before the answer has
//! begun, and between its messages. What it tells of a call there finds it too.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use sallyport_core::SmolStr;
use sallyport_core::fault::Fault;
use sallyport_mcp::jsonrpc::{Envelope, Key};
use sallyport_mcp::method::Method;
use sallyport_net::Worker;

use super::answer::json_here;
use super::modern::body;
use super::relay::Call;
use super::session::{ActiveToken, Session};
use crate::exchange::{Message, ProgressNote, Reply};
use crate::upstream::conversation::Porter;
use crate::upstream::inbox::{is_of_task, level_of};
use crate::upstream::mailbox::{Delivery, Letters, Mailbox, mailbox};
use crate::upstream::outgoing::{Logs, Outgoing};

/// The calls of one session that run and whose client can be asked, each with the mailbox for its questions.
#[derive(Default)]
pub(super) struct Running(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    last: u64,
    calls: Vec<Entry>,
}

struct Entry {
    number: u64,
    mailbox: Mailbox,
    token: Option<Bytes>,
    logs: Logs,
}

impl Running {
    /// The mailboxes of all of them.
    pub(super) fn all(&self) -> Vec<Mailbox> {
        self.entries()
            .calls
            .iter()
            .map(|entry| entry.mailbox.clone())
            .collect()
    }

    /// The call that a notification is about: progress bears its token, a log message can only be about one that runs alone.
    fn meant(&self, envelope: &Envelope<'_>) -> Option<Mailbox> {
        let entries = self.entries();
        let only = |entry: &Entry| entries.calls.len() == 1 && entry.logs.take(level_of(envelope));
        let meant: Vec<_> = match envelope.called() {
            Method::Progress => {
                let token = envelope.params.as_ref()?.get(Key::ProgressToken)?;
                let bears = |entry: &&Entry| entry.token.as_deref() == Some(token);
                entries.calls.iter().filter(bears).collect()
            }
            Method::LogMessage => entries.calls.iter().filter(|entry| only(entry)).collect(),
            _ => return None,
        };
        match *meant {
            [sole] => Some(sole.mailbox.clone()),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.entries().calls.is_empty()
    }

    fn enter(&self, mailbox: Mailbox, outgoing: &Outgoing<'_>) -> u64 {
        let mut entries = self.entries();
        entries.last += 1;
        let number = entries.last;
        entries.calls.push(Entry {
            number,
            mailbox,
            token: outgoing.token.clone(),
            logs: outgoing.logs,
        });
        number
    }

    fn leave(&self, number: u64) {
        self.entries().calls.retain(|entry| entry.number != number);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place among those that run, until dropped.
struct Entered {
    session: Arc<Session>,
    number: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.session.running.leave(self.number);
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + Send>>;
type Messages = Pin<Box<dyn Stream<Item = Result<Message, Fault>> + Send>>;

/// A running call: what is asked about it, and its answer.
struct Asked {
    letters: Letters,
    answer: Answer,
}

/// How far the answer has come.
enum Answer {
    /// It has not begun, or is one message.
    Awaited(Answering),
    /// It is a stream.
    Coming(Messages),
}

impl Session {
    /// Whether the client can be asked something in the middle of a request of this method: those in which a modern client
    /// can be, too (2026-07-28, Multi Round-Trip Requests).
    pub(super) fn can_be_asked(&self, method: &str) -> Option<Method> {
        if !self.asks {
            return None;
        }
        let method = Method::parse(method);
        let asks = matches!(
            method,
            Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead
        );
        asks.then_some(method)
    }

    /// Whether no call runs that may be asked about.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running.is_empty()
    }

    /// Gives the call that it is about what was told on the session's own stream, where the session has no client of its own
    /// that listens; whether there was one.
    pub(super) fn tell_call(&self, envelope: &Envelope<'_>, bytes: &Bytes) -> bool {
        if self.inbox.has_client() || is_of_task(envelope) {
            return false;
        }
        let Some(call) = self.running.meant(envelope) else {
            return false;
        };
        let message = match envelope.called() {
            Method::Progress => Message::Progress(vec![ProgressNote::read(bytes.clone())]),
            _ => Message::Notification(bytes.clone()),
        };
        if call.deliver(message) == Delivery::Overfull {
            self.ground.counters.slow_readers.add();
        }
        true
    }

    /// As [`Session::call`], with an ear for questions on the session's own stream. What is waited for owns all that it
    /// needs: the call may go on after the client has had its first message.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub(super) async fn call_asked<K: Send + 'static>(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        (method, outgoing): (Method, &Outgoing<'_>),
        kept: K,
    ) -> Result<Reply, Fault> {
        let call = Call::new(&self.home, outgoing, Some(self));
        let (sender, mut letters) = mailbox(Porter::alone(), call.questions().clone());
        let entered = Entered {
            session: Arc::clone(self),
            number: self.running.enter(sender, outgoing),
        };
        let token = outgoing.token.clone().map(|token| ActiveToken::new(self, token));
        let outgoing = Outgoing {
            method: method.as_str(),
            target: SmolStr::default(),
            params: outgoing.params.clone(),
            id: outgoing.id.clone(),
            token: outgoing.token.clone(),
            logs: outgoing.logs,
            flows: outgoing.flows,
        };
        // The place first: whoever gets the session next must be alone in it.
        let kept = (entered, token, kept);
        let answered = Arc::clone(self).answered(Arc::clone(worker), call, outgoing, kept);
        let mut answered: Answering = Box::pin(answered);
        tokio::select! {
            biased;
            letter = letters.next() => {
                let answer = Answer::Awaited(answered);
                Ok(Asked { letters, answer }.reply(Some(letter?)))
            }
            reply = &mut answered => match reply? {
                Reply::Stream(messages) => {
                    let answer = Answer::Coming(messages);
                    Ok(Asked { letters, answer }.reply(None))
                }
                other => Ok(other),
            },
        }
    }

    /// Sends a call and waits for its answer, for as long as its client takes to answer questions.
    async fn answered<K: Send + 'static>(
        self: Arc<Self>,
        worker: Arc<Worker>,
        mut call: Call,
        outgoing: Outgoing<'static>,
        kept: K,
    ) -> Result<Reply, Fault> {
        let id = call.sent_id().clone();
        call.begin();
        let pieces = body(&id, &outgoing);
        let sending = self
            .endpoint
            .send_within(&worker, &self.post, &pieces, Duration::MAX);
        let sent = call.wait(sending).await?;
        let mut answer = call.sent(sent)?;
        if let Some(body) = json_here(&mut answer, self.endpoint.message_bytes) {
            return call.whole_reply(body);
        }
        self.replied(call, answer, &outgoing, kept).await
    }
}

impl Asked {
    /// The reply of a call of which more is to come than `first`.
    fn reply(self, first: Option<Message>) -> Reply {
        let state = Some((self, first));
        Reply::Stream(Box::pin(stream::unfold(state, |state| async {
            let (mut call, first) = state?;
            let message = match first {
                Some(first) => Ok(first),
                None => call.next().await,
            };
            let more = !matches!(message, Err(_) | Ok(Message::Terminal(_)));
            Some((message, more.then_some((call, None))))
        })))
    }

    /// The next question or message about the call.
    ///
    /// # Errors
    /// The fault that ends the call.
    async fn next(&mut self) -> Result<Message, Fault> {
        let Self { letters, answer } = self;
        loop {
            let reply = match answer {
                Answer::Awaited(answered) => tokio::select! {
                    biased;
                    letter = letters.next() => return letter,
                    reply = answered => reply?,
                },
                Answer::Coming(messages) => {
                    let ended = || Fault::upstream("read the answer", "the stream ended before the answer");
                    return tokio::select! {
                        biased;
                        letter = letters.next() => letter,
                        message = messages.next() => message.ok_or_else(ended)?,
                    };
                }
            };
            *answer = match reply {
                Reply::Whole(bytes) => return Ok(Message::Terminal(bytes)),
                // Something has been said before it: it is one event of several.
                Reply::Long(long) => {
                    Answer::Awaited(Box::pin(async { long.whole().await.map(Reply::Whole) }))
                }
                Reply::Stream(messages) => Answer::Coming(messages),
            };
        }
    }
}
