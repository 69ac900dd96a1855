//! Legacy sessions over restarts.

use anyhow::Context as _;
use sallyport_testkit::everything::Era;
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::{Endpoint, Legacy};
use serde_json::{Value, json};

use crate::census::Tree;
use crate::support::Scene;

/// The status of a request with the id of somebody's session.
async fn status(scene: &Scene, endpoint: &Endpoint, session: &str, method: &str) -> anyhow::Result<u16> {
    let token = endpoint.token.as_deref().unwrap_or_default();
    let request = Request::new(method, &endpoint.path)
        .bearer(token)
        .header("MCP-Protocol-Version", "2025-11-25")
        .header("Mcp-Session-Id", session);
    let request = match method {
        "POST" => request.rpc(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })),
        _ => request.header("Accept", "text/event-stream"),
    };
    let mut connection = scene.gateway.connect().await?;
    Ok(connection.begin(&request).await?.status)
}

async fn restart(scene: &mut Scene, kindly: bool) -> anyhow::Result<()> {
    if kindly {
        anyhow::ensure!(scene.gateway.stop().await? == Some(0), "it stopped badly");
    } else {
        scene.gateway.kill().await?;
    }
    scene.gateway.serve().await
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart_with_its_stream_and_its_capabilities() {
    let more = format!("servers:\n{}", Tree::new().server("tree").unwrap());
    let mut scene = Scene::with(&more, Vec::new()).await.unwrap();
    let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    let mut session = session.answering(|method, _| {
        assert_eq!(method, "elicitation/create");
        json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } })
    });
    let id = session.session.clone();
    for kindly in [false, true, false] {
        let answer = session.call("echo", json!({ "text": "before" })).await.unwrap();
        assert_eq!(answer.text().unwrap(), "before");
        restart(&mut scene, kindly).await.unwrap();
        let answer = session.call("echo", json!({ "text": "after" })).await.unwrap();
        assert_eq!(answer.text().unwrap(), "after", "{answer:?}");
        // The new process of the server knows what this client can do.
        let answer = session
            .call("test_elicitation", json!({ "message": "Who?" }))
            .await
            .unwrap();
        assert!(answer.text().unwrap().contains("action=accept"), "{answer:?}");
        drop(session.stream().await.unwrap());
        assert_eq!(session.session, id);
    }
    let ended = session.delete().await.unwrap().status();
    assert!((200..300).contains(&ended), "{ended}");
    let gone = session
        .post(&json!({ "jsonrpc": "2.0", "id": 9, "method": "ping" }))
        .await
        .unwrap();
    assert_eq!(gone.status(), 404);
}

/// What the server calls the session in which it is called.
async fn at_server(session: &mut Legacy) -> anyhow::Result<String> {
    let answer = session.call("request_headers", json!({})).await?;
    let headers: Value = serde_json::from_str(answer.text()?)?;
    let id = headers.get("mcp-session-id").and_then(Value::as_str);
    Ok(id.context("a session")?.to_owned())
}

#[tokio::test]
async fn r25_what_a_client_has_left_at_a_server_is_there_after_a_restart() {
    let mut scene = Scene::http(Era::Legacy).await.unwrap();
    let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    let mut session = session.answering(|method, _| {
        assert_eq!(method, "elicitation/create");
        json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } })
    });
    let set = json!({ "level": "error" });
    session.request("logging/setLevel", set).await.unwrap();
    let before = at_server(&mut session).await.unwrap();
    for kindly in [true, true, false] {
        restart(&mut scene, kindly).await.unwrap();
        let mut other = scene.legacy(json!({})).await.unwrap();
        assert_ne!(at_server(&mut other).await.unwrap(), before);
        assert_eq!(
            at_server(&mut session).await.unwrap(),
            before,
            "stopped kindly: {kindly}"
        );
        let logged = session.call("test_tool_with_logging", json!({})).await.unwrap();
        assert!(
            logged.notifications.is_empty(),
            "it logs nothing so light: {logged:?}"
        );
        let asked = session
            .call("test_elicitation", json!({ "message": "Who?" }))
            .await
            .unwrap();
        assert!(asked.text().unwrap().contains("action=accept"), "{asked:?}");
    }
}

#[tokio::test]
async fn is_02_a_session_of_somebody_else_is_not_there() {
    let more = format!(
        "servers:\n{}profiles:\n  default: {{ servers: [tree] }}\n  other: {{ servers: [tree] }}\n",
        Tree::new().server("tree").unwrap()
    );
    let mut scene = Scene::with(&more, Vec::new()).await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let id = scene.legacy(json!({})).await.unwrap().session;
    let bobs = scene.token_for("bob", "default").await.unwrap();
    let elsewhere = scene.token_for("ada", "other").await.unwrap();
    let mut cut = id.clone();
    cut.pop();
    for restarted in [false, true] {
        if restarted {
            restart(&mut scene, false).await.unwrap();
        }
        let own = scene.gateway.endpoint("default", &scene.token);
        for (endpoint, id) in [
            (scene.gateway.endpoint("default", &bobs), &id),
            (scene.gateway.endpoint("other", &elsewhere), &id),
            (own.clone(), &cut),
        ] {
            for method in ["POST", "GET", "DELETE"] {
                let status = status(&scene, &endpoint, id, method).await.unwrap();
                assert_eq!(status, 404, "{method} {endpoint:?}, restarted: {restarted}");
            }
        }
        // None of this has harmed it.
        assert_eq!(status(&scene, &own, &id, "POST").await.unwrap(), 200);
    }
}

#[tokio::test]
async fn many_sessions_go_on_at_once() {
    let mut scene = Scene::demo().await.unwrap();
    let mut sessions: Vec<Legacy> = Vec::new();
    for _ in 0..16 {
        sessions.push(scene.legacy(json!({})).await.unwrap());
    }
    restart(&mut scene, false).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for (number, mut session) in sessions.into_iter().enumerate() {
        calls.spawn(async move {
            let text = Value::from(number.to_string());
            let answer = session.call("echo", json!({ "text": text })).await.unwrap();
            assert_eq!(answer.text().unwrap(), number.to_string());
        });
    }
    assert_eq!(calls.join_all().await.len(), 16);
}
