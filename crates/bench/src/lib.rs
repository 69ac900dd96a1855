//! The programs that measure a gateway: bare MCP servers that cost next to nothing, and load generators.
//!
//! `cargo xtask bench` starts them and does the sums.
#![forbid(unsafe_code)]

pub mod idle;
pub mod load;
pub mod stdio;
pub mod upstream;
