use super::*;
use crate::jsonrpc::{Limits, scan};
use crate::log::LogLevel;
use crate::revision::Revision;
use proptest::prelude::*;
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
fn whatever_the_parameters_they_stay_an_object() {
    for params in [
        "{}",
        " { } ",
        r#"{ "a":1}"#,
        "[]",
        "5",
        "",
        r#"{"_meta":5}"#,
        r#"{"_meta":{ }}"#,
        r#"{"_meta":null,"a":1}"#,
    ] {
        let modern = rewritten(params, MODERN);
        assert_eq!(
            modern["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28",
            "{params}"
        );
        assert_eq!(
            modern.get("a").is_some(),
            params.contains('a') && params.contains('1'),
            "{params}"
        );
        assert!(rewritten(params, MetaFor::Legacy).is_object(), "{params}");
    }
}

proptest! {
    #[test]
    fn members_of_others_pass_whatever_surrounds_them(
        members in proptest::collection::btree_map("[a-c]/[a-c]", "[0-9]|\\[ \\]|\"x\"|null", 0..4),
        space in "[ \n]{0,2}",
        before in "(\"a\":\\{\"_meta\":1\\},)?",
        bare in any::<bool>(),
    ) {
        let listed: Vec<String> = members.iter().map(|(k, v)| format!("{space}\"{k}\"{space}:{space}{v}{space}")).collect();
        let meta = format!("{{{}}}", listed.join(","));
        let params = if bare { format!("{{{space}}}") } else { format!("{{{before}{space}\"_meta\":{meta}{space}}}") };
        let original: Value = serde_json::from_str(&params).unwrap();
        prop_assert_eq!(rewritten(&params, MetaFor::Legacy), original.clone());
        let mut modern = rewritten(&params, MODERN);
        let meta = modern["_meta"].as_object_mut().unwrap();
        meta.retain(|key, _| !key.starts_with("io.modelcontextprotocol/"));
        let theirs = original.get("_meta").cloned().unwrap_or(json!({}));
        prop_assert_eq!(&modern["_meta"], &theirs);
        prop_assert_eq!(modern.get("a"), original.get("a"));
        // Done twice it is the same.
        let once = rewrite(params.as_bytes(), MODERN);
        prop_assert_eq!(rewrite(&once, MODERN), once);
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
    let modern =
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","dev.mcp/new":1,"vendor/x":1}}"#;
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
