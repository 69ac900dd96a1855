//! Server-sent events (WHATWG HTML §9.2), as MCP streams use them.

mod frame;
mod parser;

pub use frame::{comment, endpoint, frame, frame_with_id, priming};
pub use parser::{Event, Parser, SseError, SseLimits};
