//! Scopes: what a token allows at which server, and what is said where it does not.

use serde_json::json;

use super::*;

/// Two servers that have the same things.
fn twins() -> ProxyConfig {
    config(
        vec![server("demo", Transport::Demo), server("twin", Transport::Demo)],
        vec![profile("default", &["demo", "twin"])],
    )
}

fn call(who: &str, tool: &str) -> Ask {
    let params = json!({"name": tool, "arguments": {"text": "x", "message": "x"}});
    Ask::modern(who, "tools/call", params)
}

async fn offered(gate: &Gate, who: &str, method: &str, member: &str) -> Vec<String> {
    let list = gate.send(Ask::modern(who, method, json!({}))).await.json().await;
    let items = list["result"][member].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| Some(item["name"].as_str()?.to_owned());
    items.iter().filter_map(name).collect()
}

#[tokio::test]
async fn p_123_a_wider_scope_is_good_for_all_that_it_contains() {
    let gate = Gate::new(twins());
    for (scopes, tool, status) in [
        ("mcp", "demo__time", 200),
        ("mcp.write", "twin__time", 200),
        ("mcp.demo.write", "demo__time", 200),
        ("mcp.read+mcp.demo.write", "demo__time", 200),
        ("mcp.demo.write", "twin__time", 403),
        ("mcp.read+mcp.demo.write", "twin__time", 403),
        ("mcp.read", "demo__time", 403),
        ("mcp.demo.read", "demo__time", 403),
    ] {
        let answer = gate.send(call(&format!("alice/{scopes}"), tool)).await;
        assert_eq!(answer.status, status, "{scopes} {tool}");
    }
    for (scopes, method, params) in [
        ("mcp.read", "prompts/list", json!({})),
        (
            "mcp.demo.write",
            "resources/read",
            json!({"uri": "demo://welcome"}),
        ),
        ("mcp.demo.read", "server/discover", json!({})),
    ] {
        let answer = gate
            .send(Ask::modern(&format!("alice/{scopes}"), method, params))
            .await;
        assert_eq!(answer.status, 200, "{scopes} {method}");
    }
}

#[tokio::test]
async fn p_119_au_07_a_call_names_every_scope_that_it_takes() {
    let gate = Gate::new(twins());
    for (scopes, needed) in [
        ("mcp.read", "mcp:read mcp:write"),
        ("openid+mcp.read", "mcp:read mcp:write openid"),
        ("mcp.demo.write", "mcp:demo:write mcp:twin:write"),
    ] {
        let answer = gate.send(call(&format!("alice/{scopes}"), "twin__time")).await;
        assert_eq!(answer.status, 403, "{scopes}");
        let challenge = answer.header("www-authenticate").expect("a challenge").to_owned();
        for part in [
            "error=\"insufficient_scope\"",
            &format!("scope=\"{needed}\""),
            "resource_metadata=\"http://127.0.0.1:8717/.well-known/oauth-protected-resource/mcp",
        ] {
            assert!(challenge.contains(part), "{part} {challenge}");
        }
        let message = answer.json().await;
        assert_eq!(message["id"], "m1");
        assert_eq!(message["error"]["data"]["scope"], needed);
    }
    let reasons: Vec<_> = gate.trail.events().into_iter().filter_map(|e| e.reason).collect();
    assert_eq!(reasons, ["scope", "scope", "scope"]);
}

#[tokio::test]
async fn au_07_a_session_is_told_too_and_goes_on() {
    let gate = Gate::new(demo());
    let who = "alice/mcp.read";
    let opening = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
    let opened = gate.send(Ask::legacy(who, None, "initialize", opening)).await;
    let session = opened.header("mcp-session-id").expect("a session").to_owned();
    let time = || json!({"name": "time", "arguments": {}});
    let short = gate
        .send(Ask::legacy(who, Some(&session), "tools/call", time()))
        .await;
    assert_eq!(short.status, 403);
    let challenge = short.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("scope=\"mcp:read mcp:write\""), "{challenge}");
    // Stepped up, the same session goes on.
    let more = gate
        .send(Ask::legacy(
            "alice/mcp.read+mcp.write",
            Some(&session),
            "tools/call",
            time(),
        ))
        .await;
    assert_eq!(more.status, 200);
}

#[tokio::test]
async fn is_11_a_scope_for_what_is_forbidden_is_not_told() {
    let mut config = twins();
    config.endpoints[0].rules.tools.deny =
        vec![sallyport_core::policy::Glob::parse("twin__*").expect("a glob")];
    let gate = Gate::new(config);
    for tool in ["twin__time", "nonsense"] {
        let answer = gate.send(call("alice/mcp.demo.read", tool)).await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (200, None),
            "{tool}"
        );
        assert_eq!(answer.code().await, -32602, "{tool}");
    }
}

#[tokio::test]
async fn only_what_the_scopes_open_is_listed() {
    let gate = Gate::new(twins());
    let all = offered(&gate, "alice", "tools/list", "tools").await;
    assert_eq!(offered(&gate, "alice/mcp.read", "tools/list", "tools").await, all);
    let one = offered(&gate, "alice/mcp.demo.read", "tools/list", "tools").await;
    assert!(
        !one.is_empty() && one.iter().all(|name| name.starts_with("demo__")),
        "{one:?}"
    );
    assert_eq!(one.len() * 2, all.len());
    let prompts = offered(&gate, "alice/mcp.twin.write", "prompts/list", "prompts").await;
    assert!(
        !prompts.is_empty() && prompts.iter().all(|name| name.starts_with("twin__")),
        "{prompts:?}"
    );
    assert!(
        offered(&gate, "alice/mcp.gone.write", "tools/list", "tools")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn p_70_a_page_of_what_the_scopes_open_goes_on_with_the_next() {
    let mut config = twins();
    config.limits.page_items = 2;
    let gate = Gate::new(config);
    let (mut seen, mut cursor) = (Vec::new(), json!({}));
    loop {
        let ask = Ask::modern("alice/mcp.twin.read", "tools/list", cursor);
        let list = gate.send(ask).await.json().await;
        assert_eq!(list["result"]["cacheScope"], "private");
        let tools = list["result"]["tools"].as_array().expect("tools").clone();
        seen.extend(
            tools
                .iter()
                .filter_map(|tool| tool["name"].as_str().map(str::to_owned)),
        );
        match list["result"]["nextCursor"].as_str() {
            Some(next) => cursor = json!({"cursor": next}),
            None => break,
        }
    }
    assert_eq!(
        seen,
        offered(&Gate::new(twins()), "alice/mcp.twin.read", "tools/list", "tools").await
    );
    assert!(seen.len() > 2, "{seen:?}");
}

#[tokio::test]
async fn another_proxys_question_needs_the_whole_scope() {
    let gate = Gate::new(demo());
    for (who, status) in [
        ("alice", 200),
        ("alice/mcp.write", 200),
        ("alice/mcp.read", 403),
        ("alice/mcp.demo.write", 403),
    ] {
        let inbound = Ask::bare("GET")
            .with("authorization", &format!("Bearer {who}"))
            .inbound();
        let response = gate.proxy.verify(&inbound, false);
        assert_eq!(response.status(), status, "{who}");
    }
}
