//! A closed-loop load generator over raw HTTP/1.1: each connection has one request in flight, and every answer is checked.

mod answer;
mod histogram;
mod request;
mod run;

pub use histogram::Histogram;
pub use request::{Scenario, Target};
pub use run::{Load, Report, Until, run};
