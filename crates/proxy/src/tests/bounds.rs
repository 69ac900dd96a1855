//! What a client may have in one stream or session, at the limit and one past it.

use serde_json::{Value, json};

use super::{Ask, Gate, demo};

fn listen(filter: &Value) -> Ask {
    let able = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    Ask::modern_with(
        "alice",
        "subscriptions/listen",
        json!({"notifications": filter}),
        able,
    )
}

#[tokio::test]
async fn p_142_listen_streams_at_the_limit_and_one_past_it() {
    let mut config = demo();
    config.limits.streams_per_principal = 2;
    let gate = Gate::new(config);
    let ask = || listen(&json!({"toolsListChanged": true}));
    let (first, second) = (gate.send(ask()).await, gate.send(ask()).await);
    assert_eq!((first.status, second.status), (200, 200));
    for _ in 0..2 {
        assert_eq!(gate.send(ask()).await.status, 429);
    }
    let session = gate.session("alice", json!({})).await;
    assert_eq!(
        gate.send(Ask::get("alice", &session)).await.status,
        429,
        "of either era"
    );
    let other = Ask::modern(
        "bob",
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    assert_eq!(
        gate.send(other).await.status,
        200,
        "somebody else's are counted apart"
    );
    drop(first);
    assert_eq!(gate.send(ask()).await.status, 200);
    drop(second);
}

#[tokio::test]
async fn p_142_resources_of_one_listen_stream_at_the_limit_and_one_past_it() {
    let gate = Gate::new(demo());
    for (count, is_taken) in [(256, true), (257, false)] {
        let uris: Vec<String> = (0..count).map(|n| format!("demo://greeting/{n}")).collect();
        let mut answer = gate.send(listen(&json!({"resourceSubscriptions": uris}))).await;
        assert_eq!(answer.is_events(), is_taken, "{count}");
        if is_taken {
            let first = answer.event().await.expect("an acknowledgement");
            let accepted = &first["params"]["notifications"]["resourceSubscriptions"];
            assert_eq!(accepted.as_array().map(Vec::len), Some(count), "{first}");
        } else {
            assert_eq!(answer.code().await, -32602);
        }
    }
}

#[tokio::test]
async fn p_142_tasks_of_one_listen_stream_at_the_limit_and_one_past_it() {
    let gate = Gate::new(demo());
    for (count, is_too_many) in [(64, false), (65, true)] {
        let ids: Vec<String> = (0..count).map(|n| format!("task-{n}")).collect();
        let answer = gate.send(listen(&json!({"taskIds": ids}))).await;
        let text = if answer.is_events() {
            String::new()
        } else {
            answer.text().await
        };
        assert_eq!(text.contains("Too many taskIds"), is_too_many, "{count}: {text}");
    }
}

#[tokio::test]
async fn p_142_subscriptions_of_one_session_at_the_limit_and_one_past_it() {
    let gate = Gate::new(demo());
    let session = gate.session("alice", json!({})).await;
    let ask = |method: &'static str, n: usize| {
        let params = json!({"uri": format!("demo://greeting/{n}")});
        let ask = Ask::legacy("alice", Some(&session), method, params);
        let gate = &gate;
        async move { gate.send(ask).await.json().await }
    };
    for n in 0..256 {
        assert_eq!(ask("resources/subscribe", n).await["result"], json!({}), "{n}");
    }
    assert!(
        ask("resources/subscribe", 256).await["error"].is_object(),
        "one past it"
    );
    assert_eq!(
        ask("resources/subscribe", 0).await["result"],
        json!({}),
        "one that it has"
    );
    assert_eq!(ask("resources/unsubscribe", 0).await["result"], json!({}));
    assert_eq!(ask("resources/subscribe", 256).await["result"], json!({}));
}
