//! A small and fast MCP server: either era on one port, JSON answers, an event stream only for progress.
//!
//! `/mcp` lists ten tools, `/1000/mcp` a thousand, and `/other/NAME/mcp` seven that have the name in theirs.

mod body;
pub(crate) mod message;
mod serve;

pub use serve::run;
