//! The state of a task, in the form of either era, read from and written to bytes.

use std::borrow::Cow;

use crate::capabilities::Members;
use crate::json::{Object, find, is_object, is_string};
use crate::revision::Era;
use crate::splice::ObjectEdit;

/// How far a task has come; the words are the same in both eras.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// The server works on it.
    Working,
    /// The server waits for the client.
    InputRequired,
    /// Done. In the modern extension also where the tool said that it failed; in 2025-11-25 that is [`Status::Failed`].
    Completed,
    /// It ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Status {
    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The bounds within which clients are told of a task, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The longest life.
    pub ttl: u64,
    /// The shortest time between two looks.
    pub poll: u64,
}

/// The state of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task<'a> {
    /// Its id at whoever wrote this.
    pub id: Cow<'a, str>,
    /// How far it has come.
    pub status: Status,
    /// A raw string for people.
    pub message: Option<&'a [u8]>,
    /// A raw string: when it was created.
    pub created: &'a [u8],
    /// A raw string: when it last changed.
    pub updated: &'a [u8],
    /// For how many milliseconds from its creation it is kept; `None`: without end.
    pub ttl: Option<u64>,
    /// How many milliseconds to wait before the next look, if the server says so.
    pub poll: Option<u64>,
}

/// What a modern state has besides the task's own members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail<'a> {
    /// Nothing.
    None,
    /// The raw `inputRequests`.
    Inputs(&'a [u8]),
    /// The raw `result`.
    Result(&'a [u8]),
    /// The raw `error`.
    Error(&'a [u8]),
}

/// Where a server without a clock says that something happened.
const NO_TIME: &[u8] = br#""1970-01-01T00:00:00Z""#;

impl<'a> Task<'a> {
    /// Reads the raw object that has the task's members: in the modern era a whole result or notification's parameters,
    /// in 2025-11-25 the `task` of a created one, or a whole result too. `None` if it lacks id or status.
    #[must_use]
    pub fn read(raw: &'a [u8], era: Era) -> Option<Self> {
        let object = Object::read(raw).ok()?;
        let (ttl, poll) = match era {
            Era::Legacy => ("ttl", "pollInterval"),
            Era::Modern => ("ttlMs", "pollIntervalMs"),
        };
        let text = |key: &str| object.get(key).filter(|raw| is_string(raw));
        let created = text("createdAt").unwrap_or(NO_TIME);
        Some(Self {
            id: object.text("taskId")?,
            status: Status::parse(&object.text("status")?)?,
            message: text("statusMessage"),
            created,
            updated: text("lastUpdatedAt").unwrap_or(created),
            ttl: object.get(ttl).and_then(millis),
            poll: object.get(poll).and_then(millis),
        })
    }

    /// For how long it is kept, at most as long as the bound.
    #[must_use]
    pub fn ttl_within(&self, bounds: Bounds) -> u64 {
        self.ttl.map_or(bounds.ttl, |ttl| ttl.min(bounds.ttl))
    }

    /// As a modern state under this id; `result_type` is `task` for one that was just created and `complete` otherwise,
    /// and absent in notifications.
    #[must_use]
    pub fn modern(&self, id: &str, bounds: Bounds, result_type: Option<&str>, detail: Detail<'_>) -> Vec<u8> {
        let mut out = Members::new();
        if let Some(kind) = result_type {
            out.add_text("resultType", kind);
        }
        out.add_text("taskId", id);
        out.add_text("status", self.status.as_str());
        if let Some(message) = self.message {
            out.add("statusMessage", message);
        }
        out.add("createdAt", self.created);
        out.add("lastUpdatedAt", self.updated);
        out.add("ttlMs", self.ttl_within(bounds).to_string().as_bytes());
        if let Some(poll) = self.poll {
            out.add("pollIntervalMs", poll.max(bounds.poll).to_string().as_bytes());
        }
        match detail {
            Detail::None => {}
            Detail::Inputs(raw) => out.add("inputRequests", raw),
            Detail::Result(raw) => out.add("result", raw),
            Detail::Error(raw) => out.add("error", raw),
        }
        out.finish()
    }
}

/// The raw object with a task's members as this gateway's clients are to see it: under another id, within bounds.
/// Everything else stays byte for byte; what is no task comes back as it is.
#[must_use]
pub fn renamed(raw: &[u8], era: Era, id: &str, bounds: Bounds) -> Vec<u8> {
    let (Some(task), Ok(mut edit)) = (Task::read(raw, era), ObjectEdit::new(raw)) else {
        return raw.to_vec();
    };
    let (ttl, poll) = match era {
        Era::Legacy => ("ttl", "pollInterval"),
        Era::Modern => ("ttlMs", "pollIntervalMs"),
    };
    edit.set("taskId", crate::json::quote(id));
    let within = task.ttl_within(bounds);
    if task.ttl != Some(within) {
        edit.set(ttl, within.to_string());
    }
    if let Some(asked) = task.poll.filter(|asked| *asked < bounds.poll) {
        edit.set(poll, asked.max(bounds.poll).to_string());
    }
    edit.finish()
}

/// The raw object with the members of the task that a raw result of `tools/call` is, if it is one.
#[must_use]
pub fn created(result: &[u8], era: Era) -> Option<&[u8]> {
    match era {
        Era::Modern => find(result, "resultType")
            .is_some_and(|kind| kind == b"\"task\"")
            .then_some(result),
        Era::Legacy => find(result, "task").filter(|raw| is_object(raw)),
    }
}

/// The id in the raw object with a task's members.
#[must_use]
pub fn task_id(raw: &[u8]) -> Option<Cow<'_, str>> {
    find(raw, "taskId").and_then(crate::json::decode)
}

/// A number of milliseconds; a fraction is left out, `null` and everything else is none.
fn millis(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    text.split('.').next()?.parse().ok()
}
