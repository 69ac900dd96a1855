//! The answer to a call that has become a task.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::audit::Outcome;
use sallyport_mcp::json;
use sallyport_mcp::revision::Era;
use sallyport_mcp::session::TaskSeal;
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::{self, Detail, Task};
use std::time::Duration;

use super::drive::{self, Plan};
use super::subject::Subject;
use super::table::New;
use super::{Wish, bounds, seal};
use crate::call::Call;
use crate::caller::Client;
use crate::notice::with_member;
use crate::refusal::Refusal;
use crate::relay::{Relay, Stage};
use crate::route::TaskOp;

/// What became of an answer.
pub(crate) enum Created {
    /// It is no task: the message as it came.
    No(Bytes),
    /// The client is told of the task: its response.
    Told(Bytes),
    /// The call goes on until the task has ended.
    Driven,
    /// There is no room for it.
    Refused(Refusal),
}

/// Looks whether the answer to a call is a task, and sees to it.
pub(crate) fn created(relay: &mut Relay, message: Bytes) -> Created {
    let era = relay.era;
    // Only a call of a tool at a server that takes tasks has kept its link.
    let Some(link) = relay.call.link.take() else {
        return Created::No(message);
    };
    if era == Era::Legacy && relay.call.wish == Wish::Nobody {
        return Created::No(message);
    }
    let result = json::find(&message, "result").unwrap_or_default();
    let Some(task) = tasks::created(result, era).and_then(|raw| Task::read(raw, era)) else {
        return Created::No(message);
    };
    let subject = subject(&relay.call, &task, era);
    let told = match &relay.call.client {
        Client::Modern(modern) => modern.can.tasks(),
        Client::Legacy(_) => relay.call.wish == Wish::Client,
    };
    let shown = shown(&relay.call.client, &subject, result, &task);
    let state = tasks::created(&shown, relay.call.client.era()).unwrap_or_default();
    let mut new = subject.new_kept(&link, Bytes::copy_from_slice(state), told);
    new.progress_token = relay.call.progress_token.clone();
    if let Err(refusal) = keep(&subject, new) {
        cancel(subject);
        return Created::Refused(refusal);
    }
    if !told {
        let plan = Plan {
            id: relay.call.id.clone(),
            progress_token: relay.call.progress_token.clone(),
            poll: task.poll.map(Duration::from_millis),
            longest: link.limits().call,
        };
        relay.stage = Stage::Answering(drive::drive(subject, plan));
        return Created::Driven;
    }
    subject.saw(task.status, state);
    relay.call.record.close(Outcome::Ok, Some("goes on as a task"));
    Created::Told(with_member(&message, "result", &shown))
}

/// The task by the id that its client will know it by.
fn subject(call: &Call, task: &Task<'_>, era: Era) -> Subject {
    let caller = &call.caller;
    let bounds = bounds(&caller.limits.tasks);
    let life = Duration::from_millis(task.ttl_within(bounds));
    let sealed = TaskSeal {
        server: call.route.server.clone(),
        task: task.id.clone().into_owned(),
        tool: call.route.remote.to_string(),
        era,
        expires: caller.proxy.books.clock.now().plus(life),
    };
    Subject {
        caller: Arc::clone(caller),
        client: call.client.clone(),
        route: call.route.clone(),
        id: seal::seal(caller, &sealed).into(),
        task: sealed,
    }
}

/// The result as the client is to see it.
fn shown(client: &Client, subject: &Subject, result: &[u8], task: &Task<'_>) -> Vec<u8> {
    let bounds = subject.bounds();
    match (client.era(), subject.era()) {
        (Era::Modern, Era::Modern) => tasks::renamed(result, Era::Modern, &subject.id, bounds),
        (Era::Modern, Era::Legacy) => {
            let flat = task.modern(&subject.id, bounds, Some("task"), Detail::None);
            let meta = tasks::with_related_task(result, None);
            match (json::find(&meta, "_meta"), ObjectEdit::new(&flat)) {
                (Some(meta), Ok(mut edit)) => {
                    edit.set("_meta", meta);
                    edit.finish()
                }
                _ => flat,
            }
        }
        (Era::Legacy, era) => {
            let raw = tasks::created(result, era).unwrap_or_default();
            let inner = tasks::renamed(raw, era, &subject.id, bounds);
            match ObjectEdit::new(result) {
                Ok(mut edit) => {
                    edit.set("task", inner);
                    let outer = edit.finish();
                    match tasks::related_task(&outer) {
                        Some(_) => tasks::with_related_task(&outer, Some(&subject.id)),
                        None => outer,
                    }
                }
                Err(_) => result.to_vec(),
            }
        }
    }
}

fn keep(subject: &Subject, new: New) -> Result<(), Refusal> {
    let caller = &subject.caller;
    let entered = caller.proxy.tasks.enter(new, caller.limits.tasks.per_principal);
    entered.map(drop).map_err(|_| Refusal::too_many("tasks"))
}

/// Ends a task that nobody will look at, without waiting.
pub(super) fn cancel(subject: Subject) {
    // Outside of a runtime (at the end of the process) its server keeps it until its time is over.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let params = subject.params(&[]);
            if let Err(fault) = subject.ask(TaskOp::Cancel, params).await {
                tracing::debug!(server = %subject.task.server, "a task was not cancelled: {fault}");
            }
        });
    }
}
