//! What the audit trail says of a call.

use sallyport_core::audit::{Action, Outcome};
use serde_json::json;

use super::*;

fn echo(session: &str) -> Ask {
    let params = json!({"name": "echo", "arguments": {"text": "hi"}});
    Ask::legacy("alice", Some(session), "tools/call", params)
}

#[tokio::test]
async fn a_call_has_a_start_and_one_end() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    assert_eq!(gate.send(echo(&id)).await.status, 200);
    let events = gate.trail.events();
    let calls: Vec<_> = events
        .iter()
        .filter(|event| event.action == Action::ToolCall)
        .collect();
    let outcomes: Vec<_> = calls.iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Outcome::Started, Outcome::Ok]);
    for event in calls {
        assert_eq!(event.user.as_ref().map(|user| user.as_str()), Some("alice"));
        assert_eq!(
            event.client.as_ref().map(|client| client.as_str()),
            Some("client")
        );
        assert_eq!(event.grant.as_ref().map(|grant| grant.as_str()), Some("grant"));
        assert_eq!(event.target.as_deref(), Some("echo"));
        assert!(event.server.is_some() && event.request.is_some() && event.peer.is_some());
    }
}

#[tokio::test]
async fn al_04_without_a_trail_no_call() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let before = gate.trail.events().len();
    gate.trail.break_it();
    assert_eq!(gate.send(echo(&id)).await.status, 503);
    assert_eq!(gate.trail.events().len(), before);
}
