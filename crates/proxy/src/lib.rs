//! The MCP data path: what a client sends is authenticated, parsed, routed, decided, built anew and sent to the server
//! behind; what the server answers goes back in the client's revision.
#![forbid(unsafe_code)]

pub mod exchange;
pub mod spec;
pub mod upstream;
