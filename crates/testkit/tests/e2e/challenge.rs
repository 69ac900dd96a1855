//! What strangers get.

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::Request;
use sallyport_testkit::mcp::Modern;
use serde_json::json;

use crate::support::{Scene, server, servers};

#[tokio::test]
async fn every_method_of_the_endpoint_is_challenged_before_anything_else() {
    let scene = Scene::demo().await.unwrap();
    let metadata = format!(
        "{}/.well-known/oauth-protected-resource/mcp",
        scene.gateway.origin()
    );
    for method in ["POST", "GET", "DELETE", "HEAD"] {
        for path in ["/mcp", "/mcp/", "/mcp/default"] {
            // No Accept, no Content-Type, no body: all of that is looked at later.
            let mut connection = scene.gateway.connect().await.unwrap();
            let request = Request::new(method, path).header("Connection", "close");
            let head = connection.begin(&request).await.unwrap();
            assert_eq!(head.status, 401, "{method} {path}");
            let challenge = head.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            assert!(challenge.contains("resource_metadata="), "{challenge}");
            if path == "/mcp" {
                assert!(challenge.contains(&metadata), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_challenged_as_invalid() {
    let scene = Scene::demo().await.unwrap();
    let (head, rest) = scene.token.split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    for token in [
        "x",
        "..",
        &format!("{head}.{payload}."),
        &format!("{}x", scene.token),
    ] {
        let mut connection = scene.gateway.connect().await.unwrap();
        let answer = connection.ask(&Request::get("/mcp").bearer(token)).await.unwrap();
        assert_eq!(answer.status(), 401, "{token}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
}

#[tokio::test]
async fn ht_04_a_connection_that_was_refused_goes_on_with_the_next_request() {
    // Many clients send head and body in two writes. If the refusal overtook the body and the connection then ended
    // without a word, the next request on it would be lost; if the body were left unread, it would be the next request.
    let scene = Scene::demo().await.unwrap();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let request = Request::post("/mcp")
        .header("Content-Type", "application/json")
        .header("Content-Length", &smuggled.len().to_string());
    let mut connection = scene.gateway.connect().await.unwrap();
    for _ in 0..3 {
        connection
            .write(&request.wire(scene.gateway.host()))
            .await
            .unwrap();
        tokio::task::yield_now().await;
        connection.write(smuggled.as_bytes()).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status(), 401);
    }
    let next = Request::get("/.well-known/oauth-protected-resource/mcp");
    assert_eq!(connection.ask(&next).await.unwrap().status(), 200);
    assert!(!scene.gateway.log().contains("smuggled"));
}

#[tokio::test]
async fn au_04_a_token_of_one_profile_is_nothing_at_another() {
    let server = server(Era::Dual).await.unwrap();
    let more = format!(
        "{}profiles:\n  default: {{ servers: [everything] }}\n  other: {{ servers: [everything] }}\n",
        servers(&[("everything", &server)])
    );
    let scene = Scene::with(&more, vec![server]).await.unwrap();
    let mut there = Modern::new(scene.gateway.endpoint("other", &scene.token), json!({}));
    assert_eq!(there.request("tools/list", json!({})).await.unwrap().status, 401);
    let other = scene.token_for("ada", "other").await.unwrap();
    let mut there = Modern::new(scene.gateway.endpoint("other", &other), json!({}));
    assert_eq!(there.request("tools/list", json!({})).await.unwrap().status, 200);
}

#[tokio::test]
async fn au_09_a_token_in_query_body_or_cookie_or_twice_is_none() {
    let scene = Scene::demo().await.unwrap();
    let token = &scene.token;
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": { "access_token": token } });
    for request in [
        Request::post(&format!("/mcp?access_token={token}")).rpc(&message),
        Request::post("/mcp").rpc(&message),
        Request::post("/mcp").form(&[("access_token", token)]),
        Request::post("/mcp")
            .rpc(&message)
            .header("Cookie", &format!("access_token={token}")),
        Request::post("/mcp").rpc(&message).bearer(token).bearer(token),
        Request::post("/mcp").rpc(&message).bearer("x").bearer(token),
    ] {
        let answer = scene
            .gateway
            .connect()
            .await
            .unwrap()
            .ask(&request)
            .await
            .unwrap();
        assert!(matches!(answer.status(), 400 | 401), "{request:?} {answer:?}");
    }
    assert!(!scene.gateway.log().contains(token.as_str()));
}
