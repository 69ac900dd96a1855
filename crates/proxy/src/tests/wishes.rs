//! What clients have asked for in sessions, after a restart.

use serde_json::json;

use super::at_servers::{Rooms, behind, count, restart};
use super::levels::eventually;
use super::*;

async fn asked(gate: &Gate, session: &str, method: &str, params: Value) {
    let answer = gate
        .send(Ask::legacy("alice", Some(session), method, params))
        .await;
    let answer = answer.json().await;
    assert!(answer["result"].is_object(), "{method}: {answer}");
}

#[tokio::test]
async fn r25_p_104_the_level_outlives_the_process() {
    for forgotten in [false, true] {
        let rooms = Rooms::default();
        let fake = rooms.start().await;
        let gate = Gate::new(behind(&fake));
        let session = gate.session("alice", json!({})).await;
        asked(&gate, &session, "logging/setLevel", json!({"level": "debug"})).await;
        // Written once before it changes: the last one counts.
        gate.proxy.keep_sessions().await;
        asked(&gate, &session, "logging/setLevel", json!({"level": "warning"})).await;
        let gate = restart(gate, behind(&fake)).await;
        if forgotten {
            rooms.forget();
        }
        assert!(
            fake.came("logging/setLevel").is_empty(),
            "there was no session to tell"
        );
        count(&gate, &session).await;
        let told = fake.came("logging/setLevel");
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].message["params"]["level"], "warning");
    }
}

#[tokio::test]
async fn r25_p_102_subscriptions_outlive_the_process() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let gate = Gate::new(behind(&fake));
    let session = gate.session("alice", json!({})).await;
    for uri in ["test:a", "test:b"] {
        asked(&gate, &session, "resources/subscribe", json!({"uri": uri})).await;
    }
    asked(&gate, &session, "resources/unsubscribe", json!({"uri": "test:b"})).await;
    let told = || fake.came("resources/subscribe").len();
    assert_eq!(told(), 2);
    let gate = restart(gate, behind(&fake)).await;
    let mut stream = gate.send(Ask::get("alice", &session)).await;
    eventually("the subscription", || told() == 3).await;
    let again = &fake.came("resources/subscribe")[2];
    assert_eq!(again.message["params"]["uri"], "test:a");
    assert_eq!(again.header("mcp-session-id"), Some("s2"));
    // It may have changed while nobody listened.
    let updated = loop {
        let heard = stream.event().await.expect("news");
        if heard["method"] == "notifications/resources/updated" {
            break heard;
        }
    };
    assert_eq!(updated["params"]["uri"], "test:a");
    // And so after another restart, in which nothing new was asked for.
    let gate = restart(gate, behind(&fake)).await;
    let _stream = gate.send(Ask::get("alice", &session)).await;
    eventually("the subscription", || told() == 4).await;
}

#[tokio::test]
async fn is_11_what_may_not_be_read_any_more_is_not_followed_after_a_restart() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let gate = Gate::new(behind(&fake));
    let session = gate.session("alice", json!({})).await;
    asked(&gate, &session, "resources/subscribe", json!({"uri": "test:a"})).await;
    let mut closed = behind(&fake);
    closed.endpoints[0].rules = Rules {
        resources: Selection::default(),
        ..Rules::open()
    };
    let gate = restart(gate, closed).await;
    assert_eq!(count(&gate, &session).await, "s2: 1");
    let ask = Ask::legacy(
        "alice",
        Some(&session),
        "resources/subscribe",
        json!({"uri": "test:a"}),
    );
    assert_eq!(
        gate.send(ask).await.code().await,
        -32002,
        "it is not there for her"
    );
    assert_eq!(fake.came("resources/subscribe").len(), 1);
}
