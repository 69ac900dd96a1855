//! `params._meta`: what a modern request says of itself, and how it is put on and taken off (2026-07-28, `_meta`).

mod hop;
#[cfg(test)]
mod tests;
mod trace;

use std::borrow::Cow;

use thiserror::Error;

pub use hop::{MetaFor, rewrite};
pub use trace::{MAX_TRACE_STATE, is_trace_parent, is_trace_state};

use crate::error::INVALID_PARAMS;
use crate::json::is_object;
use crate::jsonrpc::{Envelope, Meta, MetaKey, well_formed_id};
use crate::log::LogLevel;

/// What a modern request says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModernMeta<'a> {
    /// The version it names; not necessarily one that is spoken here.
    pub version: Cow<'a, str>,
    /// The client's capabilities: a raw object.
    pub capabilities: &'a [u8],
    /// The client's name and version: a raw object, unverified, for display only.
    pub client_info: Option<&'a [u8]>,
    /// From which level on log messages are wanted; none are without it.
    pub log_level: Option<LogLevel>,
    /// The raw progress token: a string or integer.
    pub progress_token: Option<&'a [u8]>,
}

/// What is wrong with the `_meta` of a modern request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MetaError {
    /// A required member is absent.
    #[error("`params._meta` lacks `{}`", .0.as_str())]
    Missing(MetaKey),
    /// A member is of the wrong type.
    #[error("`{}` in `params._meta` is of the wrong type", .0.as_str())]
    WrongType(MetaKey),
    /// A level of another name.
    #[error("unknown log level")]
    LogLevel,
}

impl MetaError {
    /// The JSON-RPC code of the answer.
    pub const CODE: i32 = INVALID_PARAMS;

    /// The HTTP status of the answer: a bad level is an error like any other in the parameters.
    #[must_use]
    pub fn status(self) -> u16 {
        if self == Self::LogLevel { 200 } else { 400 }
    }
}

/// Whether the message names a protocol version in `_meta`, as only modern ones do.
#[must_use]
pub fn is_modern(envelope: &Envelope<'_>) -> bool {
    envelope
        .meta()
        .is_some_and(|m| m.get(MetaKey::ProtocolVersion).is_some())
}

/// Reads the `_meta` of a modern request.
///
/// # Errors
/// [`MetaError`] for an absent required member, or a member of the wrong type.
pub fn read<'a>(envelope: &Envelope<'a>) -> Result<ModernMeta<'a>, MetaError> {
    let missing = MetaError::Missing(MetaKey::ProtocolVersion);
    let meta = envelope.meta().ok_or(missing)?;
    let object = |key| match meta.get(key) {
        Some(raw) if !is_object(raw) => Err(MetaError::WrongType(key)),
        found => Ok(found),
    };
    let version = meta.get(MetaKey::ProtocolVersion).ok_or(missing)?;
    let version = crate::json::decode(version).ok_or(MetaError::WrongType(MetaKey::ProtocolVersion))?;
    let capabilities =
        object(MetaKey::ClientCapabilities)?.ok_or(MetaError::Missing(MetaKey::ClientCapabilities))?;
    let progress_token = match meta.get(MetaKey::ProgressToken) {
        Some(raw) if !well_formed_id(raw) => return Err(MetaError::WrongType(MetaKey::ProgressToken)),
        found => found,
    };
    Ok(ModernMeta {
        version,
        capabilities,
        client_info: object(MetaKey::ClientInfo)?,
        log_level: log_level(meta)?,
        progress_token,
    })
}

fn log_level(meta: &Meta<'_>) -> Result<Option<LogLevel>, MetaError> {
    if meta.get(MetaKey::LogLevel).is_none() {
        return Ok(None);
    }
    let name = meta.text(MetaKey::LogLevel).ok_or(MetaError::LogLevel)?;
    LogLevel::parse(&name).map(Some).ok_or(MetaError::LogLevel)
}

/// Whether a key is under a prefix that the protocol keeps for itself: its second label is `mcp` or
/// `modelcontextprotocol`.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    let second = key
        .split_once('/')
        .and_then(|(prefix, _)| prefix.split('.').nth(1));
    matches!(second, Some("mcp" | "modelcontextprotocol"))
}
