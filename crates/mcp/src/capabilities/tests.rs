use serde_json::{Value, json};

use super::*;
use crate::method::Method;
use crate::revision::Era;

fn server(raw: Value) -> ServerCapabilities {
    ServerCapabilities::parse(raw.to_string().as_bytes())
}

fn rendered(capabilities: &ServerCapabilities, era: Era) -> Value {
    serde_json::from_slice(&capabilities.render(era)).unwrap()
}

fn client(raw: Value) -> ClientCapabilities {
    ClientCapabilities::parse(raw.to_string().as_bytes())
}

#[test]
fn server_capabilities_come_and_go_unchanged() {
    let raw = json!({
        "tools": {"listChanged": true}, "prompts": {}, "resources": {"subscribe": true, "listChanged": true},
        "completions": {}, "logging": {}, "experimental": {"x": {"y": 1}},
        "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": []}, "com.example/x": {}},
        "tasks": {"list": {}},
    });
    let parsed = server(raw.clone());
    let mut legacy = raw.clone();
    legacy["extensions"] = json!({"io.modelcontextprotocol/ui": {"mimeTypes": []}});
    assert_eq!(rendered(&parsed, Era::Legacy), legacy);
    let mut modern = raw;
    modern.as_object_mut().unwrap().remove("tasks");
    assert_eq!(rendered(&parsed, Era::Modern), modern);
    assert_eq!(rendered(&server(json!({})), Era::Modern), json!({}));
}

#[test]
fn malformed_capabilities_are_none() {
    for raw in [
        json!(5),
        json!([]),
        json!({"tools": true, "resources": null, "logging": 1, "extensions": {"a": 5}}),
    ] {
        assert_eq!(server(raw.clone()), ServerCapabilities::default(), "{raw}");
    }
}

#[test]
fn the_union_is_what_any_can_do() {
    let one = server(
        json!({"tools": {}, "resources": {"subscribe": true}, "tasks": {}, "extensions": {"a/b": {}}}),
    );
    let two =
        server(json!({"tools": {"listChanged": true}, "resources": {"listChanged": true}, "logging": {}}));
    let union = ServerCapabilities::union([&one, &two]);
    assert_eq!(
        rendered(&union, Era::Legacy),
        json!({"tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true}, "logging": {}})
    );
    assert_eq!(ServerCapabilities::union([]), ServerCapabilities::default());
}

#[test]
fn client_profiles() {
    for (raw, profile) in [
        (json!({}), Profile::default()),
        (json!([]), Profile::default()),
        (json!({"roots": {"listChanged": true}}), Profile::ROOTS),
        (json!({"roots": true}), Profile::default()),
        (json!({"sampling": {}}), Profile::SAMPLING),
        (
            json!({"sampling": {"tools": {}, "context": {}}}),
            Profile::SAMPLING
                .with(Profile::SAMPLING_TOOLS)
                .with(Profile::SAMPLING_CONTEXT),
        ),
        (json!({"elicitation": {}}), Profile::FORM),
        (json!({"elicitation": {"form": {}}}), Profile::FORM),
        (json!({"elicitation": {"url": {}}}), Profile::URL),
        (
            json!({"elicitation": {"url": {}, "form": {}}}),
            Profile::FORM.with(Profile::URL),
        ),
        (
            json!({"extensions": {"io.modelcontextprotocol/ui": {}}}),
            Profile::UI,
        ),
        (
            json!({"extensions": {"com.example/x": {}}, "tasks": {}}),
            Profile::default(),
        ),
    ] {
        assert_eq!(client(raw.clone()).profile(), profile, "{raw}");
    }
    assert!(client(json!({})).profile().is_empty());
    assert_eq!(
        format!("{:?}", Profile::FORM.with(Profile::ROOTS)),
        r#"{"roots", "elicitation.form"}"#
    );
}

#[test]
fn servers_may_ask_what_was_declared_only() {
    let form = json!({"elicitation": {}});
    let url = json!({"elicitation": {"url": {}}});
    let plain = json!({"sampling": {}});
    let tools = json!({"sampling": {"tools": {}}});
    for (capabilities, method, params, allowed) in [
        (&form, Method::ElicitationCreate, json!({"message": "?"}), true),
        (&form, Method::ElicitationCreate, json!({"mode": "form"}), true),
        (&form, Method::ElicitationCreate, json!({"mode": "url"}), false),
        (&form, Method::ElicitationCreate, json!({"mode": "other"}), false),
        (&form, Method::ElicitationCreate, json!({"mode": 5}), false),
        (&url, Method::ElicitationCreate, json!({"mode": "url"}), true),
        (&url, Method::ElicitationCreate, json!({}), false),
        (&form, Method::SamplingCreate, json!({}), false),
        (&plain, Method::SamplingCreate, json!({}), true),
        (&plain, Method::SamplingCreate, json!({"tools": []}), false),
        (&plain, Method::SamplingCreate, json!({"toolChoice": {}}), false),
        (&tools, Method::SamplingCreate, json!({"tools": []}), true),
        (&plain, Method::RootsList, json!({}), false),
        (&json!({"roots": {}}), Method::RootsList, json!({}), true),
        (&json!({"roots": {}}), Method::ToolsCall, json!({}), false),
    ] {
        let params = params.to_string();
        let answer = client(capabilities.clone()).allow(method, Some(params.as_bytes()));
        assert_eq!(answer, allowed, "{capabilities} {method:?} {params}");
    }
    assert!(client(form).allow(Method::ElicitationCreate, None));
}

#[test]
fn servers_are_not_told_of_what_is_not_carried() {
    use crate::revision::Era::{Legacy, Modern};
    let tasks = r#"{"extensions":{"a/b":{ },"io.modelcontextprotocol/tasks":{}}}"#;
    let plain = r#"{"roots":{},"tasks":{"list":{}},"v":1.0}"#;
    let added = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}},"roots":{},"v":1.0}"#;
    for (raw, server, from, told) in [
        (plain, Legacy, Legacy, r#"{"roots":{},"v":1.0}"#),
        (plain, Modern, Modern, r#"{"roots":{},"v":1.0}"#),
        (plain, Modern, Legacy, added),
        (tasks, Modern, Modern, tasks),
        (tasks, Legacy, Modern, r#"{"extensions":{"a/b":{ }}}"#),
        ("{}", Legacy, Modern, "{}"),
        ("[]", Legacy, Legacy, "{}"),
    ] {
        let told_now = ClientCapabilities::parse(raw.as_bytes()).for_server(server, from);
        assert_eq!(std::str::from_utf8(&told_now).unwrap(), told);
    }
}

#[test]
fn p_115_only_an_object_declares_the_tasks_extension() {
    for (raw, declared) in [
        (r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, true),
        (r#"{"extensions":{"io.modelcontextprotocol/tasks":true}}"#, false),
        (r#"{"extensions":{}}"#, false),
        (r#"{"tasks":{}}"#, false),
    ] {
        let capabilities = ClientCapabilities::parse(raw.as_bytes());
        assert_eq!(capabilities.tasks(), declared, "{raw}");
        assert!(
            capabilities.profile().is_empty(),
            "no reason for a session of its own"
        );
        let without = capabilities.without_tasks();
        assert!(!String::from_utf8_lossy(&without).contains("/tasks"), "{raw}");
    }
}

#[test]
fn introductions_are_read() {
    let result = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s"}, "instructions": "do"});
    let read = InitializeResult::parse(result.to_string().as_bytes()).unwrap();
    assert_eq!(
        (read.protocol_version.as_str(), read.instructions.as_deref()),
        ("2025-06-18", Some("do"))
    );
    assert_eq!(read.server_info.as_deref(), Some(br#"{"name":"s"}"#.as_slice()));
    assert_eq!(read.capabilities.tools, Some(false));

    let result = json!({"supportedVersions": ["2026-07-28", 5], "capabilities": {}, "ttlMs": 9, "_meta": {"io.modelcontextprotocol/serverInfo": {}}});
    let read = DiscoverResult::parse(result.to_string().as_bytes()).unwrap();
    assert_eq!(
        (read.supported_versions, read.ttl_ms),
        (vec!["2026-07-28".to_owned()], 9)
    );
    assert_eq!(read.server_info.as_deref(), Some(b"{}".as_slice()));

    for bad in [
        "[]",
        "{}",
        r#"{"protocolVersion":"x"}"#,
        r#"{"protocolVersion":"x","capabilities":[]}"#,
    ] {
        assert!(InitializeResult::parse(bad.as_bytes()).is_err(), "{bad}");
        assert!(DiscoverResult::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn instructions_are_cut_between_characters() {
    let result = |n: usize| {
        let text = format!("{}é", "x".repeat(n));
        let result = json!({"protocolVersion": "x", "capabilities": {}, "instructions": text}).to_string();
        InitializeResult::parse(result.as_bytes())
            .unwrap()
            .instructions
            .unwrap()
            .len()
    };
    assert_eq!(result((16 << 10) - 2), 16 << 10);
    assert_eq!(result((16 << 10) - 1), (16 << 10) - 1);
    assert_eq!(result(1 << 20), 16 << 10);
}
