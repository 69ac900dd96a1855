//! `tasks/get`, `tasks/cancel` and `tasks/result` of legacy clients (2025-11-25, Tasks).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use sallyport_core::audit::Outcome;
use sallyport_mcp::error::{self, INVALID_PARAMS};
use sallyport_mcp::json;
use sallyport_mcp::jsonrpc::{Key, Params};
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::tasks::{self, Task, related_task, with_related_task};
use tokio::sync::oneshot;

use super::waiting::Waiting;
use super::{Subject, unknown};
use crate::caller::{Caller, Client};
use crate::exchange::{Answered, Message, Question};
use crate::notice::with_member;
use crate::refusal::Refusal;
use crate::relay::Messages;
use crate::route::TaskOp;
use crate::session::Session;
use crate::translate;
use crate::upstream::reply::terminal;

/// The task that a request names.
fn subject(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    params: Option<&Params<'_>>,
) -> Result<Subject, Refusal> {
    let id = params.and_then(|params| params.text(Key::TaskId));
    let id = id.ok_or_else(|| Refusal::params("taskId must be a string"))?;
    let subject = Subject::find(caller, &Client::Legacy(Arc::clone(session)), &id.value)?;
    // Tasks of modern servers are none that a legacy client was told of.
    if subject.era() == Era::Legacy {
        Ok(subject)
    } else {
        Err(unknown())
    }
}

/// `tasks/get` and `tasks/cancel`: the response.
///
/// # Errors
/// The task is unknown, its server does not answer, or the operation cannot be recorded.
pub(crate) async fn legacy(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    method: Method,
    params: Option<&Params<'_>>,
    id: &Bytes,
) -> Result<Bytes, Refusal> {
    let subject = subject(caller, session, params)?;
    let op = if method == Method::TasksCancel {
        TaskOp::Cancel
    } else {
        TaskOp::Get
    };
    subject.allow(op)?;
    let mut record = subject.record(op)?;
    let reply = match subject.send(op, subject.params(&[]), id.clone()).await {
        Ok(reply) => terminal(reply).await,
        Err(fault) => Err(fault),
    };
    let message = match reply {
        Ok(message) => message,
        Err(fault) => {
            record.close(Outcome::Failed, None);
            return Err(subject.failed(&fault));
        }
    };
    let Some(result) = json::find(&message, "result") else {
        record.close(Outcome::Failed, None);
        // That it does not know the task is said in our words: its own would name its own id.
        let code = translate::error_of(&message).unwrap_or_default();
        if op == TaskOp::Get && code == INVALID_PARAMS.to_string().as_bytes() {
            return Err(unknown());
        }
        return Ok(message);
    };
    record.close(Outcome::Ok, None);
    Ok(error::result(id, &shown(&subject, result)))
}

/// A legacy server's state under our id.
pub(super) fn shown(subject: &Subject, state: &[u8]) -> Vec<u8> {
    let shown = tasks::renamed(state, Era::Legacy, &subject.id, subject.bounds());
    if let Some(task) = Task::read(state, Era::Legacy) {
        subject.saw(task.status, &shown);
    }
    shown
}

/// `tasks/result`: the tool that the task carries out, and what its server says until the result, which it asks for under
/// the raw id `id`. What the server asks meanwhile comes the same way, wherever the server said it.
///
/// # Errors
/// The task is unknown.
pub(crate) fn result(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    params: Option<&Params<'_>>,
    id: &Bytes,
) -> Result<(Subject, Messages), Refusal> {
    let subject = subject(caller, session, params)?;
    let answer = Waiting::start(subject.clone(), id.clone());
    // A second reader would take the questions from the first, who waits for the same result.
    let kept = subject.known().filter(|kept| !kept.questions.is_read());
    let elsewhere = match kept {
        Some(kept) => stream::unfold(kept.questions.read(), |mut questions| async {
            Some((Ok(Message::Question(questions.recv().await?)), questions))
        })
        .boxed(),
        None => stream::empty().boxed(),
    };
    let ending = subject.clone();
    let messages = stream::select(answer.map(Some).chain(stream::iter([None])), elsewhere.map(Some))
        .take_while(|message| std::future::ready(message.is_some()))
        .filter_map(std::future::ready)
        .map(move |message| message.map(|message| heard(&ending, message)));
    Ok((subject, Box::pin(messages)))
}

/// A server's message about a task, with our id in the place of its own.
fn heard(subject: &Subject, message: Message) -> Message {
    match message {
        message @ (Message::Notification(_) | Message::Progress(_)) => message,
        Message::Question(question) => Message::Question(asked(question, &subject.id, subject.remote())),
        Message::Terminal(message) => {
            let result = json::find(&message, "result");
            let renamed = result.map(|raw| with_related_task(raw, Some(&subject.id)));
            match renamed {
                Some(renamed) => Message::Terminal(with_member(&message, "result", &renamed)),
                None => Message::Terminal(message),
            }
        }
    }
}

/// A question about a task as its legacy client is to see it; the answer names the server's own id again.
pub(super) fn asked(mut question: Question, id: &str, remote: &str) -> Question {
    if let Some(params) = question.params.take() {
        question.params = Some(match related_task(&params) {
            Some(_) => with_related_task(&params, Some(id)).into(),
            None => params,
        });
    }
    let (answer, mut answered) = oneshot::channel();
    let mut server = std::mem::replace(&mut question.answer, answer);
    let remote: Box<str> = remote.into();
    tokio::spawn(async move {
        let said = tokio::select! {
            said = &mut answered => said,
            // The server has taken it back: so does the one who asks.
            () = server.closed() => return,
        };
        let renamed = match said {
            Ok(Answered::Result(raw)) if related_task(&raw).is_some() => {
                Answered::Result(with_related_task(&raw, Some(&remote)).into())
            }
            Ok(other) => other,
            // Dropped without an answer, and so is the server's.
            Err(_) => return,
        };
        // A server that has gone needs no answer.
        let _ = server.send(renamed);
    });
    question
}
