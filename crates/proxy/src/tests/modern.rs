//! The modern era: what a request must say, and what comes of it.

use serde_json::json;

use super::*;

fn echo() -> Ask {
    Ask::modern(
        "alice",
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "hello"}}),
    )
}

#[tokio::test]
async fn p_14_to_p_21_headers_and_body_must_agree() {
    let gate = Gate::new(demo());
    let rows: Vec<(&str, Ask, u16, i64)> = vec![
        ("p_10", echo().without("mcp-protocol-version"), 400, -32020),
        (
            "p_11 hm_04",
            echo().with("mcp-protocol-version", "2025-11-25"),
            400,
            -32020,
        ),
        (
            "p_12",
            echo().with("mcp-protocol-version", "2031-01-01"),
            400,
            -32022,
        ),
        ("p_14 hm_03", echo().without("mcp-method"), 400, -32020),
        ("p_14 hm_01", echo().with("mcp-method", "tools/list"), 400, -32020),
        ("p_14 case", echo().with("mcp-method", "Tools/call"), 400, -32020),
        ("p_15 hm_03", echo().without("mcp-name"), 400, -32020),
        ("p_15 hm_02", echo().with("mcp-name", "add"), 400, -32020),
        (
            "p_17 hm_06",
            echo().with("mcp-name", "=?base64?ZWNo!bw==?="),
            400,
            -32020,
        ),
        ("p_21 hm_07", echo().and("mcp-name", "echo"), 400, -32020),
        (
            "p_21 hm_07",
            echo().and("mcp-protocol-version", "2026-07-28"),
            400,
            -32020,
        ),
    ];
    for (id, ask, status, code) in rows {
        let answer = gate.send(ask).await;
        assert_eq!(answer.status, status, "{id}");
        let value = answer.json().await;
        assert_eq!(value["error"]["code"], code, "{id} {value}");
        assert_eq!(value["id"], "m1", "{id}");
    }
    assert!(gate.trail.events().is_empty(), "nothing was carried out");
    let encoded = gate.send(echo().with("mcp-name", "=?base64?ZWNobw==?=")).await;
    assert_eq!(encoded.status, 200);
}

#[tokio::test]
async fn p_12_an_unknown_version_is_answered_with_those_that_are_spoken() {
    let gate = Gate::new(demo());
    let value = gate
        .send(echo().with("mcp-protocol-version", "nonsense"))
        .await
        .json()
        .await;
    assert_eq!(value["error"]["data"]["requested"], "nonsense");
    assert_eq!(value["error"]["data"]["supported"][0], "2026-07-28");
}

#[tokio::test]
async fn p_13_what_meta_must_have() {
    let gate = Gate::new(demo());
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
    let ask = |body: &Value| {
        Ask::post("alice", body.to_string())
            .with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", "tools/list")
    };
    let answer = gate.send(ask(&bare)).await;
    assert_eq!((answer.status, answer.code().await), (400, -32602));
    let mut half = bare.clone();
    half["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let answer = gate.send(ask(&half)).await;
    assert_eq!((answer.status, answer.code().await), (400, -32602));
}

#[tokio::test]
async fn p_22_jr_10_unknown_methods_are_not_found() {
    let gate = Gate::new(demo());
    for method in [
        "foo/bar",
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "tasks/get",
        "notifications/progress",
    ] {
        let answer = gate
            .send(Ask::modern("alice", method, json!({"taskId": "t"})).with("mcp-name", "t"))
            .await;
        assert_eq!(answer.status, 404, "{method}");
        assert_eq!(answer.code().await, -32601, "{method}");
    }
}

#[tokio::test]
async fn p_26_notifications_are_accepted_and_never_answered() {
    let gate = Gate::new(demo());
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    for (method, status) in [
        ("notifications/cancelled", 202),
        ("notifications/unheard_of", 202),
        ("tools/call", 202),
        ("notifications/tools/list_changed", 400),
    ] {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": {"_meta": meta, "name": "echo"}});
        let answer = gate.send(Ask::post("alice", body.to_string())).await;
        assert_eq!(answer.status, status, "{method}");
    }
    assert!(gate.trail.events().is_empty(), "jr_15: nothing was carried out");
}

#[tokio::test]
async fn p_24_a_stray_session_id_is_ignored() {
    let gate = Gate::new(demo());
    let answer = gate
        .send(
            echo()
                .with("mcp-session-id", "nonsense")
                .with("last-event-id", "7"),
        )
        .await;
    assert_eq!((answer.status, answer.header("mcp-session-id")), (200, None));
}

#[tokio::test]
async fn a_call_is_carried_out_and_recorded() {
    let gate = Gate::new(demo());
    let value = gate.send(echo()).await.json().await;
    assert_eq!(value["id"], "m1");
    assert_eq!(value["result"]["resultType"], "complete");
    assert_eq!(value["result"]["content"][0]["text"], "hello");
    let events = gate.trail.events();
    assert_eq!(
        gate.trail.outcomes(),
        [
            sallyport_core::audit::Outcome::Started,
            sallyport_core::audit::Outcome::Ok
        ]
    );
    assert_eq!(events[1].target.as_deref(), Some("echo"));
    assert_eq!(events[1].server.as_ref().map(|s| s.as_str()), Some("demo"));
    assert_eq!(events[1].profile.as_ref().map(|p| p.as_str()), Some("default"));
}

#[tokio::test]
async fn p_30_progress_and_the_response_come_as_events() {
    let gate = Gate::new(demo());
    let ask = Ask::modern(
        "alice",
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 2}, "_meta": {"progressToken": 7}}),
    );
    let mut answer = gate.send(ask).await;
    assert!(answer.is_events());
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let first = answer.event().await.expect("progress");
    assert_eq!(first["method"], "notifications/progress");
    assert_eq!(first["params"]["progressToken"], 7);
    let last = answer.last().await;
    assert_eq!(
        (&last["id"], &last["result"]["resultType"]),
        (&json!("m1"), &json!("complete"))
    );
}

#[tokio::test]
async fn p_31_a_client_that_leaves_cancels() {
    let gate = Gate::new(demo());
    let ask = Ask::modern(
        "alice",
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 9}, "_meta": {"progressToken": 7}}),
    );
    let answer = gate.send(ask).await;
    drop(answer);
    assert_eq!(
        gate.trail.outcomes().last(),
        Some(&sallyport_core::audit::Outcome::Cancelled)
    );
}

#[tokio::test]
async fn is_11_unknown_and_forbidden_look_alike() {
    let mut config = demo();
    config.endpoints[0].rules = only_tools(&["echo"]);
    let gate = Gate::new(config);
    let ask = |tool: &str| Ask::modern("alice", "tools/call", json!({"name": tool}));
    let forbidden = gate.send(ask("add")).await.json().await;
    let unknown = gate.send(ask("nothing")).await.json().await;
    assert_eq!(
        forbidden["error"],
        json!({"code": -32602, "message": "Unknown tool: add"})
    );
    assert_eq!(
        unknown["error"],
        json!({"code": -32602, "message": "Unknown tool: nothing"})
    );
    let reasons: Vec<_> = gate.trail.events().into_iter().filter_map(|e| e.reason).collect();
    assert_eq!(reasons, ["not shown", "not shown"]);
    let list = gate
        .send(Ask::modern("alice", "tools/list", json!({})))
        .await
        .json()
        .await;
    assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn p_43_a_missing_resource_is_an_error() {
    let gate = Gate::new(demo());
    let value = gate
        .send(Ask::modern(
            "alice",
            "resources/read",
            json!({"uri": "demo://nowhere"}),
        ))
        .await
        .json()
        .await;
    assert_eq!(value["error"]["code"], -32602);
    let climbing = gate
        .send(Ask::modern(
            "alice",
            "resources/read",
            json!({"uri": "demo://greeting/../x"}),
        ))
        .await;
    assert_eq!(climbing.code().await, -32602);
}

#[tokio::test]
async fn al_04_without_a_trail_no_call_is_made() {
    let gate = Gate::new(demo());
    gate.trail.break_it();
    let answer = gate.send(echo()).await;
    assert_eq!((answer.status, answer.code().await), (503, -32603));
}

#[tokio::test]
async fn p_142_calls_at_the_limit_and_one_past_it() {
    let mut config = demo();
    config.limits.calls_per_principal = 1;
    let gate = Gate::new(config);
    let slow = || {
        Ask::modern(
            "alice",
            "tools/call",
            json!({"name": "countdown", "arguments": {"from": 9}, "_meta": {"progressToken": 7}}),
        )
    };
    let running = gate.send(slow()).await;
    assert_eq!(running.status, 200);
    assert_eq!(gate.send(slow()).await.status, 429);
    assert_eq!(
        gate.send(Ask::modern(
            "bob",
            "tools/call",
            json!({"name": "echo", "arguments": {"text": "x"}})
        ))
        .await
        .status,
        200
    );
    drop(running);
    assert_eq!(gate.send(echo()).await.status, 200);
}

#[tokio::test]
async fn p_56_a_listener_hears_the_acknowledgement_first_and_then_changes() {
    let gate = Gate::new(demo());
    let ask = Ask::modern(
        "alice",
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut answer = gate.send(ask).await;
    assert!(answer.is_events());
    let first = answer.event().await.expect("the acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true})
    );
    let mut changed = demo();
    changed.endpoints[0].rules = only_tools(&["echo"]);
    gate.proxy.apply(changed);
    let event = answer.event().await.expect("a change");
    assert_eq!(event["method"], "notifications/tools/list_changed");
    assert_eq!(
        event["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "m1"
    );
    gate.proxy.close_streams();
    let last = answer.last().await;
    assert_eq!(
        last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "m1"
    );
}

#[tokio::test]
async fn a_listener_ends_with_its_token() {
    let mut config = demo();
    config.limits.keep_alive = Duration::from_millis(10);
    let gate = Gate::new(config);
    let ask = Ask::modern(
        "short",
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut answer = gate.send(ask).await;
    answer.event().await.expect("the acknowledgement");
    gate.clock.0.store(1_060_000, Ordering::Relaxed);
    let last = answer.last().await;
    assert_eq!(last["result"]["resultType"], "complete");
}
