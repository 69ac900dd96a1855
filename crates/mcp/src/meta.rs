//! `params._meta`: what a modern request says of itself, and how it is put on and taken off (2026-07-28, `_meta`).

use std::borrow::Cow;

use thiserror::Error;

use crate::error::INVALID_PARAMS;
use crate::json::{Object, is_object, quote};
use crate::jsonrpc::{Envelope, Meta, MetaKey, well_formed_id};
use crate::log::LogLevel;
use crate::revision::Revision;
use crate::splice::ObjectEdit;

/// The longest `tracestate` that is passed on, in bytes (W3C Trace Context §3.3.1.5).
pub const MAX_TRACE_STATE: usize = 512;

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

/// Whether a value is a `traceparent` (W3C Trace Context §3.2), safe to put into a header.
#[must_use]
pub fn is_trace_parent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    match parts.as_slice() {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && *version != "ff"
                && hex(trace, 32)
                && some(trace)
                && hex(parent, 16)
                && some(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

/// Whether a value can be a `tracestate`, safe to put into a header.
#[must_use]
pub fn is_trace_state(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_TRACE_STATE && value.bytes().all(|b| matches!(b, 0x20..=0x7e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::{Limits, scan};
    use serde_json::{Value, json};

    const MODERN: MetaFor<'static> = MetaFor::Modern {
        version: Revision::V2026_07_28,
        client_info: Some(br#"{"name":"gw"}"#),
        capabilities: br#"{"roots":{}}"#,
        log_level: Some(LogLevel::Info),
    };

    fn checked(meta: &str) -> Result<(), MetaError> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{meta}}}}}"#);
        let envelope = scan(text.as_bytes(), &Limits::CLIENT).unwrap();
        read(&envelope).map(drop)
    }

    fn rewritten(params: &str, to: MetaFor<'_>) -> Value {
        serde_json::from_slice(&rewrite(params.as_bytes(), to)).unwrap()
    }

    #[test]
    fn jr_11_required_members_and_their_types() {
        use MetaError::{Missing, WrongType};
        let of = |more: &str| {
            format!(
                r#"{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}{more}}}"#
            )
        };
        for (meta, expected) in [
            (of(""), Ok(())),
            (
                of(r#","io.modelcontextprotocol/logLevel":"error","progressToken":"t""#),
                Ok(()),
            ),
            ("{}".to_owned(), Err(Missing(MetaKey::ProtocolVersion))),
            ("5".to_owned(), Err(Missing(MetaKey::ProtocolVersion))),
            (
                of("").replace("\"2026-07-28\"", "7"),
                Err(WrongType(MetaKey::ProtocolVersion)),
            ),
            (
                of("").replace(":{}", ":[]"),
                Err(WrongType(MetaKey::ClientCapabilities)),
            ),
            (
                r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#.to_owned(),
                Err(Missing(MetaKey::ClientCapabilities)),
            ),
            (
                of(r#","io.modelcontextprotocol/clientInfo":"c""#),
                Err(WrongType(MetaKey::ClientInfo)),
            ),
            (
                of(r#","progressToken":1.5"#),
                Err(WrongType(MetaKey::ProgressToken)),
            ),
            (
                of(r#","io.modelcontextprotocol/logLevel":"loud""#),
                Err(MetaError::LogLevel),
            ),
            (
                of(r#","io.modelcontextprotocol/logLevel":5"#),
                Err(MetaError::LogLevel),
            ),
        ] {
            assert_eq!(checked(&meta), expected, "{meta}");
        }
        assert_eq!(
            (
                MetaError::LogLevel.status(),
                Missing(MetaKey::ProtocolVersion).status()
            ),
            (200, 400)
        );
    }

    #[test]
    fn protocol_members_are_put_on_and_overwritten() {
        let expected = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "gw"},
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
            "io.modelcontextprotocol/logLevel": "info",
        });
        for params in ["{}", r#"{"_meta":{}}"#, r#"{"_meta":5}"#] {
            assert_eq!(rewritten(params, MODERN), json!({"_meta": expected}), "{params}");
        }
        let forged = r#"{"name":"x","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"evil"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}"#;
        assert_eq!(rewritten(forged, MODERN), json!({"name": "x", "_meta": expected}));
    }

    #[test]
    fn they_are_taken_off_and_the_rest_stays_byte_for_byte() {
        let params = r#"{"name" : "x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28", "vendor/x" : [1.0 ],"io.modelcontextprotocol/clientCapabilities":{},"progressToken":7},"arguments":{ }}"#;
        let expected = r#"{"name" : "x","_meta":{"vendor/x" : [1.0 ],"progressToken":7},"arguments":{ }}"#;
        let mine = rewrite(params.as_bytes(), MetaFor::Legacy);
        assert_eq!(std::str::from_utf8(&mine).unwrap(), expected);
        for untouched in ["{}", r#"{"name":"x"}"#, r#"{"_meta":{"progressToken":"a"}}"#] {
            assert_eq!(
                rewrite(untouched.as_bytes(), MetaFor::Legacy),
                untouched.as_bytes()
            );
        }
    }

    #[test]
    fn reserved_members_stay_within_one_revision() {
        let legacy = r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"},"com.mcp/x":1}}"#;
        assert_eq!(rewrite(legacy.as_bytes(), MetaFor::Legacy), legacy.as_bytes());
        let to_modern = rewritten(legacy, MODERN);
        assert!(
            to_modern["_meta"]
                .get("io.modelcontextprotocol/related-task")
                .is_none()
        );
        assert!(to_modern["_meta"].get("com.mcp/x").is_none());
        let modern = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","dev.mcp/new":1,"vendor/x":1}}"#;
        assert_eq!(rewritten(modern, MODERN)["_meta"]["dev.mcp/new"], 1);
        assert_eq!(
            rewritten(modern, MetaFor::Legacy),
            json!({"_meta": {"vendor/x": 1}})
        );
        for (key, reserved) in [
            ("io.modelcontextprotocol/x", true),
            ("dev.mcp/x", true),
            ("io.modelcontextprotocol.sub/x", true),
            ("mcp/x", false),
            ("com.example.mcp/x", false),
            ("io.modelcontextprotocol", false),
            ("progressToken", false),
        ] {
            assert_eq!(is_reserved(key), reserved, "{key}");
        }
    }

    #[test]
    fn jr_11_unsafe_trace_members_are_dropped() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let of = |parent: &str, state: &str| {
            let meta = json!({"traceparent": parent, "tracestate": state, "baggage": "user=1"});
            rewritten(&json!({ "_meta": meta }).to_string(), MetaFor::Legacy)["_meta"].clone()
        };
        assert_eq!(
            of(parent, "a=1"),
            json!({"traceparent": parent, "tracestate": "a=1"})
        );
        assert_eq!(of(parent, "a\r\nx: y"), json!({ "traceparent": parent }));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nx: y",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(of(bad, "a=1"), json!({}), "{bad:?}");
        }
        assert!(
            is_trace_state(&"x".repeat(MAX_TRACE_STATE)) && !is_trace_state(&"x".repeat(MAX_TRACE_STATE + 1))
        );
    }
}
