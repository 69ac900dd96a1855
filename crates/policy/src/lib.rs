//! Rules over who calls what with which arguments, when: expressions in CEL, the Common Expression Language.
//!
//! [`Expression`] is one that was read and found good, when the configuration was; [`RuleSet`] holds those of a profile and
//! judges by them, as [`core::policy`](sallyport_core::policy) asks. What is *not* here: which names a profile admits, and what
//! a client is told.
//!
//! Operators write the expressions, strangers the arguments. So whatever an expression costs is bounded by numbers that no
//! argument changes: [`limits`] has them. What cannot be decided within them does not hold.
#![forbid(unsafe_code)]

mod compile;
mod fault;
mod inspect;
mod json;
pub mod limits;
mod people;
mod scope;
mod set;
mod spelling;
mod steps;

pub use compile::{Expression, Invalid};
pub use people::{Kind, People, Person};
pub use set::{Rule, RuleSet, Subjects, Wants};
