//! A modern client and a task of a legacy server (2025-11-25): `tasks/get` and `tasks/result` there are one state here,
//! and what the server asks waits under keys of ours.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_core::fault::Fault;
use sallyport_mcp::answer;
use sallyport_mcp::error::{INTERNAL_ERROR, INVALID_PARAMS};
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::render::empty_result;
use sallyport_mcp::revision::Era;
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::{Detail, Status, Task, with_related_task};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::modern::{input_requests, linked};
use super::table::Kept;
use super::{Subject, unknown};
use crate::exchange::{Message, Question, Reply};
use crate::refusal::Refusal;
use crate::route::TaskOp;
use crate::sync::lock;
use crate::translate;

/// How long a state that says that input is required waits for the questions, which come another way.
const QUESTIONS: Duration = Duration::from_millis(250);

/// Carries out an operation at a legacy server. What comes back is the raw modern result.
///
/// # Errors
/// The task is unknown there, or the server does not answer.
pub(super) async fn carry_out(subject: &Subject, op: TaskOp, params: &[u8]) -> Result<Vec<u8>, Refusal> {
    match op {
        TaskOp::Get | TaskOp::Result => get(subject).await,
        TaskOp::Update => update(subject, params).await,
        TaskOp::Cancel => cancel(subject).await,
    }
}

async fn update(subject: &Subject, params: &[u8]) -> Result<Vec<u8>, Refusal> {
    let malformed = || Refusal::params("inputResponses must be an object with one answer each");
    let responses = json::find(params, "inputResponses").ok_or_else(malformed)?;
    let answers = answer::input_responses(responses).map_err(|_| malformed())?;
    if let Some(kept) = subject.known() {
        kept.questions.answer(&answers, subject.remote());
    }
    Ok(empty_result(Era::Modern).to_vec())
}

/// A task that has ended cannot be cancelled there; here that is no error.
async fn cancel(subject: &Subject) -> Result<Vec<u8>, Refusal> {
    let message = subject.ask(TaskOp::Cancel, subject.params(&[])).await;
    let message = message.map_err(|fault| subject.failed(&fault))?;
    match code_of(&message) {
        None | Some(INVALID_PARAMS) => Ok(empty_result(Era::Modern).to_vec()),
        Some(_) => Err(failed("The server does not cancel the task")),
    }
}

async fn get(subject: &Subject) -> Result<Vec<u8>, Refusal> {
    let now = look(subject).await?;
    let task =
        Task::read(&now.raw, Era::Legacy).ok_or_else(|| failed("The server told no state of the task"))?;
    let task = Task {
        status: now.status,
        ..task
    };
    let requests;
    let detail = match &now.end {
        Some(End::Result(raw)) => Detail::Result(raw),
        Some(End::Error(raw)) => Detail::Error(raw),
        None if now.status == Status::InputRequired => {
            requests = open_questions(subject).await?;
            requests.as_deref().map_or(Detail::None, Detail::Inputs)
        }
        None => Detail::None,
    };
    let status = match (now.status, detail) {
        // The question has not come yet; without it the state would be none that the client can do anything about.
        (Status::InputRequired, Detail::None) => Status::Working,
        (status, _) => status,
    };
    let task = Task { status, ..task };
    let shown = task.modern(&subject.id, subject.bounds(), Some("complete"), detail);
    subject.saw(status, &shown);
    Ok(shown)
}

/// What a legacy server's task has come to.
pub(super) struct Look {
    /// The raw object with its members, in the server's form.
    raw: Bytes,
    pub(super) status: Status,
    /// How it ended, if it has.
    pub(super) end: Option<End>,
}

/// How a task has ended.
pub(super) enum End {
    /// With this raw result, in the modern form.
    Result(Bytes),
    /// With this raw error, in the modern form.
    Error(Bytes),
}

impl Look {
    /// How long the server wants to be left alone, in milliseconds.
    pub(super) fn poll(&self) -> Option<u64> {
        Task::read(&self.raw, Era::Legacy).and_then(|task| task.poll)
    }
}

/// Looks at a task. Where it has ended its result is fetched: `failed` there may be a tool that said so, which is
/// `completed` here.
///
/// # Errors
/// The task is unknown there, or the server does not answer.
pub(super) async fn look(subject: &Subject) -> Result<Look, Refusal> {
    let failing = |fault: Fault| subject.failed(&fault);
    let message = subject
        .ask(TaskOp::Get, subject.params(&[]))
        .await
        .map_err(failing)?;
    let raw = match json::find(&message, "result") {
        Some(raw) => message.slice_ref(raw),
        None if code_of(&message) == Some(INVALID_PARAMS) => return Err(unknown()),
        None => return Err(failed("The server does not tell the state of the task")),
    };
    let status = Task::read(&raw, Era::Legacy).map(|task| task.status);
    let status = status.ok_or_else(|| failed("The server told no state of the task"))?;
    if !matches!(status, Status::Completed | Status::Failed) {
        return Ok(Look {
            raw,
            status,
            end: None,
        });
    }
    let message = subject
        .ask(TaskOp::Result, subject.params(&[]))
        .await
        .map_err(failing)?;
    let (status, end) = ended(subject, &message)?;
    Ok(Look {
        raw,
        status,
        end: Some(end),
    })
}

fn ended(subject: &Subject, message: &Bytes) -> Result<(Status, End), Refusal> {
    let info = subject.caller.endpoint.server_info();
    let modern = answer::to_modern(message, Method::ToolsCall, Era::Legacy, info);
    if let Some(raw) = json::find(&modern, "error") {
        return Ok((Status::Failed, End::Error(Bytes::copy_from_slice(raw))));
    }
    let raw = json::find(&modern, "result").ok_or_else(|| failed("The server gave no result of the task"))?;
    let result = with_related_task(raw, None);
    let result = linked(subject, &result).unwrap_or(result);
    Ok((Status::Completed, End::Result(result.into())))
}

/// The raw `inputRequests` of a task whose server waits for the client; `None` while no question has come.
///
/// # Errors
/// The server cannot be reached.
async fn open_questions(subject: &Subject) -> Result<Option<Vec<u8>>, Refusal> {
    let kept = subject.kept().await?;
    let came = kept.questions.came.notified();
    if shown(subject, &kept).is_none() {
        wait(subject, &kept);
        // Others follow the first one at once, if there are any.
        if timeout(QUESTIONS, came).await.is_ok() {
            tokio::time::sleep(QUESTIONS / 5).await;
        }
    }
    Ok(shown(subject, &kept))
}

fn shown(subject: &Subject, kept: &Kept) -> Option<Vec<u8>> {
    // What this very request does not say that the client can answer is not shown to it (P-49).
    let can = subject.client.can();
    let allowed =
        |question: &Question| can.allow(Method::parse(&question.method), question.params.as_deref());
    kept.questions.show(|open| {
        let fit: Vec<_> = open
            .iter()
            .filter(|(_, question)| allowed(question))
            .map(|(key, question)| (key, &*question.method, fit(subject, question)))
            .collect();
        if fit.is_empty() {
            return None;
        }
        let requests = fit
            .iter()
            .map(|(key, method, params)| (key.as_str(), *method, Some(&**params)));
        Some(input_requests(requests))
    })
}

/// A legacy question's parameters, fit for a modern client.
fn fit(subject: &Subject, question: &Question) -> Vec<u8> {
    let raw = question.params.as_deref().unwrap_or(b"{}");
    let plain = with_related_task(raw, None);
    let Ok(mut edit) = ObjectEdit::new(&plain) else {
        return plain;
    };
    edit.remove("elicitationId");
    let plain = edit.finish();
    if subject.caller.endpoint.is_of_one() {
        return plain;
    }
    let named = translate::named(
        &subject.task.server,
        Method::parse(&question.method),
        Some(&plain),
    );
    named.map_or_else(|| plain.clone(), std::borrow::Cow::into_owned)
}

/// Keeps one `tasks/result` open at the server, so that its questions have a way to come (2025-11-25, Input Required
/// Status). What comes back at its end is fetched again when the client looks.
pub(super) fn wait(subject: &Subject, kept: &Arc<Kept>) {
    let mut waiting = lock(&kept.waiting);
    if waiting.as_ref().is_some_and(|open| !open.is_finished()) {
        return;
    }
    let subject = subject.clone();
    let weak = Arc::downgrade(kept);
    let task = tokio::spawn(async move {
        let params = subject.params(&[]);
        let id = Bytes::from(json::quote(&subject.id));
        let mut messages = match subject.send(TaskOp::Result, params, id).await {
            Ok(Reply::Stream(messages)) => messages,
            _ => return,
        };
        while let Some(Ok(message)) = messages.next().await {
            match (message, weak.upgrade()) {
                (Message::Question(question), Some(kept)) => kept.questions.ask(question),
                (Message::Notification(_) | Message::Progress(_), Some(_)) => {}
                _ => return,
            }
        }
    });
    *waiting = Some(AbortOnDropHandle::new(task));
}

/// The code of a response, if it is an error.
fn code_of(message: &[u8]) -> Option<i32> {
    let code = translate::error_of(message)?;
    Some(
        std::str::from_utf8(code)
            .ok()
            .and_then(|code| code.parse().ok())
            .unwrap_or(0),
    )
}

fn failed(text: &'static str) -> Refusal {
    Refusal::new(200, INTERNAL_ERROR, text)
}
