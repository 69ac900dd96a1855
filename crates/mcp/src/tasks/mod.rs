//! Tasks: calls of tools that go on after their answer. There are two forms of them: the experimental one of revision
//! 2025-11-25, where the client asks for a task and waits for its result, and the modern extension
//! `io.modelcontextprotocol/tasks`, where the server decides and everything shows in the task's state.

mod capability;
mod related;
mod state;
#[cfg(test)]
mod tests;

pub use capability::{TaskSupport, legacy_capability, takes_calls};
pub use related::{related_task, with_related_task};
pub use state::{Bounds, Detail, Status, Task, created, renamed, task_id};

/// The modern extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The `data` of [`crate::error::MISSING_CAPABILITY`] for a client that did not declare the extension: a raw object.
pub const REQUIRED_CAPABILITY: &str =
    r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
