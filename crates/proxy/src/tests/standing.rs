//! A head that comes again is judged as if it came for the first time.

use serde_json::json;

use super::*;

fn call(who: &str, session: &str) -> Ask {
    let params = json!({"name": "echo", "arguments": {"text": "hi"}});
    Ask::legacy(who, Some(session), "tools/call", params)
}

/// A gate, a session of `who`, and what a connection remembers after two calls in it.
async fn known(who: &str) -> (Gate, String, Memo) {
    let gate = Gate::new(demo());
    let id = gate.session(who, json!({})).await;
    let memo = Memo::default();
    for _ in 0..2 {
        assert_eq!(gate.send_again(call(who, &id), &memo).await.status, 200);
    }
    (gate, id, memo)
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused() {
    let (gate, id, memo) = known("short").await;
    gate.clock.0.store(support::SHORT - 1, Ordering::Relaxed);
    assert_eq!(gate.send_again(call("short", &id), &memo).await.status, 200);
    gate.clock.0.store(support::SHORT, Ordering::Relaxed);
    assert_eq!(gate.send_again(call("short", &id), &memo).await.status, 401);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_refused() {
    for who in ["alice", "foreign"] {
        let (gate, id, memo) = known(who).await;
        gate.keys.revoke();
        assert_eq!(gate.send_again(call(who, &id), &memo).await.status, 401, "{who}");
    }
}

#[tokio::test]
async fn other_rules_count_at_once() {
    let (gate, id, memo) = known("alice").await;
    let mut changed = demo();
    changed.endpoints[0].rules = only_tools(&["nothing"]);
    gate.proxy.apply(changed);
    let answer = gate.send_again(call("alice", &id), &memo).await;
    assert!(
        answer.json().await["error"].is_object(),
        "the tool is shown no longer"
    );
    let mut changed = demo();
    changed.endpoints[0].rules.users = only_tools(&["bob"]).tools;
    gate.proxy.apply(changed);
    assert_eq!(gate.send_again(call("alice", &id), &memo).await.status, 403);
}

#[tokio::test]
async fn a_session_that_has_ended_is_gone() {
    let (gate, id, memo) = known("alice").await;
    let end = Ask::bare("DELETE")
        .with("authorization", "Bearer alice")
        .with("mcp-session-id", &id);
    assert_eq!(gate.send(end).await.status, 204);
    assert_eq!(gate.send_again(call("alice", &id), &memo).await.status, 404);
}

#[tokio::test]
async fn a_session_that_left_memory_is_taken_up_again() {
    let (gate, id, memo) = known("alice").await;
    let limits = ProxyLimits::default();
    let later = gate.clock.0.load(Ordering::Relaxed) + 8 * 3600 * 1000 + 1;
    gate.clock.0.store(later, Ordering::Relaxed);
    gate.proxy.sessions.sweep(&limits);
    assert_eq!(gate.send_again(call("alice", &id), &memo).await.status, 200);
    assert_eq!(gate.send_again(call("alice", &id), &memo).await.status, 200);
    let too_old = i64::try_from(limits.session_absolute.as_millis()).unwrap() + 2_000_000;
    gate.clock.0.store(too_old, Ordering::Relaxed);
    assert_eq!(gate.send_again(call("alice", &id), &memo).await.status, 404);
}

#[tokio::test]
async fn another_address_is_another_caller() {
    let (gate, id, memo) = known("alice").await;
    let mut inbound = call("alice", &id).inbound();
    inbound.memo = memo;
    inbound.peer = "192.0.2.7:1".parse().expect("an address");
    let response = gate.proxy.handle(&gate.worker, inbound).await;
    assert_eq!(response.status(), 200);
    let last = gate.trail.events().pop().and_then(|event| event.peer);
    assert_eq!(last, "192.0.2.7".parse().ok());
}
