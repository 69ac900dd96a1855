//! The Model Context Protocol's rules without input or output: envelopes, revisions, headers, catalogues, and what
//! passes between the two eras.
#![forbid(unsafe_code)]

pub mod error;
pub mod json;
pub mod jsonrpc;
pub mod method;
pub mod revision;

pub use revision::{Era, Revision};
