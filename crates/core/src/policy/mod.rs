//! Who may do what: rules, the check, and the permit that it gives out.

mod check;
mod permit;
mod rule;

pub use check::{Access, Denied, check};
pub use permit::{Action, CallTool, Complete, GetPrompt, GetSkill, Permit, ReadDirectory, ReadResource};
pub use rule::{Glob, InvalidGlob, Rules, Selection};
