//! What goes through, and what must not.

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::{DEADLINE, Request};
use sallyport_testkit::mcp::Modern;
use serde_json::{Value, json};

use crate::support::Scene;

#[tokio::test]
async fn uc_01_the_clients_token_stays_on_its_side() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let mut modern = scene.modern(json!({}));
    for exchange in [
        session.call("request_headers", json!({})).await.unwrap(),
        modern.call("request_headers", json!({})).await.unwrap(),
    ] {
        let headers: Value = serde_json::from_str(exchange.text().unwrap()).unwrap();
        assert!(headers.get("authorization").is_none(), "{headers}");
        assert!(headers.get("cookie").is_none(), "{headers}");
        let text = headers.to_string();
        assert!(!text.contains(&scene.token), "{text}");
        assert_ne!(
            headers.get("mcp-session-id").and_then(Value::as_str),
            Some(session.session.as_str())
        );
    }
}

#[tokio::test]
async fn arguments_arrive_byte_for_byte() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let exotic = r#"{"big":123456789012345678901234567890,"float":1.10e-7,"text":"\u00e9\ud83d\ude00","deep":[[[{"a":null}]]],"x.y/z":true}"#;
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":"an-id","method":"tools/call","params":{{"name":"arguments","arguments":{exotic},"_meta":{{"com.example/trace":"t"}}}}}}"#
    );
    let session = scene.legacy(json!({})).await.unwrap();
    let request = session.with_session(Request::post("/mcp"));
    let request = request.header("Accept", "application/json, text/event-stream");
    let request = request.header("Content-Type", "application/json").body(message);
    let mut connection = scene.gateway.connect().await.unwrap();
    let answer = connection.ask(&request).await.unwrap();
    let text = answer.text();
    let start = text.find('{').unwrap();
    let answer: Value = serde_json::Deserializer::from_str(&text[start..])
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(answer["id"], "an-id");
    let echoed: Value =
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(echoed["text"], "é😀");
    assert_eq!(echoed["deep"], json!([[[{ "a": null }]]]));
    assert_eq!(echoed["x.y/z"], true);
}

#[tokio::test]
async fn progress_and_logs_come_before_the_result() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let params =
        json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": "t-1" } });
    let exchange = session.request("tools/call", params).await.unwrap();
    let seen: Vec<_> = exchange
        .notifications
        .iter()
        .map(|note| &note["params"]["progress"])
        .collect();
    assert_eq!(seen, [&json!(0.0), &json!(50.0), &json!(100.0)], "{exchange:?}");
    assert!(
        exchange
            .notifications
            .iter()
            .all(|note| note["params"]["progressToken"] == "t-1")
    );

    let mut modern = scene.modern(json!({}));
    let meta = json!({ "progressToken": 7, "io.modelcontextprotocol/logLevel": "info" });
    let params = json!({ "name": "test_tool_with_logging", "arguments": {}, "_meta": meta });
    let exchange = modern.request("tools/call", params).await.unwrap();
    assert_eq!(exchange.notifications.len(), 3, "{exchange:?}");
}

#[tokio::test]
async fn cancelling_reaches_the_server() {
    let scene = Scene::http(Era::Dual).await.unwrap();
    let mut modern = scene.modern(json!({}));
    let call = modern.message(
        99,
        "tools/call",
        json!({ "name": "wait", "arguments": { "ms": 60_000 } }),
    );
    let request = modern.http(&call);
    let mut connection = scene.gateway.connect().await.unwrap();
    connection
        .write(&request.wire(scene.gateway.host()))
        .await
        .unwrap();
    // Until the call has arrived there; then the client goes away.
    wait_for(&mut modern, "wait", 1).await.unwrap();
    drop(connection);
    wait_for(&mut modern, "cancelled", 1).await.unwrap();
}

async fn wait_for(client: &mut Modern, counter: &str, least: u64) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let exchange = client.call("counters", json!({})).await?;
        let counters: Value = serde_json::from_str(exchange.text()?)?;
        if counters.get(counter).and_then(Value::as_u64).unwrap_or(0) >= least {
            return Ok(());
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{counter}: {counters}");
        tokio::task::yield_now().await;
    }
}
