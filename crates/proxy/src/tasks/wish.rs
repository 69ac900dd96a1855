//! Whether a call is to become a task.

use bytes::Bytes;
use sallyport_mcp::catalogue::ListKind;
use sallyport_mcp::error::METHOD_NOT_FOUND;
use sallyport_mcp::json::Object;
use sallyport_mcp::revision::{Era, Revision};
use sallyport_mcp::splice::ObjectEdit;
use sallyport_mcp::tasks::TaskSupport;

use super::bounds;
use crate::caller::{Caller, Client};
use crate::refusal::Refusal;
use crate::route::{Route, What};

/// Who wishes that a call becomes a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Wish {
    /// Nobody; a modern server decides by itself.
    #[default]
    Nobody,
    /// A legacy client, of a legacy server.
    Client,
    /// The gateway, of a legacy server, for a client that cannot say so.
    Gateway,
}

/// What becomes of a call: who wishes that it becomes a task, and the parameters that say so. `task` is the raw parameter
/// of this name that a legacy client sent; where the server takes no tasks it means nothing (2025-11-25, Tasks).
///
/// # Errors
/// Wrong use of `execution.taskSupport`, and a task more than the principal may have.
pub(crate) fn wish(
    caller: &Caller,
    client: &Client,
    route: &Route,
    params: Bytes,
    task: Option<&[u8]>,
) -> Result<(Wish, Bytes), Refusal> {
    let form = caller.endpoint.task_form(&route.server, client.era());
    if route.what != What::Tool || form != Some(Era::Legacy) {
        return Ok((Wish::Nobody, params));
    }
    let entry = caller.endpoint.merged.owner(ListKind::Tools, &route.visible);
    let support = entry.map_or(TaskSupport::Forbidden, |entry| TaskSupport::of(&entry.raw));
    match client {
        Client::Legacy(session) if session.view.revision >= Revision::V2025_11_25 => match (task, support) {
            (Some(_), TaskSupport::Forbidden) => Err(misused("The tool cannot be called as a task")),
            (None, TaskSupport::Required) => Err(misused("The tool can only be called as a task")),
            (None, _) => Ok((Wish::Nobody, params)),
            (Some(_), _) if is_full(caller) => Err(Refusal::too_many("tasks")),
            (Some(task), _) => Ok((Wish::Client, with_task(&params, &bounded(caller, task)))),
        },
        // It knows nothing of tasks, and neither does the session behind it.
        Client::Legacy(_) => Ok((Wish::Nobody, params)),
        Client::Modern(modern) => match support {
            TaskSupport::Required => Ok((Wish::Gateway, with_task(&params, b"{}"))),
            TaskSupport::Optional if modern.can.tasks() => Ok((Wish::Gateway, with_task(&params, b"{}"))),
            _ => Ok((Wish::Nobody, params)),
        },
    }
}

/// Whether a client that has declared the extension may be told of one more task.
pub(crate) fn has_room(caller: &Caller) -> bool {
    !is_full(caller)
}

fn is_full(caller: &Caller) -> bool {
    caller
        .proxy
        .tasks
        .is_full(&caller.key, caller.limits.tasks.per_principal)
}

fn misused(text: &'static str) -> Refusal {
    Refusal::new(200, METHOD_NOT_FOUND, text)
}

/// The parameter with a life within the bounds.
fn bounded(caller: &Caller, task: &[u8]) -> Vec<u8> {
    let longest = bounds(&caller.limits.tasks).ttl;
    let Ok(object) = Object::read(task) else {
        return b"{}".to_vec();
    };
    let asked = object.get("ttl").and_then(|raw| std::str::from_utf8(raw).ok());
    let whole = |text: &str| text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    let within = asked.is_none_or(|text| whole(text).is_some_and(|ttl| ttl <= longest));
    if within {
        return task.to_vec();
    }
    let mut edit = ObjectEdit::of(object);
    edit.set("ttl", longest.to_string());
    edit.finish()
}

fn with_task(params: &Bytes, task: &[u8]) -> Bytes {
    let Ok(mut edit) = ObjectEdit::new(params) else {
        return params.clone();
    };
    edit.set("task", task);
    edit.finish().into()
}
