//! Waiting for a task's result at a legacy server (`tasks/result`). A task may take much longer than a server may be silent
//! on a call: then the task is looked at, and as long as it is there its result is waited for again. Nothing is carried out
//! twice by that.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use sallyport_core::fault::Fault;
use sallyport_mcp::json;
use tokio::time::{Instant, sleep};

use super::Subject;
use crate::exchange::{Message, Reply};
use crate::relay::Messages;
use crate::route::TaskOp;

/// A wait that lasted so long did not fail.
const LIVED: Duration = Duration::from_secs(10);

/// How many waits in a row may fail.
const MAX_FAILURES: u32 = 5;

/// A result that is waited for.
pub(super) struct Waiting {
    subject: Subject,
    /// The raw id that the response is to bear.
    id: Bytes,
    messages: Option<Messages>,
    since: Instant,
    failures: u32,
}

impl Waiting {
    /// What the server says until the response, which is the last message.
    pub(super) fn start(subject: Subject, id: Bytes) -> impl Stream<Item = Result<Message, Fault>> + Send {
        let waiting = Self {
            subject,
            id,
            messages: None,
            since: Instant::now(),
            failures: 0,
        };
        stream::unfold(Some(waiting), |waiting| async {
            let mut waiting = waiting?;
            let message = waiting.next().await;
            let more = !matches!(message, Err(_) | Ok(Message::Terminal(_)));
            Some((message, more.then_some(waiting)))
        })
    }

    async fn next(&mut self) -> Result<Message, Fault> {
        loop {
            let fault = match self.advance().await {
                Ok(message) => return Ok(message),
                Err(fault) => fault,
            };
            self.messages = None;
            self.failures = if self.since.elapsed() >= LIVED {
                0
            } else {
                self.failures + 1
            };
            if self.failures >= MAX_FAILURES {
                return Err(fault);
            }
            sleep(self.subject.caller.limits.tasks.poll).await;
            if !is_there(&self.subject).await {
                return Err(fault);
            }
        }
    }

    async fn advance(&mut self) -> Result<Message, Fault> {
        let messages = match &mut self.messages {
            Some(messages) => messages,
            none => {
                self.since = Instant::now();
                let params = self.subject.params(&[]);
                match self.subject.send(TaskOp::Result, params, self.id.clone()).await? {
                    Reply::Whole(message) => return Ok(Message::Terminal(message)),
                    Reply::Long(long) => return long.whole().await.map(Message::Terminal),
                    Reply::Stream(messages) => none.insert(messages),
                }
            }
        };
        let ended = || Fault::upstream("read the answer", "it ended too early");
        messages.next().await.unwrap_or_else(|| Err(ended()))
    }
}

async fn is_there(subject: &Subject) -> bool {
    let looked = subject.ask(TaskOp::Get, subject.params(&[])).await;
    looked.is_ok_and(|message| json::find(&message, "result").is_some())
}
