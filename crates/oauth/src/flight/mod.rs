//! The flight recorder: what became of each log-in, step by step, with a verdict in words.
//!
//! A record holds no text of a request: steps and rules are closed sets, and what else is told of a request passes through
//! the types of [`shape`], into which no code, verifier, token or `state` fits. What belongs together is decided in [`book`].

pub mod book;
pub mod rule;
pub mod shape;
pub mod step;
pub mod trace;
pub mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use book::Book;
pub use rule::Rule;
pub use shape::{Agent, Place};
pub use step::{Document, Keys, Point, Refused, Sighting, Step};
pub use trace::Trace;
pub use verdict::Verdict;
