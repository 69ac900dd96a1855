//! What a server, and each of its tools, says of tasks in revision 2025-11-25.

use crate::json::{Object, find, is_object};

/// The `tasks` capability of an endpoint with servers that take tasks, given their own: a raw object. The gateway lists
/// tasks itself; it can cancel those whose server can.
#[must_use]
pub fn legacy_capability<'a>(servers: impl IntoIterator<Item = &'a [u8]>) -> &'static [u8] {
    let cancels = |capability: &[u8]| find(capability, "cancel").is_some_and(is_object);
    if servers.into_iter().any(cancels) {
        br#"{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#
    } else {
        br#"{"list":{},"requests":{"tools":{"call":{}}}}"#
    }
}

/// Whether a raw `tasks` capability (2025-11-25) allows calls of tools as tasks.
#[must_use]
pub fn takes_calls(capability: &[u8]) -> bool {
    find(capability, "requests")
        .and_then(|requests| find(requests, "tools"))
        .and_then(|tools| find(tools, "call"))
        .is_some_and(is_object)
}

/// What a tool says of tasks in `execution.taskSupport` (2025-11-25, Tool-Level Negotiation).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TaskSupport {
    /// It cannot be called as a task; so it is where nothing is said.
    #[default]
    Forbidden,
    /// It may be.
    Optional,
    /// It cannot be called otherwise.
    Required,
}

impl TaskSupport {
    /// Of the raw tool.
    #[must_use]
    pub fn of(tool: &[u8]) -> Self {
        let execution = find(tool, "execution").and_then(|raw| Object::read(raw).ok());
        match execution.and_then(|object| object.text("taskSupport")).as_deref() {
            Some("optional") => Self::Optional,
            Some("required") => Self::Required,
            _ => Self::Forbidden,
        }
    }
}
