//! MCP over WebSocket, through the front door.

use std::time::{Duration, Instant};

use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use serde_json::json;

use crate::carried::{Carrier, Client, collide, converse, gateway};

async fn ask(gateway: &TestGateway, change: impl FnOnce(Request) -> Request) -> Answer {
    let request = Request::new("GET", "/mcp/default/ws")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut connection = gateway.connect().await.unwrap();
    connection.ask(&change(request)).await.unwrap()
}

#[tokio::test]
async fn a_whole_conversation_in_both_eras() {
    converse(Carrier::WebSocket).await;
}

#[tokio::test]
async fn conversations_with_the_same_ids_do_not_cross() {
    collide(Carrier::WebSocket).await;
}

#[tokio::test]
async fn oh_04_no_page_of_another_site_opens_a_websocket() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        // Not even with everything else that it needs, and a cookie that browsers would send along.
        let answer = ask(&gateway, |request| {
            request
                .bearer(&token)
                .header("Origin", origin)
                .header("Cookie", "session=x")
        })
        .await;
        assert_eq!(answer.status(), 403, "{origin}");
    }
    let answer = ask(&gateway, |request| request.header("Cookie", "session=x")).await;
    assert_eq!(answer.status(), 401, "a cookie is no token");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_token_is_needed_before_anything_is_opened() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let answer = ask(&gateway, |request| request).await;
    assert_eq!(answer.status(), 401);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    let answer = ask(&gateway, |request| request.bearer("x.y.z")).await;
    assert_eq!(answer.status(), 401);
    let answer = ask(&gateway, |request| {
        request.bearer(&token).header("Sec-WebSocket-Protocol", "chat")
    })
    .await;
    assert_eq!(answer.status(), 400);
    gateway.advance(Duration::from_secs(3600));
    let answer = ask(&gateway, |request| request.bearer(&token)).await;
    assert_eq!(answer.status(), 401, "expired");
    gateway.shutdown().await;
}

#[tokio::test]
async fn wt_02_a_conversation_ends_with_its_token() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let mut client = Client::session(&gateway, Carrier::WebSocket, &token).await;
    gateway.advance(Duration::from_secs(3600));
    let began = Instant::now();
    while client.next().await.is_ok() {}
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_message_that_is_none_is_answered_and_the_conversation_goes_on() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let mut client = Client::session(&gateway, Carrier::WebSocket, &token).await;
    client.say(json!("no message")).await;
    let answer = client.next().await.unwrap();
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    let pong = client.ask(json!(1), "ping", json!({})).await;
    assert_eq!(pong["result"], json!({}));
    gateway.shutdown().await;
}
