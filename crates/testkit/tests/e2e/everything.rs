//! The fixtures themselves: what is tested through a gateway has to work without one.

use sallyport_testkit::everything::{Era, Options, serve::HttpServer};
use sallyport_testkit::mcp::{Endpoint, Legacy, Modern};
use serde_json::json;

async fn start(era: Era) -> anyhow::Result<(HttpServer, Endpoint)> {
    let options = Options {
        era,
        ..Options::default()
    };
    let server = HttpServer::start("127.0.0.1:0", options).await?;
    let endpoint = Endpoint {
        address: server.address(),
        host: server.address().to_string(),
        path: "/mcp".to_owned(),
        token: None,
    };
    Ok((server, endpoint))
}

#[tokio::test]
async fn a_legacy_session_with_a_question_of_the_server() {
    let (_server, endpoint) = start(Era::Legacy).await.unwrap();
    let session = Legacy::open(endpoint, "2025-11-25", json!({ "elicitation": {} }))
        .await
        .unwrap();
    let mut session = session.answering(|method, _| {
        assert_eq!(method, "elicitation/create");
        json!({ "action": "accept", "content": { "username": "ada", "email": "ada@example.com" } })
    });
    let exchange = session
        .call("test_elicitation", json!({ "message": "Who?" }))
        .await
        .unwrap();
    assert!(
        exchange.text().unwrap().contains("ada@example.com"),
        "{exchange:?}"
    );
    assert_eq!(exchange.asked.len(), 1);
}

#[tokio::test]
async fn a_legacy_session_hears_of_changes_and_ends() {
    let (_server, endpoint) = start(Era::Dual).await.unwrap();
    let mut session = Legacy::open(endpoint, "2025-06-18", json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    session.call("test_trigger_tool_change", json!({})).await.unwrap();
    assert_eq!(
        stream.message().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    session.delete().await.unwrap();
    assert_eq!(
        session.request("tools/list", json!({})).await.unwrap().status,
        404
    );
}

#[tokio::test]
async fn a_modern_call_with_a_question_of_the_server() {
    let (_server, endpoint) = start(Era::Modern).await.unwrap();
    let mut client = Modern::new(endpoint, json!({ "elicitation": {} }));
    let tool = "test_input_required_result_request_state";
    let first = client.call(tool, json!({})).await.unwrap();
    assert_eq!(first.result().unwrap()["resultType"], "input_required");
    let answers = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let second = client.retry(tool, json!({}), &first, answers).await.unwrap();
    assert_eq!(second.text().unwrap(), "state-ok");
}

#[tokio::test]
async fn a_modern_subscription_is_acknowledged_and_filtered() {
    let (_server, endpoint) = start(Era::Modern).await.unwrap();
    let mut client = Modern::new(endpoint, json!({}));
    let mut stream = client
        .listen(json!({ "promptsListChanged": true }))
        .await
        .unwrap();
    let first = stream.message().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    client.call("test_trigger_tool_change", json!({})).await.unwrap();
    client
        .call("test_trigger_prompt_change", json!({}))
        .await
        .unwrap();
    assert_eq!(
        stream.message().await.unwrap()["method"],
        "notifications/prompts/list_changed"
    );
}
