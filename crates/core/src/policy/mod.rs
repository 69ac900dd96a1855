//! Who may do what: rules, the check, and the permit that it gives out.

mod check;
mod condition;
mod permit;
mod rule;

pub use check::{Access, Asked, Denied, check, shows};
pub use condition::{Broken, Case, Conditions, Facts};
pub use permit::{
    Action, AwaitTask, CallTool, CancelTask, Complete, GetPrompt, GetSkill, GetTask, Permit, ReadDirectory,
    ReadResource, UpdateTask,
};
pub use rule::{Glob, InvalidGlob, Rules, Selection};
