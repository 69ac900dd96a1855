//! The ids of tasks that clients carry.

use sallyport_core::capability::Purpose;
use sallyport_mcp::session::TaskSeal;

use crate::caller::Caller;

/// The id for this principal at this endpoint.
pub(super) fn seal(caller: &Caller, task: &TaskSeal) -> String {
    let sealer = &caller.proxy.sealer;
    sealer.seal(Purpose::Task, &binding(caller), &task.encode())
}

/// What an id stands for; `None` for one that was changed, is another's or another endpoint's, or is too old.
pub(super) fn open(caller: &Caller, id: &str) -> Option<TaskSeal> {
    let sealer = &caller.proxy.sealer;
    let plain = sealer.open(Purpose::Task, &binding(caller), id)?;
    let task = TaskSeal::decode(&plain)?;
    (task.expires > caller.proxy.books.clock.now()).then_some(task)
}

fn binding(caller: &Caller) -> String {
    format!("{} {}", caller.endpoint.key, caller.key)
}
