//! `tasks/get`, `tasks/update` and `tasks/cancel` of modern clients.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::audit::Outcome;
use sallyport_mcp::answer::{self, InputRequired};
use sallyport_mcp::error::{self, INVALID_PARAMS, MISSING_CAPABILITY};
use sallyport_mcp::json::{self, Object};
use sallyport_mcp::jsonrpc::{Key, Params};
use sallyport_mcp::method::Method;
use sallyport_mcp::render::empty_result;
use sallyport_mcp::revision::Era;
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::{self, REQUIRED_CAPABILITY, Task};

use super::{Subject, bridge, unknown};
use crate::caller::{Caller, Client};
use crate::refusal::Refusal;
use crate::route::TaskOp;
use crate::translate;
use crate::upstream::reply::terminal;

/// The error for a client that did not declare the extension on this very request (P-115).
pub(crate) fn undeclared() -> Refusal {
    Refusal::new(
        400,
        MISSING_CAPABILITY,
        "The client has not declared the tasks extension",
    )
    .with(REQUIRED_CAPABILITY.to_owned())
}

/// Looks whether the token allows the operation, before anything is said: only then can its challenge be told.
///
/// # Errors
/// The scopes that it takes. What else may be wrong is found out when it is carried out.
pub(crate) fn allow(
    caller: &Arc<Caller>,
    client: &Client,
    method: Method,
    params: &[u8],
) -> Result<(), Refusal> {
    match subject(caller, client, method, params) {
        Ok((subject, op)) => subject.allow(op),
        Err(_) => Ok(()),
    }
}

fn subject(
    caller: &Arc<Caller>,
    client: &Client,
    method: Method,
    params: &[u8],
) -> Result<(Subject, TaskOp), Refusal> {
    let named = json::find(params, Key::TaskId.as_str()).and_then(json::decode);
    let named = named.ok_or_else(|| Refusal::params("taskId must be a string"))?;
    let op = match method {
        Method::TasksGet => TaskOp::Get,
        Method::TasksUpdate => TaskOp::Update,
        _ => TaskOp::Cancel,
    };
    Ok((Subject::find(caller, client, &named)?, op))
}

/// Carries out one operation. What comes back is the status and the message.
///
/// # Errors
/// The task is unknown, its server does not answer, or the operation cannot be recorded.
pub(crate) async fn modern(
    caller: Arc<Caller>,
    client: Client,
    method: Method,
    params: Bytes,
    id: Bytes,
) -> Result<(u16, Bytes), Refusal> {
    let (subject, op) = subject(&caller, &client, method, &params)?;
    let mut record = subject.record(op)?;
    let done = match subject.era() {
        Era::Modern => relayed(&subject, op, &params, &id).await,
        Era::Legacy => bridge::carry_out(&subject, op, &params)
            .await
            .map(|result| (200, error::result(&id, &result))),
    };
    let ok = done
        .as_ref()
        .is_ok_and(|(_, message)| json::find(message, "result").is_some());
    record.close(if ok { Outcome::Ok } else { Outcome::Failed }, None);
    done
}

/// An operation at a modern server: with its own id in the place of ours, and back.
async fn relayed(subject: &Subject, op: TaskOp, params: &[u8], id: &Bytes) -> Result<(u16, Bytes), Refusal> {
    let mut edit = ObjectEdit::new(params).map_err(|_| unknown())?;
    edit.set("taskId", json::quote(subject.remote()));
    let asked = subject.send(op, edit.finish().into(), id.clone()).await;
    let message = match asked {
        Ok(reply) => terminal(reply).await,
        Err(fault) => Err(fault),
    };
    let message = message.map_err(|fault| subject.failed(&fault))?;
    let Some(result) = json::find(&message, "result") else {
        return refused(subject, &message, op);
    };
    let result = match op {
        TaskOp::Get => detailed(subject, result)?,
        _ => empty_result(Era::Modern).to_vec(),
    };
    Ok((200, error::result(id, &result)))
}

/// A server's error. That it does not know the task is said in our words: its own would name its own id.
fn refused(subject: &Subject, message: &Bytes, op: TaskOp) -> Result<(u16, Bytes), Refusal> {
    let code = translate::error_of(message).unwrap_or_default();
    if op != TaskOp::Update && code == INVALID_PARAMS.to_string().as_bytes() {
        return Err(unknown());
    }
    let status = translate::status_of(code);
    let info = subject.caller.endpoint.server_info();
    let message = match answer::to_modern(message, Method::TasksGet, Era::Modern, info) {
        Cow::Borrowed(_) => message.clone(),
        Cow::Owned(changed) => changed.into(),
    };
    Ok((status, message))
}

/// The state that a modern server told, as its client is to see it. Some servers say that it is a `task` rather than
/// `complete`, as early examples of the extension had it.
fn detailed(subject: &Subject, result: &[u8]) -> Result<Vec<u8>, Refusal> {
    let task = Task::read(result, Era::Modern).ok_or_else(|| {
        let text = "The server told no state of the task";
        Refusal::new(200, error::INTERNAL_ERROR, text)
    })?;
    let shown = shown(subject, result);
    let Ok(mut edit) = ObjectEdit::new(&shown) else {
        return Err(unknown());
    };
    edit.set("resultType", *b"\"complete\"");
    let shown = edit.finish();
    subject.saw(task.status, &shown);
    Ok(shown)
}

/// A raw state, result or notification's parameters, of a modern server under our id: links in its result lead back
/// here, and its questions bear the server's name where several could ask.
pub(super) fn shown(subject: &Subject, state: &[u8]) -> Vec<u8> {
    let renamed = tasks::renamed(state, Era::Modern, &subject.id, subject.bounds());
    let Ok(object) = Object::read(&renamed) else {
        return renamed;
    };
    let result = object.get("result").and_then(|raw| linked(subject, raw));
    let inputs = object.get("inputRequests").and_then(|raw| labelled(subject, raw));
    if result.is_none() && inputs.is_none() {
        return renamed;
    }
    let mut edit = ObjectEdit::of(object);
    if let Some(result) = result {
        edit.set("result", result);
    }
    if let Some(inputs) = inputs {
        edit.set("inputRequests", inputs);
    }
    edit.finish()
}

/// The result of a call with the URIs of the server's own resources as clients know them; `None` if nothing changes.
pub(super) fn linked(subject: &Subject, result: &[u8]) -> Option<Vec<u8>> {
    let endpoint = &subject.caller.endpoint;
    if endpoint.is_of_one() {
        return None;
    }
    answer::rewrite_uris(result, Method::ToolsCall, |uri| {
        match endpoint.merged.visible_uri(&subject.task.server, uri) {
            Cow::Owned(visible) => Some(visible),
            Cow::Borrowed(_) => None,
        }
    })
}

fn labelled(subject: &Subject, requests: &[u8]) -> Option<Vec<u8>> {
    if subject.caller.endpoint.is_of_one() {
        return None;
    }
    let mut whole = br#"{"inputRequests":"#.to_vec();
    whole.extend_from_slice(requests);
    whole.push(b'}');
    let asks = InputRequired::parse(&whole).ok()?;
    let labelled: Vec<_> = asks
        .requests
        .iter()
        .map(|ask| {
            let server = &subject.task.server;
            (
                &*ask.key,
                ask.method,
                translate::named(server, ask.method, ask.params),
            )
        })
        .collect();
    Some(input_requests(labelled.iter().map(|(key, method, params)| {
        (*key, method.as_str(), params.as_deref())
    })))
}

/// The raw `inputRequests` of these questions.
pub(super) fn input_requests<'q>(
    questions: impl Iterator<Item = (&'q str, &'q str, Option<&'q [u8]>)>,
) -> Vec<u8> {
    let questions: Vec<_> = questions.collect();
    let whole = answer::input_required_result(&questions, None);
    json::find(&whole, "inputRequests").unwrap_or(b"{}").to_vec()
}

/// A request's raw parameters as bytes of their own.
pub(crate) fn own_params(params: Option<&Params<'_>>) -> Bytes {
    params.map_or_else(Bytes::new, |params| Bytes::copy_from_slice(params.raw()))
}
