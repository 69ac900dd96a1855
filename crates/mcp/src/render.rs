//! Results that the gateway gives itself: lists and introductions, rendered once and shared.

use bytes::Bytes;

use crate::answer::tool_for_legacy;
use crate::capabilities::Members;
use crate::capabilities::ServerCapabilities;
use crate::catalogue::{CacheHint, ListKind};
use crate::jsonrpc::MetaKey;
use crate::merge::Entry;
use crate::revision::{Era, Revision};
use crate::spoken::Spoken;

impl CacheHint {
    fn add(self, out: &mut Members) {
        out.add("ttlMs", self.ttl_ms.to_string().as_bytes());
        out.add_text("cacheScope", self.scope.as_str());
    }
}

/// One page of a list.
#[derive(Clone, Copy, Debug)]
pub struct ListPage<'a> {
    /// Its items.
    pub entries: &'a [Entry],
    /// With what the next page is asked for.
    pub next_cursor: Option<&'a str>,
    /// How long and for whom it may be kept.
    pub hint: CacheHint,
    /// A raw `_meta` object.
    pub meta: Option<&'a [u8]>,
}

/// One page of a list, as the raw `result` of its request.
#[must_use]
pub fn list_result(kind: ListKind, era: Era, page: ListPage<'_>) -> Bytes {
    let size: usize = page.entries.iter().map(|e| e.raw.len() + 1).sum();
    let mut items = Vec::with_capacity(size + 2);
    items.push(b'[');
    for (index, entry) in page.entries.iter().enumerate() {
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
    if let Some(cursor) = page.next_cursor {
        out.add_text("nextCursor", cursor);
    }
    if era == Era::Modern {
        page.hint.add(&mut out);
    }
    if let Some(meta) = page.meta {
        out.add("_meta", meta);
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
    spoken: Spoken,
) -> Bytes {
    let mut out = Members::new();
    out.add_text("resultType", "complete");
    out.add("supportedVersions", spoken.versions().as_bytes());
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
    use crate::catalogue::CacheScope;
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
        let meta = server_meta(br#"{"name":"s","version":"1"}"#);
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
            let page = ListPage {
                entries: &entries(),
                next_cursor: cursor,
                hint,
                meta: (era == Era::Modern).then_some(&meta),
            };
            assert_eq!(list_result(ListKind::Tools, era, page), expected);
        }
        let none = ListPage {
            entries: &[],
            next_cursor: None,
            hint: CacheHint::NONE,
            meta: Some(b"{\"a\":1}"),
        };
        assert_eq!(
            list_result(ListKind::Templates, Era::Legacy, none),
            r#"{"resourceTemplates":[],"_meta":{"a":1}}"#
        );
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
            discover_result(&capabilities, b"{}", None, CacheHint::NONE, Spoken::ALL),
            r#"{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#
        );
    }
}
