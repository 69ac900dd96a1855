//! What a client of one era hears of a server of the other, one rule at a time.

use std::sync::atomic::AtomicUsize;

use tokio::sync::mpsc;

use super::bridge::gate_to;
use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::*;

/// Everything that a modern client can ask the demo server without more ado.
fn asks() -> Vec<Ask> {
    let ask = |method: &str, params: Value| Ask::modern("alice", method, params);
    vec![
        ask("server/discover", json!({})),
        ask("tools/list", json!({})),
        ask("prompts/list", json!({})),
        ask("resources/list", json!({})),
        ask("resources/templates/list", json!({})),
        ask("tools/call", json!({"name": "echo", "arguments": {"text": "x"}})),
        ask("resources/read", json!({"uri": "demo://welcome"})),
    ]
}

#[tokio::test]
async fn p_34_p_36_every_modern_result_says_its_type_and_how_long_it_holds() {
    let gate = Gate::new(demo());
    for ask in asks() {
        let body = String::from_utf8_lossy(&ask.body).into_owned();
        let answer = gate.send(ask).await.json().await;
        let result = &answer["result"];
        assert_eq!(result["resultType"], "complete", "{body}: {answer}");
        let hinted = result["ttlMs"].is_u64() && result["cacheScope"].is_string();
        assert_eq!(hinted, !body.contains("tools/call"), "{body}: {answer}");
    }
}

#[tokio::test]
async fn p_46_p_49_what_a_server_may_not_ask_is_named() {
    for (question, required) in [
        (json!({"method": "roots/list"}), json!({"roots": {}})),
        (
            json!({"method": "sampling/createMessage", "params": {"tools": []}}),
            json!({"sampling": {"tools": {}}}),
        ),
        (
            json!({"method": "elicitation/create", "params": {"mode": "url", "url": "u"}}),
            json!({"elicitation": {"url": {}}}),
        ),
    ] {
        let asks = json!({"resultType": "input_required", "inputRequests": {"k": question}});
        let fake = Fake::start(move |came: &Came| {
            modern(came, &["ask"]).unwrap_or_else(|| result(came, asks.clone()))
        })
        .await;
        let gate = gate_to(&fake, Protocol::Modern).await;
        let can = json!({"elicitation": {}, "sampling": {}});
        let answer = gate
            .send(Ask::modern_with(
                "alice",
                "tools/call",
                json!({"name": "ask"}),
                can,
            ))
            .await;
        assert_eq!(answer.status, 400);
        let error = answer.json().await["error"].clone();
        assert_eq!(error["code"], -32021, "{error}");
        assert_eq!(error["data"]["requiredCapabilities"], required);
    }
}

/// What a modern client gets of a modern server that answers with these members behind its id, and its status.
async fn answered(members: &str) -> (u16, Value) {
    let members = members.to_owned();
    let fake = Fake::start(move |came: &Came| {
        let id = &came.message["id"];
        modern(came, &["t"])
            .unwrap_or_else(|| Goes::Raw(format!(r#"{{"jsonrpc":"2.0","id":{id},{members}}}"#)))
    })
    .await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let able = json!({"elicitation": {}});
    let ask = Ask::modern_with("alice", "tools/call", json!({"name": "t"}), able);
    let answer = gate.send(ask).await;
    (answer.status, answer.json().await)
}

#[tokio::test]
async fn p_34_p_35_a_type_inside_of_a_result_is_not_the_type_of_the_result() {
    let pad = "x".repeat(5000);
    for pad in ["", &pad] {
        for inner in [
            r#""structuredContent":{"resultType":"complete"}"#,
            r#""structuredContent":{"a":1,"resultType":"complete"}"#,
            r#""content":[{"type":"text","text":",\"resultType\":\"complete\"}}"}]"#,
            r#""result":{"resultType":"complete","a":1}"#,
        ] {
            let (_, absent) = answered(&format!(r#""result":{{{inner},"pad":"{pad}"}}"#)).await;
            assert_eq!(absent["result"]["resultType"], "complete", "p_34: {inner}");
            let (_, absent) = answered(&format!(r#""result":{{"pad":"{pad}",{inner}}}"#)).await;
            assert_eq!(absent["result"]["resultType"], "complete", "p_34: {inner}");
            let (_, unknown) = answered(&format!(
                r#""result":{{"resultType":"later","pad":"{pad}",{inner}}}"#
            ))
            .await;
            assert_eq!(unknown["error"]["code"], -32603, "p_35: {inner}");
            let own = r#""resultType":"input_required","requestState":"own""#;
            let (_, asks) = answered(&format!(r#""result":{{"pad":"{pad}",{own},{inner}}}"#)).await;
            assert_eq!(asks["result"]["resultType"], "input_required");
            assert_ne!(asks["result"]["requestState"], "own", "sealed: {inner}");
        }
        // Nor is one beside the result.
        let other = r#""other":{"a":1,"resultType":"complete"}"#;
        let (_, absent) = answered(&format!(r#""result":{{"pad":"{pad}"}},{other}"#)).await;
        assert_eq!(absent["result"]["resultType"], "complete");
        let (_, unknown) = answered(&format!(
            r#""result":{{"pad":"{pad}","resultType":"later"}},{other}"#
        ))
        .await;
        assert_eq!(unknown["error"]["code"], -32603);
    }
    for none in [r#""result":5"#, r#""result":[]"#, r#""result":null"#] {
        assert_eq!(answered(none).await.1["error"]["code"], -32603, "{none}");
    }
}

#[tokio::test]
async fn p_48_a_question_that_asks_nothing_is_a_failure() {
    for asks in [
        json!({"resultType": "input_required"}),
        json!({"resultType": "input_required", "inputRequests": {}}),
        json!({"resultType": "input_required", "inputRequests": {"k": {"method": "tools/call"}}}),
    ] {
        let fake = Fake::start(move |came: &Came| {
            modern(came, &["ask"]).unwrap_or_else(|| result(came, asks.clone()))
        })
        .await;
        let gate = gate_to(&fake, Protocol::Modern).await;
        let answer = gate
            .send(Ask::modern("alice", "tools/call", json!({"name": "ask"})))
            .await;
        assert_eq!(answer.code().await, -32603);
    }
}

/// A modern server with one tool that always asks, with a state of its own and hints that it may not give.
async fn always_asking() -> (Fake, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let fake = Fake::start(move |came: &Came| {
        modern(came, &["ask", "other"]).unwrap_or_else(|| {
            count.fetch_add(1, Ordering::Relaxed);
            result(
                came,
                json!({"resultType": "input_required", "requestState": "own", "ttlMs": 9, "cacheScope": "public",
                    "inputRequests": {"k": {"method": "elicitation/create", "params": {"mode": "form", "message": "?",
                        "requestedSchema": {"type": "object", "properties": {}}}}}}),
            )
        })
    })
    .await;
    (fake, asked)
}

#[tokio::test]
async fn p_39_p_51_a_modern_servers_state_is_good_for_its_own_call_and_time_only() {
    let (fake, asked) = always_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let form = || json!({"elicitation": {}});
    let ask = |who: &str, tool: &str, extra: Value| {
        let mut params = json!({"name": tool});
        if let Some(state) = extra.as_str() {
            params["requestState"] = json!(state);
        }
        gate.send(Ask::modern_with(who, "tools/call", params, form()))
    };
    let first = ask("alice", "ask", Value::Null).await.json().await;
    let result = &first["result"];
    assert!(
        result.get("ttlMs").is_none() && result.get("cacheScope").is_none(),
        "p_39: {first}"
    );
    let state = result["requestState"].clone();
    let tampered = json!(format!("{}-", state.as_str().expect("a state")));
    for (who, tool, state) in [
        ("alice", "ask", &tampered),
        ("bob", "ask", &state),
        ("alice", "other", &state),
    ] {
        assert_eq!(
            ask(who, tool, state.clone()).await.code().await,
            -32602,
            "{who} {tool}"
        );
    }
    gate.clock.0.store(1_000_000 + 600_000, Ordering::Relaxed);
    assert_eq!(ask("alice", "ask", state).await.code().await, -32602, "too late");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the server saw nothing of it");
}

#[tokio::test]
async fn p_54_the_eleventh_round_of_questions_is_not_put() {
    let (fake, asked) = always_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({"elicitation": {}})).await;
    let ask = Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "ask"}));
    let mut answer = gate.send(ask).await;
    let mut questions = 0;
    let last = loop {
        let event = answer.event().await.expect("an event");
        if event["method"] != "elicitation/create" {
            break event;
        }
        questions += 1;
        let body =
            json!({"jsonrpc": "2.0", "id": event["id"], "result": {"action": "accept", "content": {}}});
        gate.send(Ask::post("alice", body.to_string()).with("mcp-session-id", &session))
            .await;
    };
    assert_eq!(last["error"]["code"], -32603, "{last}");
    assert_eq!((questions, asked.load(Ordering::Relaxed)), (10, 11));
}

#[tokio::test]
async fn p_92_a_call_whose_answer_broke_off_is_not_made_again() {
    let fake = Fake::start(|came: &Came| {
        modern(came, &["t"]).unwrap_or_else(|| {
            let (events, stream) = mpsc::unbounded_channel();
            let _ = events.send(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": 7, "progress": 1}}));
            Goes::Events(stream)
        })
    })
    .await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let params = json!({"name": "t", "_meta": {"progressToken": 7}});
    let answer = gate.send(Ask::modern("alice", "tools/call", params)).await;
    let last = answer.last().await;
    assert_eq!(last["error"]["code"], -32603, "{last}");
    assert_eq!(fake.came("tools/call").len(), 1);
}

#[tokio::test]
async fn p_93_a_legacy_server_is_asked_for_what_it_said_it_can() {
    let fake = Fake::start(|came: &Came| {
        legacy(came, &["t"]).unwrap_or_else(|| result(came, json!({"content": []})))
    })
    .await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let session = gate.session("alice", json!({})).await;
    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        gate.send(Ask::legacy("alice", Some(&session), method, json!({})))
            .await;
    }
    gate.send(Ask::legacy(
        "alice",
        Some(&session),
        "tools/call",
        json!({"name": "t"}),
    ))
    .await
    .json()
    .await;
    assert_eq!(fake.came("tools/call").len(), 1);
    for method in [
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/subscribe",
    ] {
        assert!(fake.came(method).is_empty(), "{method} was not offered");
    }
}

/// A legacy server with resources, whose tool `poke` talks about them, about itself and about its progress.
pub(super) async fn talking() -> Fake {
    Fake::start(|came: &Came| match came.message["method"].as_str() {
        Some("initialize") => result(
            came,
            json!({"protocolVersion": "2025-06-18", "serverInfo": {"name": "fake", "version": "1"},
                "capabilities": {"tools": {}, "resources": {"subscribe": true}, "logging": {}}}),
        ),
        Some("resources/list") => result(
            came,
            json!({"resources": [{"uri": "test:a", "name": "a"}, {"uri": "test:b", "name": "b"}]}),
        ),
        Some("resources/templates/list") => result(came, json!({"resourceTemplates": []})),
        Some("resources/subscribe" | "resources/unsubscribe") => result(came, json!({})),
        _ => legacy(came, &["poke"]).unwrap_or_else(|| {
            let (events, stream) = mpsc::unbounded_channel();
            let tell = |method: &str, params: Value| {
                let _ = events.send(json!({"jsonrpc": "2.0", "method": method, "params": params}));
            };
            let token = &came.message["params"]["_meta"]["progressToken"];
            tell(
                "notifications/progress",
                json!({"progressToken": token, "progress": 1}),
            );
            tell("notifications/message", json!({"level": "error", "data": "x"}));
            for uri in ["test:b", "test:a"] {
                tell("notifications/resources/updated", json!({"uri": uri}));
            }
            let _ =
                events.send(json!({"jsonrpc": "2.0", "id": came.message["id"], "result": {"content": []}}));
            Goes::Events(stream)
        }),
    })
    .await
}

fn poke() -> Ask {
    let meta = json!({"progressToken": 7});
    Ask::modern("alice", "tools/call", json!({"name": "poke", "_meta": meta}))
}

#[tokio::test]
async fn p_58_p_59_p_102_a_listener_hears_of_its_resources_of_a_legacy_server_only() {
    let fake = talking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let filter = json!({"notifications": {"resourceSubscriptions": ["test:a"]}});
    let mut stream = gate
        .send(Ask::modern("alice", "subscriptions/listen", filter))
        .await;
    let first = stream.event().await.expect("the acknowledgement");
    assert_eq!(
        first["params"]["notifications"],
        json!({"resourceSubscriptions": ["test:a"]})
    );
    assert_eq!(fake.came("resources/subscribe").len(), 1, "asked once");
    for _ in 0..2 {
        gate.send(poke()).await.last().await;
        let event = stream.event().await.expect("an update");
        assert_eq!(event["method"], "notifications/resources/updated", "{event}");
        assert_eq!(event["params"]["uri"], "test:a");
        let meta = &event["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "m1");
    }
}

#[tokio::test]
async fn p_66_initialize_is_never_cancelled() {
    let (count, held) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let fake = Fake::start(move |came: &Came| {
        // The gateway's own session opens, the client's does not in time, and then it does.
        if came.message["method"] == "initialize" && count.fetch_add(1, Ordering::Relaxed) == 1 {
            let (events, stream) = mpsc::unbounded_channel();
            crate::sync::lock(&held).push(events);
            return Goes::Events(stream);
        }
        legacy(came, &["t"]).unwrap_or_else(|| result(came, json!({"content": []})))
    })
    .await;
    let mut server = http("fake", fake.at, Protocol::Legacy);
    server.limits.handshake = Duration::from_millis(300);
    let gate = Gate::new(config(vec![server], vec![profile("default", &["fake"])]));
    let session = gate.session("alice", json!({})).await;
    let call = || Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "t"}));
    assert_eq!(gate.send(call()).await.code().await, -32603);
    let done = gate.send(call()).await.json().await;
    assert!(done["result"].is_object(), "{done}");
    assert!(fake.came("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn a_question_that_a_legacy_client_refuses_is_read_by_the_model_of_the_tool() {
    for (method, ask) in [
        ("sampling/createMessage", json!({"messages": [], "maxTokens": 1})),
        ("roots/list", json!({})),
    ] {
        let asks = json!({"resultType": "input_required", "inputRequests": {"k": {"method": method, "params": ask}}});
        let fake = Fake::start(move |came: &Came| {
            modern(came, &["ask"]).unwrap_or_else(|| result(came, asks.clone()))
        })
        .await;
        let gate = gate_to(&fake, Protocol::Modern).await;
        let session = gate.session("alice", json!({"sampling": {}, "roots": {}})).await;
        let call = Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "ask"}));
        let mut answer = gate.send(call).await;
        let question = answer.event().await.expect("a question");
        assert_eq!(question["method"], method);
        let no = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}});
        gate.send(Ask::post("alice", no.to_string()).with("mcp-session-id", &session))
            .await;
        let last = answer.last().await;
        assert_eq!(last["result"]["isError"], true, "{last}");
        assert!(last["result"]["content"][0]["text"].is_string());
        assert_eq!(fake.came("tools/call").len(), 1, "nothing is sent again");
    }
}
