//! Requests of a legacy session on their way: cancelled, left, repeated, in batches.

use serde_json::json;

use super::fake::{Fake, Goes, legacy};
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
async fn p_67_r27_late_cancels_and_stray_answers_are_let_be() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    for body in [
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": "unheard of", "result": {}}),
        json!({"jsonrpc": "2.0", "id": "unheard of", "error": {"code": 1, "message": "m"}}),
    ] {
        let ask = Ask::post("alice", body.to_string()).with("mcp-session-id", &id);
        let answer = gate.send(ask).await;
        assert_eq!(answer.status, 202, "{body}");
        assert_eq!(answer.text().await, "");
    }
    let outside = Ask::post(
        "alice",
        json!({"jsonrpc": "2.0", "id": "x", "result": {}}).to_string(),
    );
    assert_eq!(gate.send(outside).await.status, 400, "p_25");
}

#[tokio::test]
async fn a_cancelled_call_ends_without_a_response() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let params = json!({"name": "countdown", "arguments": {"from": 9}, "_meta": {"progressToken": "t"}});
    let mut answer = gate
        .send(Ask::legacy("alice", Some(&id), "tools/call", params))
        .await;
    assert_eq!(
        answer.event().await.expect("progress")["params"]["progressToken"],
        "t"
    );
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let ask = Ask::post("alice", cancel.to_string()).with("mcp-session-id", &id);
    assert_eq!(gate.send(ask).await.status, 202);
    while let Some(event) = answer.event().await {
        assert_eq!(event["method"], "notifications/progress");
    }
    assert_eq!(
        gate.trail.outcomes().last(),
        Some(&sallyport_core::audit::Outcome::Cancelled)
    );
}

#[tokio::test]
async fn p_78_a_legacy_client_that_leaves_has_not_cancelled() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let params = json!({"name": "countdown", "arguments": {"from": 1}, "_meta": {"progressToken": "t"}});
    drop(
        gate.send(Ask::legacy("alice", Some(&id), "tools/call", params))
            .await,
    );
    for _ in 0..10_000 {
        if gate.trail.outcomes().last() == Some(&sallyport_core::audit::Outcome::Ok) {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the call was not carried out: {:?}", gate.trail.outcomes());
}

#[tokio::test]
async fn p_07_batches_are_for_one_revision() {
    let gate = Gate::new(demo());
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "b", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x"}}},
    ]);
    let ask = |session: &str| Ask::post("alice", batch.to_string()).with("mcp-session-id", session);
    let newer = gate.session("alice", json!({})).await;
    let refused = gate.send(ask(&newer)).await;
    assert_eq!((refused.status, refused.code().await), (400, -32600));
    let params = json!({"protocolVersion": "2025-03-26", "capabilities": {}});
    let opened = gate.send(Ask::legacy("alice", None, "initialize", params)).await;
    let old = opened.header("mcp-session-id").expect("an id").to_owned();
    let whole = gate
        .send(ask(&old).with("accept", "application/json"))
        .await
        .json()
        .await;
    let mut ids: Vec<String> = whole
        .as_array()
        .expect("an array")
        .iter()
        .map(|m| m["id"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["\"b\"", "1"]);
    let mut events = gate.send(ask(&old)).await;
    assert!(events.is_events());
    let mut seen = 0;
    while events.event().await.is_some() {
        seen += 1;
    }
    assert_eq!(seen, 2);
    let initialize = json!([{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}]);
    let ask = Ask::post("alice", initialize.to_string()).with("mcp-session-id", &old);
    assert_eq!(gate.send(ask).await.status, 400);
    let quiet = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    let ask = Ask::post("alice", quiet.to_string()).with("mcp-session-id", &old);
    assert_eq!(gate.send(ask).await.status, 202);
}

#[tokio::test]
async fn jr_14_one_id_twice_in_flight_gets_two_answers() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let (one, two) = tokio::join!(
        gate.send(call(&id, "echo", json!({"text": "one"}))),
        gate.send(call(&id, "echo", json!({"text": "two"})))
    );
    for (answer, text) in [(one, "one"), (two, "two")] {
        assert_eq!(answer.json().await["result"]["content"][0]["text"], text);
    }
}

#[tokio::test]
async fn a_batch_of_which_all_was_cancelled_gets_no_body() {
    let fake = Fake::start(|came| {
        legacy(came, &["wait"]).unwrap_or_else(|| {
            let (keep, events) = tokio::sync::mpsc::unbounded_channel();
            // Never answered, and never closed.
            Box::leak(Box::new(keep));
            Goes::Events(events)
        })
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", fake.at, Protocol::Legacy)],
        vec![profile("default", &["a"])],
    ));
    let session = gate.session_of("2025-03-26", "alice", json!({})).await;
    let call =
        |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "wait"}});
    let batch = Ask::post("alice", json!([call(1), call(2)]).to_string())
        .with("accept", "application/json")
        .with("mcp-session-id", &session);
    let cancel = async {
        while fake.came("tools/call").len() < 2 {
            tokio::task::yield_now().await;
        }
        for id in [1, 2] {
            let cancel =
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
            let ask = Ask::post("alice", cancel.to_string()).with("mcp-session-id", &session);
            assert_eq!(gate.send(ask).await.status, 202);
        }
    };
    let (answer, ()) = tokio::join!(gate.send(batch), cancel);
    assert_eq!(answer.status, 202);
    assert_eq!(answer.text().await, "");
}

#[tokio::test]
async fn ss_05_a_thousand_clients_that_leave_give_everything_back() {
    let speaking = Arc::new(std::sync::Mutex::new(None));
    let said = Arc::clone(&speaking);
    let note = |token: &Value| {
        let params = json!({"progressToken": token, "progress": 1});
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    };
    let fake = Fake::start(move |came| {
        super::fake::modern(came, &["wait"]).unwrap_or_else(|| {
            let (say, events) = tokio::sync::mpsc::unbounded_channel();
            let token = &came.message["params"]["_meta"]["progressToken"];
            say.send(note(token)).expect("a listener");
            *said.lock().expect("no panic") = Some(say);
            Goes::Events(events)
        })
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", fake.at, Protocol::Modern)],
        vec![profile("default", &["a"])],
    ));
    let open = || std::fs::read_dir("/proc/self/fd").expect("Linux").count();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut before = (0, 0);
    for nth in 0..=1000 {
        let call = json!({"name": "wait", "_meta": {"progressToken": nth}});
        let mut left = gate.send(Ask::modern("alice", "tools/call", call)).await;
        assert!(left.event().await.is_some(), "{nth}");
        drop(left);
        // Whoever goes on speaking to somebody that left notices.
        let say = speaking.lock().expect("no panic").take().expect("a call");
        let noticed = async {
            while say.send(note(&json!(nth))).is_ok() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), noticed)
            .await
            .expect("the server is told within a second");
        if nth == 0 {
            before = (open(), tasks());
        }
    }
    let given_back = async {
        while (open(), tasks()) > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), given_back)
        .await
        .unwrap_or_else(|_| panic!("before: {before:?}, after: {:?}", (open(), tasks())));
    assert!(open() <= before.0 && tasks() <= before.1);
    let alice = sallyport_core::PrincipalKey::parse("5:alice:client").expect("a key");
    let place = gate.proxy.usage.take(&alice, crate::limits::Kind::Calls, 1);
    assert!(place.is_some(), "no call is counted any more");
}
