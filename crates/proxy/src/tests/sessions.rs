//! Legacy sessions.

use serde_json::json;

use super::*;

fn call(session: &str, tool: &str, arguments: Value) -> Ask {
    Ask::legacy(
        "alice",
        Some(session),
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    )
}

#[tokio::test]
async fn p_72_versions_are_negotiated() {
    let gate = Gate::new(demo());
    for (asked, answered) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let ask = Ask::legacy(
            "alice",
            None,
            "initialize",
            json!({"protocolVersion": asked, "capabilities": {}}),
        )
        .with("mcp-protocol-version", asked)
        .with("mcp-method", "initialize");
        let value = gate.send(ask).await.json().await;
        assert_eq!(value["result"]["protocolVersion"], answered, "{asked}");
        assert_eq!(value["result"]["serverInfo"]["name"], "sallyport");
        assert!(value["result"].get("resultType").is_none());
    }
}

#[tokio::test]
async fn p_73_a_session_is_needed_and_found() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    assert!(id.bytes().all(|b| matches!(b, 0x21..=0x7e)));
    let with = |session: &str| gate.send(call(session, "echo", json!({"text": "x"})));
    assert_eq!(with(&id).await.status, 200);
    assert_eq!(with("nonsense").await.status, 404);
    let without = gate
        .send(Ask::legacy("alice", None, "tools/list", json!({})))
        .await;
    assert_eq!(without.status, 400);
    let pong = gate
        .send(Ask::legacy("alice", Some(&id), "ping", json!({})))
        .await
        .json()
        .await;
    assert_eq!(pong, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
}

#[tokio::test]
async fn is_01_a_session_of_another_is_as_if_it_were_not_there() {
    let mut config = demo();
    config.endpoints.push(profile("b", &["demo"]));
    let gate = Gate::new(config);
    let id = gate.session("alice", json!({})).await;
    let bob = |method| {
        let mut ask = Ask::legacy("bob", Some(&id), "tools/list", json!({}));
        ask.method = method;
        ask
    };
    for method in ["POST", "GET", "DELETE"] {
        let theirs = gate.send(bob(method)).await;
        assert_eq!(theirs.status, 404, "{method}");
    }
    let elsewhere = Ask::legacy("alice", Some(&id), "tools/list", json!({})).at("/mcp/b");
    assert_eq!(gate.send(elsewhere).await.status, 404, "another endpoint");
    assert_eq!(
        gate.send(Ask::legacy("alice", Some(&id), "tools/list", json!({})))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn r25_a_session_survives_a_restart_but_not_its_end() {
    let before = Gate::new(demo());
    let id = before.session("alice", json!({})).await;
    let after = Gate::new(demo());
    assert_eq!(
        after.send(call(&id, "echo", json!({"text": "x"}))).await.status,
        200
    );
    let end = || {
        Ask::bare("DELETE")
            .with("authorization", "Bearer alice")
            .with("mcp-session-id", &id)
    };
    assert_eq!(after.send(end()).await.status, 204);
    assert_eq!(after.send(end()).await.status, 404);
    assert_eq!(
        after.send(call(&id, "echo", json!({"text": "x"}))).await.status,
        404
    );
}

#[tokio::test]
async fn a_session_ends_with_its_absolute_age() {
    let mut config = demo();
    config.limits.session_idle = ProxyLimits::default().session_absolute;
    let gate = Gate::new(config);
    let id = gate.session("alice", json!({})).await;
    let age = i64::try_from(ProxyLimits::default().session_absolute.as_millis()).expect("an age");
    gate.clock.0.store(1_000_000 + age, Ordering::Relaxed);
    assert_eq!(
        gate.send(call(&id, "echo", json!({"text": "x"}))).await.status,
        200,
        "at the limit"
    );
    gate.clock.0.store(1_000_001 + age, Ordering::Relaxed);
    assert_eq!(
        gate.send(call(&id, "echo", json!({"text": "x"}))).await.status,
        404,
        "past it"
    );
}

#[tokio::test]
async fn the_oldest_idle_session_makes_room() {
    let mut config = demo();
    config.limits.sessions_per_principal = 2;
    let gate = Gate::new(config);
    let first = gate.session("alice", json!({})).await;
    let stream = gate.send(Ask::get("alice", &first)).await;
    gate.clock.0.fetch_add(1, Ordering::Relaxed);
    let _second = gate.session("alice", json!({})).await;
    gate.clock.0.fetch_add(1, Ordering::Relaxed);
    let third = gate.session("alice", json!({})).await;
    let busy = gate.send(Ask::get("alice", &third)).await;
    let ask = Ask::legacy(
        "alice",
        None,
        "initialize",
        json!({"protocolVersion": "2025-06-18", "capabilities": {}}),
    );
    assert_eq!(gate.send(ask).await.status, 429, "both are busy");
    drop((stream, busy));
}

#[tokio::test]
async fn p_23_the_stream_of_a_session() {
    let gate = Gate::new(demo());
    let bare = Ask::bare("GET").with("authorization", "Bearer alice");
    assert_eq!(gate.send(bare).await.status, 405);
    let id = gate.session("alice", json!({})).await;
    let json_only = Ask::get("alice", &id).with("accept", "application/json");
    assert_eq!(gate.send(json_only).await.status, 406);
    let mut stream = gate.send(Ask::get("alice", &id)).await;
    assert!(stream.is_events());
    let mut changed = demo();
    changed.endpoints[0].rules = only_tools(&["echo"]);
    gate.proxy.apply(changed);
    let event = stream.event().await.expect("a change");
    assert_eq!(
        event,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    let list = gate
        .send(Ask::legacy("alice", Some(&id), "tools/list", json!({})))
        .await
        .json()
        .await;
    assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(1));
    assert!(list["result"].get("ttlMs").is_none(), "p_81");
    let end = Ask::bare("DELETE")
        .with("authorization", "Bearer alice")
        .with("mcp-session-id", &id);
    assert_eq!(gate.send(end).await.status, 204);
    assert_eq!(
        stream.event().await,
        None,
        "p_80: the stream ends with the session"
    );
}

#[tokio::test]
async fn p_142_streams_at_the_limit_and_one_past_it() {
    let mut config = demo();
    config.limits.streams_per_principal = 1;
    let gate = Gate::new(config);
    let id = gate.session("alice", json!({})).await;
    let open = gate.send(Ask::get("alice", &id)).await;
    assert_eq!(open.status, 200);
    assert_eq!(gate.send(Ask::get("alice", &id)).await.status, 429);
    drop(open);
    assert_eq!(gate.send(Ask::get("alice", &id)).await.status, 200);
}

#[tokio::test]
async fn p_22_an_unknown_method_is_not_a_lost_session() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    for method in ["foo/bar", "server/discover", "tasks/list"] {
        let answer = gate
            .send(Ask::legacy("alice", Some(&id), method, json!({})))
            .await;
        assert_eq!((answer.status, answer.code().await), (200, -32601), "{method}");
    }
}

#[tokio::test]
async fn p_75_the_version_header_of_a_session() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let with = |version| {
        gate.send(Ask::legacy("alice", Some(&id), "ping", json!({})).with("mcp-protocol-version", version))
    };
    assert_eq!(with("2025-06-18").await.status, 200);
    assert_eq!(with("2025-11-25").await.status, 200);
    assert_eq!(with("1999-01-01").await.status, 400);
}

#[tokio::test]
async fn prompts_resources_completion_and_levels() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let ask = |method: &'static str, params: Value| {
        let ask = Ask::legacy("alice", Some(&id), method, params);
        let gate = &gate;
        async move { gate.send(ask).await.json().await }
    };
    let prompt = ask(
        "prompts/get",
        json!({"name": "explain", "arguments": {"topic": "PKCE"}}),
    )
    .await;
    assert!(prompt["result"]["messages"].is_array());
    let read = ask("resources/read", json!({"uri": "demo://greeting/Ada"})).await;
    assert_eq!(read["result"]["contents"][0]["text"], "Hello, Ada!");
    let missing = ask("resources/read", json!({"uri": "demo://nowhere"})).await;
    assert_eq!(missing["error"]["code"], -32002);
    let reference = json!({"ref": {"type": "ref/prompt", "name": "explain"}, "argument": {"name": "topic", "value": "p"}});
    assert_eq!(
        ask("completion/complete", reference).await["result"]["completion"]["values"],
        json!(["PKCE"])
    );
    assert_eq!(
        ask("logging/setLevel", json!({"level": "info"})).await["result"],
        json!({})
    );
    assert_eq!(
        ask("logging/setLevel", json!({"level": "loud"})).await["error"]["code"],
        -32602
    );
    assert_eq!(
        ask("resources/subscribe", json!({"uri": "demo://welcome"})).await["result"],
        json!({})
    );
    assert_eq!(
        ask("resources/unsubscribe", json!({"uri": "demo://welcome"})).await["result"],
        json!({})
    );
}

#[tokio::test]
async fn an_idle_session_leaves_memory_and_comes_back_by_its_id() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let limits = ProxyLimits::default();
    let idle = 8 * 3600 * 1000;
    let in_memory = || {
        let mut count = 0;
        gate.proxy.sessions.each(|_| count += 1);
        count
    };
    gate.clock.0.store(1_000_000 + idle, Ordering::Relaxed);
    gate.proxy.sessions.sweep(&limits);
    assert_eq!(in_memory(), 1, "at the limit");
    gate.clock.0.store(1_000_001 + idle, Ordering::Relaxed);
    gate.proxy.sessions.sweep(&limits);
    assert_eq!(in_memory(), 0, "past it");
    assert_eq!(
        gate.send(call(&id, "echo", json!({"text": "x"}))).await.status,
        200
    );
    assert_eq!(in_memory(), 1);
}
