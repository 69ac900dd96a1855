//! `params._meta`: what a modern request says of itself, and how it is put on and taken off (2026-07-28, `_meta`).

#[cfg(test)]
mod tests;
mod trace;

use std::borrow::Cow;

use thiserror::Error;

pub use trace::{MAX_TRACE_STATE, is_trace_parent, is_trace_state};

use crate::error::INVALID_PARAMS;
use crate::json::{Object, is_object, quote};
use crate::jsonrpc::{Envelope, Meta, MetaKey, well_formed_id};
use crate::log::LogLevel;
use crate::revision::Revision;
use crate::splice::ObjectEdit;

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

/// What a request is to say of itself on its next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaFor<'a> {
    /// To a modern server.
    Modern {
        /// The version spoken on the hop.
        version: Revision,
        /// A raw object.
        client_info: Option<&'a [u8]>,
        /// A raw object.
        capabilities: &'a [u8],
        /// The level from which log messages are wanted.
        log_level: Option<LogLevel>,
    },
    /// To a legacy server, which was told in `initialize`.
    Legacy,
}

/// Makes `_meta` of a raw `params` object right for the next hop. Protocol members are overwritten or taken out; a
/// member under a reserved prefix that is none of them passes only between hops of one revision; invalid trace members
/// and `baggage` are taken out. Everything else, the progress token included, stays byte for byte.
#[must_use]
pub fn rewrite(params: &[u8], to: MetaFor<'_>) -> Vec<u8> {
    // No scanned message has parameters that are no object; what is none is not passed on.
    let Ok(mut outer) = ObjectEdit::new(params).or_else(|_| ObjectEdit::new(b"{}")) else {
        return Vec::new();
    };
    let meta = outer.object().get("_meta").filter(|raw| is_object(raw));
    let had_meta = meta.is_some();
    let Ok(object) = Object::read(meta.unwrap_or(b"{}")) else {
        return outer.finish();
    };
    let rewritten = rewrite_meta(object, to);
    if had_meta || rewritten != b"{}" {
        outer.set("_meta", rewritten);
    }
    outer.finish()
}

fn rewrite_meta(object: Object<'_>, to: MetaFor<'_>) -> Vec<u8> {
    let came_as = object.text(MetaKey::ProtocolVersion.as_str());
    let valid_parent = object
        .text(MetaKey::TraceParent.as_str())
        .is_some_and(|p| is_trace_parent(&p));
    let valid_state = valid_parent
        && object
            .text(MetaKey::TraceState.as_str())
            .is_some_and(|s| is_trace_state(&s));
    let same_revision = match to {
        MetaFor::Modern { version, .. } => came_as.as_deref() == Some(version.as_str()),
        MetaFor::Legacy => came_as.is_none(),
    };
    let mut edit = ObjectEdit::of(object);
    edit.remove_where(|key| match key {
        "traceparent" => !valid_parent,
        "tracestate" => !valid_state,
        "baggage" => true,
        key => is_protocol_key(key) || (!same_revision && is_reserved(key)),
    });
    if let MetaFor::Modern {
        version,
        client_info,
        capabilities,
        log_level,
    } = to
    {
        edit.set(MetaKey::ProtocolVersion.as_str(), quote(version.as_str()));
        edit.set(MetaKey::ClientCapabilities.as_str(), capabilities);
        if let Some(info) = client_info {
            edit.set(MetaKey::ClientInfo.as_str(), info);
        }
        if let Some(level) = log_level {
            edit.set(MetaKey::LogLevel.as_str(), quote(level.as_str()));
        }
    }
    edit.finish()
}

/// The members that belong to one hop.
fn is_protocol_key(key: &str) -> bool {
    [
        MetaKey::ProtocolVersion,
        MetaKey::ClientInfo,
        MetaKey::ClientCapabilities,
        MetaKey::LogLevel,
    ]
    .iter()
    .any(|k| k.as_str() == key)
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
