//! Extensions through several servers: skills and apps.

use serde_json::json;

use super::fake::{Came, Fake, Goes, modern, result};
use super::*;

const SKILLS: &str = "io.modelcontextprotocol/skills";
const UI: &str = "io.modelcontextprotocol/ui";

/// A modern server with one skill, whose files say whose they are.
async fn with_skill(root: &'static str, said: &'static str, directories: bool) -> Fake {
    Fake::start(move |came| skills(came, root, said, directories)).await
}

fn skills(came: &Came, root: &str, said: &str, directories: bool) -> Goes {
    let md = format!("{root}SKILL.md");
    let name = root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let skill = json!({
        "uri": md, "frontmatter": {"name": name, "description": said},
        "resources": [{"uri": md, "digest": "sha256:00", "size": 3}],
    });
    let asked = came.message["params"]["uri"].as_str().unwrap_or_default();
    let kept = |mut value: Value| {
        value["resultType"] = json!("complete");
        value["ttlMs"] = json!(60_000);
        value["cacheScope"] = json!("private");
        value
    };
    match came.message["method"].as_str() {
        Some("server/discover") => result(
            came,
            kept(json!({"supportedVersions": ["2026-07-28"], "capabilities": {
                "tools": {}, "resources": {},
                "extensions": {SKILLS: {"directoryRead": directories}, "com.example/unknown": {}},
            }})),
        ),
        Some("skills/list") => result(came, kept(json!({"skills": [skill]}))),
        Some("skills/get") if asked == md => result(came, kept(json!({"skill": skill}))),
        Some("resources/read") if asked.starts_with(root) => {
            result(came, kept(json!({"contents": [{"uri": asked, "text": said}]})))
        }
        Some("resources/list") => result(came, kept(json!({"resources": []}))),
        Some("resources/templates/list") => result(came, kept(json!({"resourceTemplates": []}))),
        Some("resources/directory/read") => result(
            came,
            json!({"resultType": "complete", "resources": [{"uri": md, "name": "SKILL.md"}]}),
        ),
        _ => modern(came, &[]).unwrap_or(Goes::Nothing),
    }
}

async fn ask(gate: &Gate, method: &str, params: Value) -> Value {
    gate.send(Ask::modern("alice", method, params)).await.json().await
}

fn two(one: &Fake, other: &Fake) -> ProxyConfig {
    config(
        vec![
            http("a", one.at, Protocol::Modern),
            http("bb", other.at, Protocol::Modern),
        ],
        vec![profile("default", &["a", "bb"])],
    )
}

#[tokio::test]
async fn p_114_skills_of_several_servers_are_read_as_they_are() {
    let (one, other) = (
        with_skill("skill://log/", "one", true).await,
        with_skill("skill://log/", "other", false).await,
    );
    let gate = Gate::new(two(&one, &other));
    let list = ask(&gate, "skills/list", json!({})).await;
    let uris: Vec<_> = list["result"]["skills"]
        .as_array()
        .expect("skills")
        .iter()
        .map(|s| s["uri"].clone())
        .collect();
    assert_eq!(uris, ["a+skill://log/SKILL.md", "bb+skill://log/SKILL.md"]);
    assert_eq!(list["result"]["ttlMs"], 60_000);
    for (uri, said) in [
        ("a+skill://log/SKILL.md", "one"),
        ("bb+skill://log/SKILL.md", "other"),
    ] {
        let got = ask(&gate, "skills/get", json!({"uri": uri})).await;
        assert_eq!(got["result"]["skill"]["frontmatter"]["description"], said);
        assert_eq!(got["result"]["skill"]["resources"][0]["uri"], uri);
        assert_eq!(got["result"]["cacheScope"], "private", "{got}");
        let read = ask(&gate, "resources/read", json!({"uri": uri})).await;
        assert_eq!(read["result"]["contents"][0], json!({"uri": uri, "text": said}));
    }
    let before = one.came("skills/get").len() + other.came("skills/get").len();
    for unclear in [
        "skill://log/SKILL.md",
        "c+skill://log/SKILL.md",
        "skill://nobody/SKILL.md",
    ] {
        let refused = ask(&gate, "skills/get", json!({"uri": unclear})).await;
        assert_eq!(refused["error"]["code"], -32602, "p_106 p_107 {unclear}");
    }
    assert_eq!(
        before,
        one.came("skills/get").len() + other.came("skills/get").len()
    );
}

#[tokio::test]
async fn directories_are_read_where_the_owner_says_so() {
    let (one, other) = (
        with_skill("skill://log/", "one", true).await,
        with_skill("skill://get/", "other", false).await,
    );
    let gate = Gate::new(two(&one, &other));
    let discover = ask(&gate, "server/discover", json!({})).await;
    assert_eq!(
        discover["result"]["capabilities"]["extensions"],
        json!({SKILLS: {"directoryRead": true}}),
        "what the gateway does not know is not promised"
    );
    let read = ask(&gate, "resources/directory/read", json!({"uri": "skill://log"})).await;
    assert_eq!(read["result"]["resources"][0]["uri"], "skill://log/SKILL.md");
    let refused = ask(&gate, "resources/directory/read", json!({"uri": "skill://get"})).await;
    assert_eq!(refused["error"]["code"], -32601, "{refused}");
}

#[tokio::test]
async fn no_skills_without_a_server_that_has_them() {
    let gate = Gate::new(demo());
    for (method, params) in [
        ("skills/list", json!({})),
        ("skills/get", json!({"uri": "skill://x/SKILL.md"})),
        ("resources/directory/read", json!({"uri": "skill://x"})),
    ] {
        let refused = gate.send(Ask::modern("alice", method, params)).await;
        assert_eq!(refused.code().await, -32601, "{method}");
    }
}

#[tokio::test]
async fn skills_obey_the_rules_for_resources() {
    let one = with_skill("skill://log/", "one", true).await;
    let mut config = config(
        vec![http("a", one.at, Protocol::Modern)],
        vec![profile("default", &["a"])],
    );
    config.endpoints[0].rules.resources = Selection::default();
    let gate = Gate::new(config);
    let list = ask(&gate, "skills/list", json!({})).await;
    assert_eq!(list["result"]["skills"], json!([]));
    for method in ["skills/get", "resources/read", "resources/directory/read"] {
        let refused = ask(&gate, method, json!({"uri": "skill://log/SKILL.md"})).await;
        assert_eq!(refused["error"]["code"], -32602, "{method}");
    }
}

#[tokio::test]
async fn p_109_unknown_members_pass_between_equals() {
    const RESULT: &str = r#"{"resultType":"complete","content":[{"type":"com.example/hologram","z":1.50}],"vendor":{"a":[1e2]},"_meta":{"com.example/k":"\u00e9"}}"#;
    let server = Fake::start(|came| match came.message["method"].as_str() {
        Some("tools/call") => Goes::Raw(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{RESULT}}}"#,
            came.message["id"]
        )),
        Some("tools/list") => result(
            came,
            json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
                {"name": "t", "inputSchema": {"type": "object", "x-future": [{}]}, "vendor": {"b": 1}}]}),
        ),
        _ => modern(came, &[]).unwrap_or(Goes::Nothing),
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", server.at, Protocol::Modern)],
        vec![profile("default", &["a"])],
    ));
    let list = ask(&gate, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"][0]["vendor"], json!({"b": 1}));
    assert_eq!(list["result"]["tools"][0]["inputSchema"]["x-future"], json!([{}]));
    let called = Ask::modern(
        "alice",
        "tools/call",
        json!({"name": "t", "arguments": {}, "com.example/more": [null]}),
    );
    let text = gate.send(called).await.text().await;
    assert!(
        text.contains(r#""z":1.50"#) && text.contains(r#""vendor":{"a":[1e2]}"#),
        "{text}"
    );
    assert!(text.contains(r#""com.example/k":"\u00e9""#), "{text}");
    let came = server.came("tools/call");
    assert_eq!(came[0].message["params"]["com.example/more"], json!([null]));
}

#[tokio::test]
async fn p_111_p_112_what_servers_point_to_is_never_fetched() {
    let canary = Fake::start(|_| Goes::Nothing).await;
    let bait = format!("http://{}/bait", canary.at);
    let pointing = bait.clone();
    let server = Fake::start(move |came| match came.message["method"].as_str() {
        Some("tools/list") => result(
            came,
            json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [{
                "name": "t", "icons": [{"src": pointing}],
                "inputSchema": {"$schema": pointing, "type": "object", "$ref": pointing, "properties": {"a": {"$ref": pointing}}},
                "outputSchema": {"$ref": pointing}, "_meta": {"ui": {"resourceUri": pointing}}
            }]}),
        ),
        Some("tools/call") => result(
            came,
            json!({"resultType": "input_required", "requestState": "s", "inputRequests": {"k": {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": "m", "url": pointing, "elicitationId": "e"}
            }}}),
        ),
        _ => modern(came, &[]).unwrap_or(Goes::Nothing),
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", server.at, Protocol::Modern)],
        vec![profile("default", &["a"])],
    ));
    let list = ask(&gate, "tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"][0]["inputSchema"]["$ref"], bait);
    let able = json!({"elicitation": {"url": {}}});
    let asks = gate
        .send(Ask::modern_with(
            "alice",
            "tools/call",
            json!({"name": "t", "arguments": {"a": 1}}),
            able,
        ))
        .await
        .json()
        .await;
    assert_eq!(
        asks["result"]["inputRequests"]["k"]["params"]["url"], bait,
        "{asks}"
    );
    assert_eq!(canary.all(), 0);
}

/// A modern server with an app and these tools.
async fn with_app(tools: &'static [&'static str]) -> Fake {
    Fake::start(move |came| match came.message["method"].as_str() {
        Some("server/discover") => result(
            came,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {}, "extensions": {UI: {"mimeTypes": ["text/html;profile=mcp-app"]}}}}),
        ),
        _ => modern(came, tools).unwrap_or(Goes::Nothing),
    })
    .await
}

#[tokio::test]
async fn apps_are_offered_where_they_can_call_their_tools() {
    for (first, second, offered) in [(["show"], ["hide"], true), (["show"], ["show"], false)] {
        let leak = |tools: [&'static str; 1]| &*Box::leak(Box::new(tools));
        let (one, other) = (with_app(leak(first)).await, with_app(leak(second)).await);
        let gate = Gate::new(two(&one, &other));
        ask(&gate, "tools/list", json!({})).await;
        let discover = ask(&gate, "server/discover", json!({})).await;
        let extensions = &discover["result"]["capabilities"]["extensions"];
        assert_eq!(extensions.get(UI).is_some(), offered, "{first:?} {second:?}");
    }
}
