//! Results that the gateway gives itself: lists and introductions, rendered once and shared.

use bytes::Bytes;

use crate::answer::tool_for_legacy;
use crate::capabilities::Members;
use crate::capabilities::ServerCapabilities;
use crate::catalogue::{CacheScope, ListKind};
use crate::jsonrpc::MetaKey;
use crate::merge::Entry;
use crate::revision::{Era, Revision};

/// How long and for whom a result may be kept; only modern clients are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheHint {
    /// In milliseconds.
    pub ttl_ms: u64,
    /// For whom.
    pub scope: CacheScope,
}

impl CacheHint {
    /// Not at all, and for nobody else.
    pub const NONE: Self = Self {
        ttl_ms: 0,
        scope: CacheScope::Private,
    };

    fn add(self, out: &mut Members) {
        out.add("ttlMs", self.ttl_ms.to_string().as_bytes());
        out.add_text("cacheScope", self.scope.as_str());
    }
}

/// What a list says besides its items.
#[derive(Clone, Copy, Debug)]
pub struct ListFrame<'a> {
    /// How long it may be kept; for modern clients.
    pub hint: CacheHint,
    /// The raw object that names the server; for modern clients.
    pub server_info: &'a [u8],
    /// With what the next page is asked for.
    pub next_cursor: Option<&'a str>,
}

/// One page of a list, as the raw `result` of its request.
#[must_use]
pub fn list_result(kind: ListKind, entries: &[Entry], era: Era, frame: ListFrame<'_>) -> Bytes {
    let size: usize = entries.iter().map(|e| e.raw.len() + 1).sum();
    let mut items = Vec::with_capacity(size + 2);
    items.push(b'[');
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            items.push(b',');
        }
        match (era, kind) {
            (Era::Legacy, ListKind::Tools) => items.extend_from_slice(&tool_for_legacy(&entry.raw)),
            _ => items.extend_from_slice(&entry.raw),
        }
    }
    items.push(b']');
    let mut out = Members::new();
    if era == Era::Modern {
        out.add_text("resultType", "complete");
    }
    out.add(kind.member(), &items);
    if let Some(cursor) = frame.next_cursor {
        out.add_text("nextCursor", cursor);
    }
    if era == Era::Modern {
        frame.hint.add(&mut out);
        out.add("_meta", &server_meta(frame.server_info));
    }
    out.finish().into()
}

/// The result of `initialize`. `server_info` is a raw object.
#[must_use]
pub fn initialize_result(
    revision: Revision,
    capabilities: &ServerCapabilities,
    server_info: &[u8],
    instructions: Option<&str>,
) -> Bytes {
    let mut out = Members::new();
    out.add_text("protocolVersion", revision.as_str());
    out.add("capabilities", &capabilities.render(Era::Legacy));
    out.add("serverInfo", server_info);
    if let Some(text) = instructions {
        out.add_text("instructions", text);
    }
    out.finish().into()
}

/// The result of `server/discover`. `server_info` is a raw object.
#[must_use]
pub fn discover_result(
    capabilities: &ServerCapabilities,
    server_info: &[u8],
    instructions: Option<&str>,
    hint: CacheHint,
) -> Bytes {
    let versions: Vec<&str> = Revision::SUPPORTED.iter().map(|r| r.as_str()).collect();
    let mut out = Members::new();
    out.add_text("resultType", "complete");
    out.add(
        "supportedVersions",
        format!("[\"{}\"]", versions.join("\",\"")).as_bytes(),
    );
    out.add("capabilities", &capabilities.render(Era::Modern));
    if let Some(text) = instructions {
        out.add_text("instructions", text);
    }
    hint.add(&mut out);
    out.add("_meta", &server_meta(server_info));
    out.finish().into()
}

/// A raw `_meta` object that names the server.
#[must_use]
pub fn server_meta(server_info: &[u8]) -> Vec<u8> {
    let mut meta = Members::new();
    meta.add(MetaKey::ServerInfo.as_str(), server_info);
    meta.finish()
}

/// A raw `Implementation` object: who this gateway is.
#[must_use]
pub fn implementation(name: &str, title: Option<&str>, version: &str) -> Vec<u8> {
    let mut out = Members::new();
    out.add_text("name", name);
    if let Some(title) = title {
        out.add_text("title", title);
    }
    out.add_text("version", version);
    out.finish()
}

/// The result of requests that only want to be acknowledged.
#[must_use]
pub fn empty_result(era: Era) -> &'static [u8] {
    match era {
        Era::Legacy => b"{}",
        Era::Modern => b"{\"resultType\":\"complete\"}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::ServerName;

    fn entries() -> Vec<Entry> {
        ["a", "b"]
            .map(|name| Entry {
                visible: name.into(),
                server: ServerName::parse("s").unwrap(),
                remote: name.into(),
                raw: Bytes::from(format!("{{\"name\":\"{name}\"}}")),
                headers: Box::default(),
            })
            .into()
    }

    #[test]
    fn lists_in_both_eras() {
        let hint = CacheHint {
            ttl_ms: 60_000,
            scope: CacheScope::Private,
        };
        let info = br#"{"name":"s","version":"1"}"#;
        for (era, cursor, expected) in [
            (Era::Legacy, None, r#"{"tools":[{"name":"a"},{"name":"b"}]}"#),
            (
                Era::Legacy,
                Some("c\""),
                r#"{"tools":[{"name":"a"},{"name":"b"}],"nextCursor":"c\""}"#,
            ),
            (
                Era::Modern,
                Some(""),
                r#"{"resultType":"complete","tools":[{"name":"a"},{"name":"b"}],"nextCursor":"","ttlMs":60000,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}"#,
            ),
        ] {
            let frame = ListFrame {
                hint,
                server_info: info,
                next_cursor: cursor,
            };
            assert_eq!(list_result(ListKind::Tools, &entries(), era, frame), expected);
        }
        let frame = ListFrame {
            hint: CacheHint::NONE,
            server_info: info,
            next_cursor: None,
        };
        let none = list_result(ListKind::Templates, &[], Era::Legacy, frame);
        assert_eq!(none, r#"{"resourceTemplates":[]}"#);
    }

    #[test]
    fn introductions_in_both_eras() {
        let capabilities = ServerCapabilities {
            tools: Some(true),
            ..ServerCapabilities::default()
        };
        let info = implementation("sallyport", Some("Sallyport"), "1.0");
        assert_eq!(
            initialize_result(Revision::V2025_06_18, &capabilities, &info, Some("a\nb")),
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"sallyport","title":"Sallyport","version":"1.0"},"instructions":"a\nb"}"#
        );
        assert_eq!(
            discover_result(&capabilities, b"{}", None, CacheHint::NONE),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#
        );
    }
}
