//! Server-sent events (WHATWG HTML §9.2), as MCP streams use them.

mod frame;
mod parser;
#[cfg(test)]
mod tests;

pub use frame::{comment, endpoint, frame, frame_into, frame_with_id, frame_with_id_into, priming};
pub use parser::{Event, Parser, SseError, SseLimits};
