//! What servers say of tasks of their own accord: `notifications/tasks/status` (2025-11-25), `notifications/tasks` (the
//! modern extension), and questions of legacy servers about a task.

use std::sync::Arc;

use bytes::Bytes;
use sallyport_core::ServerName;
use sallyport_mcp::error;
use sallyport_mcp::json;
use sallyport_mcp::method::Method;
use sallyport_mcp::revision::Era;
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::{self, Task, related_task};

use super::table::{Kept, Tasks};
use super::{bridge, legacy, modern};
use crate::exchange::Question;
use crate::hub::Hub;
use crate::route::TaskOp;

/// Who may hear of a task.
#[derive(Clone)]
pub(crate) struct Hears {
    /// All tasks.
    pub(crate) tasks: Arc<Tasks>,
    /// All listen streams.
    pub(crate) hub: Arc<Hub>,
}

/// Passes on what a server says of a task, to the one whose task it is: whoever's request brought the server to say it.
pub(crate) fn tell(hears: &Hears, server: &ServerName, message: &Bytes) {
    let params = json::find(message, "params").unwrap_or_default();
    let named = tasks::task_id(params).or_else(|| related_task(params));
    let Some(kept) = named.and_then(|id| hears.tasks.get(server, &id)) else {
        return;
    };
    if !kept.told {
        return;
    }
    let task = Task::read(params, Era::Legacy);
    match kept.session.as_ref().map(std::sync::Weak::upgrade) {
        Some(Some(ears)) => {
            let Some(task) = task else {
                if let Some(message) = progress(&kept, params) {
                    ears.outbox.send(message);
                }
                return;
            };
            let shown = tasks::renamed(params, Era::Legacy, &kept.id, kept.bounds);
            hears
                .tasks
                .saw(&kept, Bytes::copy_from_slice(&shown), task.status);
            ears.outbox
                .send(error::notification(Method::TaskStatus.as_str(), Some(&shown)));
        }
        // The session has ended; its client asks for the state when it wants to know.
        Some(None) => {}
        // A state of either form; there is no progress of modern tasks.
        None if tasks::task_id(params).is_some() => listeners(hears, &kept, params),
        None => {}
    }
}

/// A legacy task's progress under the client's own token, which is good for the task's whole life (2025-11-25, Tasks).
fn progress(kept: &Kept, params: &[u8]) -> Option<Bytes> {
    let token = kept.progress_token.as_ref()?;
    let renamed = tasks::with_related_task(params, Some(&kept.id));
    let mut edit = ObjectEdit::new(&renamed).ok()?;
    edit.object().get("progress")?;
    edit.set("progressToken", &**token);
    Some(error::notification(
        Method::Progress.as_str(),
        Some(&edit.finish()),
    ))
}

fn listeners(hears: &Hears, kept: &Arc<Kept>, params: &[u8]) {
    for (listen, subject) in hears.hub.of_task(&kept.owner, &kept.id) {
        match subject.era() {
            Era::Modern => {
                let Some(task) = Task::read(params, Era::Modern) else {
                    return;
                };
                let shown = modern::shown(&subject, params);
                subject.saw(task.status, &shown);
                listen.tell(&error::notification(Method::Tasks.as_str(), Some(&shown)));
            }
            // Its state is more than the notification says: it is looked at.
            Era::Legacy => {
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move {
                        if let Ok(state) = bridge::carry_out(&subject, TaskOp::Get, b"{}").await {
                            let params = without_result_type(&state);
                            listen.tell(&error::notification(Method::Tasks.as_str(), Some(&params)));
                        }
                    });
                }
            }
        }
    }
}

fn without_result_type(state: &[u8]) -> Vec<u8> {
    match ObjectEdit::new(state) {
        Ok(mut edit) => {
            edit.remove("resultType");
            edit.finish()
        }
        Err(_) => state.to_vec(),
    }
}

/// Takes a legacy server's question about a task; gives it back if it is about none that is known here.
pub(crate) fn ask(tasks: &Tasks, server: &ServerName, question: Question) -> Option<Question> {
    let related = question.params.as_deref().and_then(related_task);
    let Some(kept) = related.and_then(|id| tasks.get(server, &id)) else {
        return Some(question);
    };
    if kept.session.is_none() || kept.questions.is_read() {
        kept.questions.ask(question);
        return None;
    }
    // Nobody waits for the result: it is put on a stream of the session, if there is one.
    let ears = kept.session.as_ref().and_then(std::sync::Weak::upgrade)?;
    ears.put(legacy::asked(question, &kept.id, &kept.task.task));
    None
}
