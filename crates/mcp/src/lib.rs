//! The Model Context Protocol's rules without input or output: envelopes, revisions, headers, catalogues, and what
//! passes between the two eras.
#![forbid(unsafe_code)]

pub mod answer;
pub mod capabilities;
pub mod catalogue;
pub mod error;
pub mod json;
pub mod jsonrpc;
pub mod log;
pub mod merge;
pub mod meta;
pub mod method;
pub mod mirror;
pub mod render;
pub mod revision;
pub mod session;
pub mod splice;
pub mod spoken;
pub mod sse;
pub mod tasks;

pub use log::LogLevel;
pub use method::Method;
pub use revision::{Era, Revision};
pub use spoken::Spoken;
