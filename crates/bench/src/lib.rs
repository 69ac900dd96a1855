//! The two programs that measure a gateway: a bare MCP server that costs next to nothing, and a load generator.
//!
//! `cargo xtask bench` starts both and does the sums.
#![forbid(unsafe_code)]

pub mod load;
pub mod upstream;
