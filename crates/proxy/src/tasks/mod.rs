//! Tasks: calls of tools that go on after their answer (2025-11-25, Tasks; the modern extension
//! `io.modelcontextprotocol/tasks`), between clients and servers of either form.
//!
//! | client, server | how |
//! | --- | --- |
//! | modern, modern | the server decides; states pass with our id in the place of the server's |
//! | legacy, legacy | the client decides; the same, and `tasks/list` is the gateway's own |
//! | modern, legacy | the gateway asks for a task where the tool takes one, and shows its state in the modern form |
//! | legacy, modern; modern without the extension | the gateway sees the task to its end within the call |
//!
//! A task's id is sealed: server, the server's own id, tool, form and end, bound to endpoint and principal. Nothing else is
//! needed to use it, so it outlives a restart. What is known besides is in the [`table`].

mod bridge;
mod created;
mod drive;
mod legacy;
mod listed;
mod modern;
mod questions;
mod seal;
mod subject;
mod table;
mod told;
mod waiting;
mod wish;

pub(crate) use created::{Created, created};
pub(crate) use legacy::{legacy, result};
pub(crate) use listed::list;
pub(crate) use modern::{allow, modern, own_params, undeclared};
pub(crate) use subject::Subject;
pub(crate) use table::Tasks;
pub(crate) use told::{Hears, ask, tell};
pub(crate) use wish::{Wish, has_room, wish};

use sallyport_mcp::tasks::Bounds;

use crate::refusal::Refusal;
use crate::spec::TaskLimits;

/// The bounds as clients are told of them.
fn bounds(limits: &TaskLimits) -> Bounds {
    let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Bounds {
        ttl: millis(limits.ttl),
        poll: millis(limits.poll),
    }
}

/// The error for a task that is not there, not any more, another's, or not allowed any more: always the same (P-116).
fn unknown() -> Refusal {
    Refusal::params("Unknown task")
}
