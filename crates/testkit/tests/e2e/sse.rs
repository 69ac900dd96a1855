//! HTTP+SSE of 2024-11-05 through the front door.

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::{Conversation, Endpoint, Talk};
use serde_json::json;

use crate::support::{Scene, counted, names};

fn endpoint(scene: &Scene, path: &str) -> Endpoint {
    Endpoint {
        path: path.to_owned(),
        ..scene.gateway.endpoint("default", &scene.token)
    }
}

async fn client(scene: &Scene, path: &str, revision: &str) -> anyhow::Result<Conversation> {
    let talk = Talk::sse(&endpoint(scene, path)).await?;
    let client = Conversation::legacy(talk, revision, json!({ "elicitation": {}, "sampling": {} })).await?;
    anyhow::ensure!(client.server["protocolVersion"] == revision, "{}", client.server);
    Ok(client.answering(|method, _| {
        assert_eq!(method, "elicitation/create");
        json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } })
    }))
}

#[tokio::test]
async fn p_82_the_whole_protocol_over_a_stream_and_posts() {
    for (era, path, revision) in [
        (Era::Legacy, "/mcp/sse", "2024-11-05"),
        (Era::Modern, "/mcp/default/sse/", "2025-11-25"),
    ] {
        let scene = Scene::http(era).await.unwrap();
        let mut client = client(&scene, path, revision).await.unwrap();
        let list = client.request("tools/list", json!({})).await.unwrap();
        assert!(names(list.result().unwrap()).contains(&"echo"), "{list:?}");
        assert!(list.result().unwrap().get("ttlMs").is_none(), "p_81");
        let params =
            json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": "p" } });
        let told = client.request("tools/call", params).await.unwrap();
        let progress = told
            .notifications
            .iter()
            .filter(|n| n["params"]["progressToken"] == "p");
        assert_eq!(progress.count(), 3, "{told:?}");
        let asked = client
            .call("test_elicitation", json!({ "message": "Who?" }))
            .await
            .unwrap();
        assert!(
            asked.text().unwrap().contains("action=accept"),
            "{era:?} {asked:?}"
        );
        client.call("test_trigger_tool_change", json!({})).await.unwrap();
        client.heard("notifications/tools/list_changed").await.unwrap();
        let waiting = client
            .begin("tools/call", json!({ "name": "wait", "arguments": {} }))
            .await
            .unwrap();
        counted(&mut client, "wait").await.unwrap();
        client
            .notify("notifications/cancelled", json!({ "requestId": waiting }))
            .await
            .unwrap();
        counted(&mut client, "cancelled").await.unwrap();
    }
}

#[tokio::test]
async fn every_legacy_revision_may_be_spoken() {
    let scene = Scene::demo().await.unwrap();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = client(&scene, "/mcp/sse", revision).await.unwrap();
        let said = client.call("echo", json!({ "text": revision })).await.unwrap();
        assert_eq!(said.text().unwrap(), revision);
    }
}

#[tokio::test]
async fn is_02_a_stream_takes_messages_of_its_own_principal_only() {
    let scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let bobs = scene.token_for("bob", "default").await.unwrap();
    let mut stream = scene.gateway.connect().await.unwrap();
    let open = Request::get("/mcp/sse")
        .header("Accept", "text/event-stream")
        .bearer(&scene.token);
    assert_eq!(stream.begin(&open).await.unwrap().status, 200);
    let mut events = stream.events();
    let first = events.next().await.unwrap().unwrap();
    assert_eq!(first.event, "endpoint");
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let status = async |token: Option<&str>, origin: Option<&str>| {
        let mut request = Request::post(&first.data).rpc(&ping);
        if let Some(token) = token {
            request = request.bearer(token);
        }
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        let mut connection = scene.gateway.connect().await.unwrap();
        connection.ask(&request).await.unwrap().status()
    };
    assert_eq!(status(Some(&bobs), None).await, 404);
    assert_eq!(status(None, None).await, 401);
    assert_eq!(
        status(Some(&scene.token), Some("https://evil.example")).await,
        403
    );
    assert_eq!(status(Some(&scene.token), None).await, 202);
    let answer = events.message().await.unwrap();
    assert_eq!(
        answer,
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
        "only the own one arrived"
    );
    drop(events);
    let ended = async || Ok(status(Some(&scene.token), None).await == 404);
    crate::support::within(std::time::Duration::from_secs(10), ended)
        .await
        .unwrap();
}
