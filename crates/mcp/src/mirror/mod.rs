//! The headers that mirror the body of a modern request (2026-07-28, Transports, Standard Headers and Custom Parameter
//! Headers). The body decides; headers are only compared with it.

mod annotation;
mod check;
mod outbound;
mod sentinel;
#[cfg(test)]
mod tests;

pub use annotation::{InvalidAnnotation, ParamHeader, ParamType, RepeatedMember, param_headers_of};
pub use check::{HeaderField, MirrorError, admit, admit_without_headers, check, check_params, classify};
pub use outbound::headers_for;
pub use sentinel::{decode, encode};

/// The header that names the protocol version.
pub const VERSION_HEADER: &str = "mcp-protocol-version";
/// The header that mirrors `method`.
pub const METHOD_HEADER: &str = "mcp-method";
/// The header that mirrors `params.name`, `params.uri` or `params.taskId`.
pub const NAME_HEADER: &str = "mcp-name";
/// What the headers that mirror arguments begin with.
pub const PARAM_PREFIX: &str = "mcp-param-";
/// The longest value of any of them that is looked at, in bytes, before decoding.
pub const MAX_HEADER_VALUE: usize = 8192;
