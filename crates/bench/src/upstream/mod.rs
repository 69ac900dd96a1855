//! A small and fast MCP server: either era on one port, JSON answers, an event stream only for progress.
//!
//! `/mcp` lists ten tools and `/1000/mcp` a thousand.

mod body;
mod message;
mod serve;

pub use serve::run;
