//! Two servers with the same names: told apart in a profile, untouched where one is alone.

use serde_json::{Value, json};

use super::fake::{Fake, Goes};
use super::{
    Ask, EndpointKind, EndpointSpec, Gate, Naming, Protocol, ProxyConfig, config, http, name, profile,
    resource,
};

const TOOL: &str = r#"{"name":"search", "inputSchema":{ "type":"object"},"x":1.50}"#;
const RESOURCE: &str = r#"{"uri":"res://x", "name":"X","vendor":[1e2]}"#;
const PROMPT: &str = r#"{"name":"p", "title":"\u0050"}"#;
const FOUND: &str = r#"{ "content":[ {"type":"resource_link","uri":"res://x","name":"n"},{"type":"text","text":"LABEL"} ],"v":1e2,"resultType":"complete"}"#;
const READ: &str = r#"{"contents":[ {"uri":"res://x","text":"LABEL"} ],"ttlMs":0,"cacheScope":"private","resultType":"complete","v":1.50}"#;
const SAID: &str = r#"{"messages":[ {"role":"user","content":{"type":"resource","resource":{"uri":"res://x","text":"LABEL"}}} ],"resultType":"complete"}"#;

/// A modern server that has them all.
async fn twin(label: &'static str) -> Fake {
    Fake::start(move |came| {
        let list = |member: &str, item: &str| {
            format!(r#"{{"resultType":"complete","{member}":[{item}],"ttlMs":0,"cacheScope":"private"}}"#)
        };
        let result = match came.message["method"].as_str().unwrap_or_default() {
            "server/discover" => r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"ttlMs":0,
                "cacheScope":"private","capabilities":{"tools":{},"resources":{},"prompts":{}}}"#
                .to_owned(),
            "tools/list" => list("tools", TOOL),
            "resources/list" => list("resources", RESOURCE),
            "resources/templates/list" => list("resourceTemplates", ""),
            "prompts/list" => list("prompts", PROMPT),
            "tools/call" => FOUND.replace("LABEL", label),
            "resources/read" => READ.replace("LABEL", label),
            "prompts/get" => SAID.replace("LABEL", label),
            _ => return Goes::Nothing,
        };
        let result = result.replace('\n', "");
        Goes::Raw(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
            came.message["id"]
        ))
    })
    .await
}

fn alone(label: &str, path: &str) -> EndpointSpec {
    EndpointSpec {
        kind: EndpointKind::Server(name(label)),
        paths: vec![path.to_owned()],
        resources: vec![resource(path)],
        naming: Naming::Never,
        ..profile("x", &[label])
    }
}

fn both(one: &Fake, two: &Fake) -> ProxyConfig {
    config(
        vec![
            http("one", one.at, Protocol::Modern),
            http("two", two.at, Protocol::Modern),
        ],
        vec![
            profile("default", &["one", "two"]),
            alone("one", "/servers/one/mcp"),
            alone("two", "/servers/two/mcp"),
        ],
    )
}

async fn ask(gate: &Gate, path: &'static str, method: &str, params: Value) -> String {
    gate.send(Ask::modern("alice", method, params).at(path))
        .await
        .text()
        .await
}

fn keys(list: &str, member: &str, key: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(list).expect("JSON");
    let items = list["result"][member].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .map(|item| item[key].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn p_105_p_109_one_server_alone_is_untouched_where_a_profile_has_to_rename() {
    let (one, two) = (twin("one").await, twin("two").await);
    let gate = Gate::new(both(&one, &two));
    for (method, member, key, names) in [
        ("tools/list", "tools", "name", ["one__search", "two__search"]),
        ("prompts/list", "prompts", "name", ["one__p", "two__p"]),
        (
            "resources/list",
            "resources",
            "uri",
            ["one+res://x", "two+res://x"],
        ),
    ] {
        assert_eq!(
            keys(&ask(&gate, "/mcp", method, json!({})).await, member, key),
            names
        );
    }
    for (path, label) in [("/servers/one/mcp", "one"), ("/servers/two/mcp", "two")] {
        for (method, item) in [
            ("tools/list", TOOL),
            ("prompts/list", PROMPT),
            ("resources/list", RESOURCE),
        ] {
            let list = ask(&gate, path, method, json!({})).await;
            assert!(list.contains(&format!(":[{item}]")), "{method}: {list}");
        }
        for (method, params, result) in [
            ("tools/call", json!({"name": "search", "arguments": {}}), FOUND),
            ("resources/read", json!({"uri": "res://x"}), READ),
            ("prompts/get", json!({"name": "p"}), SAID),
        ] {
            let expected = result.replace("LABEL", label);
            let answer = ask(&gate, path, method, params).await;
            assert_eq!(
                answer,
                format!(r#"{{"jsonrpc":"2.0","id":"m1","result":{expected}}}"#)
            );
        }
    }
}

#[tokio::test]
async fn p_106_p_108_a_link_in_a_result_is_read_at_the_server_that_gave_it() {
    let (one, two) = (twin("one").await, twin("two").await);
    let gate = Gate::new(both(&one, &two));
    for label in ["one", "two"] {
        let tool = format!("{label}__search");
        let found = ask(
            &gate,
            "/mcp",
            "tools/call",
            json!({"name": tool, "arguments": {}}),
        )
        .await;
        let found: Value = serde_json::from_str(&found).expect("JSON");
        let said = ask(
            &gate,
            "/mcp",
            "prompts/get",
            json!({"name": format!("{label}__p")}),
        )
        .await;
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let links = [
            &found["result"]["content"][0]["uri"],
            &said["result"]["messages"][0]["content"]["resource"]["uri"],
        ];
        for link in links {
            let read = ask(&gate, "/mcp", "resources/read", json!({"uri": link})).await;
            let read: Value = serde_json::from_str(&read).expect("JSON");
            assert_eq!(read["result"]["contents"][0]["text"], label, "{link}");
            assert_eq!(&read["result"]["contents"][0]["uri"], link);
        }
    }
    let heard = |fake: &Fake| fake.all();
    let before = (heard(&one), heard(&two));
    for (method, params) in [
        ("tools/call", json!({"name": "three__search"})),
        ("tools/call", json!({"name": "search"})),
        ("prompts/get", json!({"name": "three__p"})),
        ("prompts/get", json!({"name": "p"})),
        ("resources/read", json!({"uri": "three+res://x"})),
        ("resources/read", json!({"uri": "res://x"})),
    ] {
        let answer = ask(&gate, "/mcp", method, params.clone()).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["error"]["code"], -32602, "{method} {params}");
    }
    assert_eq!((heard(&one), heard(&two)), before, "no server was asked");
}
