//! MCP over framed TCP, through its door.

use std::time::{Duration, Instant};

use sallyport_core::Clock as _;
use sallyport_testkit::framed::{self, Frame};
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::oauth::Tokens;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::carried::{Carrier, collide, converse, gateway};

#[tokio::test]
async fn a_whole_conversation_in_both_eras() {
    converse(Carrier::Tcp).await;
}

#[tokio::test]
async fn conversations_with_the_same_ids_do_not_cross() {
    collide(Carrier::Tcp).await;
}

/// A client that writes its frames itself.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Connects and shows a token that says it was written `skew` seconds from now.
    pub(crate) async fn open(gateway: &TestGateway, token: &str, skew: i64) -> Self {
        let address = gateway.gateway().tcp_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test is the client")]
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        let offer =
            json!({ "min_version": 1, "max_version": 1, "preferred_version": 1, "supported_versions": [1] });
        raw.send(framed::NEGOTIATE, offer.to_string()).await;
        assert_eq!(raw.next().await.unwrap().kind, framed::AGREED);
        raw.show(gateway, token, skew).await;
        raw
    }

    pub(crate) async fn show(&mut self, gateway: &TestGateway, token: &str, skew: i64) {
        let now = gateway.clock().now().as_secs() + skew;
        let payload = framed::auth(token, [1; 16], u64::try_from(now).unwrap());
        self.send(framed::AUTH, payload).await;
    }

    async fn send(&mut self, kind: u16, payload: impl Into<Vec<u8>>) {
        let payload: Vec<u8> = payload.into();
        Frame::new(kind, payload).write(&mut self.0).await.unwrap();
    }

    async fn next(&mut self) -> Option<Frame> {
        Frame::read(&mut self.0).await.unwrap()
    }

    pub(crate) async fn ping(&mut self) -> Value {
        self.send(framed::REQUEST, r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#).await;
        let frame = self.next().await.unwrap();
        assert_eq!(frame.kind, framed::RESPONSE, "{:?}", frame.payload);
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// The words with which the connection ends.
    pub(crate) async fn words(&mut self) -> String {
        let mut words = String::new();
        while let Some(frame) = self.next().await {
            assert_eq!(frame.kind, framed::ERROR, "{:?}", frame.payload);
            words = String::from_utf8(frame.payload.to_vec()).unwrap();
        }
        words
    }
}

#[tokio::test]
async fn wt_02_who_shows_no_good_token_of_now_hears_nothing_but_why() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    for (shown, skew, expected) in [
        ("", 0, "invalid"),
        ("x.y.z", 0, "invalid"),
        (token.as_str(), 61, "clocks"),
        (token.as_str(), -61, "clocks"),
    ] {
        let words = Raw::open(&gateway, shown, skew).await.words().await;
        assert!(words.contains(expected), "{shown} {skew}: {words}");
    }
    for skew in [60, -60] {
        let answer = Raw::open(&gateway, &token, skew).await.ping().await;
        assert!(answer["result"].is_object(), "{answer}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn wt_02_a_conversation_ends_with_its_token_unless_another_is_shown() {
    let gateway = gateway("").await;
    gateway.add_user("bob", false).await.unwrap();
    let client = gateway.client().await.unwrap();
    let mut browser = gateway.browser().unwrap();
    let resource = gateway.resource("default");
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let mut left = Raw::open(&gateway, &tokens.access, 0).await;
    let mut renewed = Raw::open(&gateway, &tokens.access, 0).await;
    let mut another = Raw::open(&gateway, &tokens.access, 0).await;
    left.ping().await;
    // Somebody else's token does not go on with her conversation.
    let bobs = gateway.log_in("bob", "default").await.unwrap().access;
    another.show(&gateway, &bobs, 0).await;
    assert!(another.words().await.contains("another user's"));
    gateway.advance(Duration::from_secs(600));
    let longer = Tokens::read(client.refresh(&tokens.refresh).await.unwrap()).unwrap();
    renewed.show(&gateway, &longer.access, 0).await;
    // Its answer comes after the frame before it has been judged.
    renewed.ping().await;
    gateway.advance(Duration::from_secs(600));
    let began = Instant::now();
    assert!(left.words().await.contains("not allowed"));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let answer = renewed.ping().await;
    assert!(answer["result"].is_object(), "{answer}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_tokens_audience_is_the_endpoint() {
    let gateway = gateway("profiles:\n  default: { servers: [\"*\"] }\n  empty: { servers: [\"*\"], tools: { deny: [\"*\"] } }\n").await;
    let mut tools = Vec::new();
    for slug in ["default", "empty"] {
        let token = gateway.log_in("ada", slug).await.unwrap().access;
        let mut raw = Raw::open(&gateway, &token, 0).await;
        let params = crate::carried::modern(json!({}));
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params });
        raw.send(framed::REQUEST, list.to_string()).await;
        let answer: Value = serde_json::from_slice(&raw.next().await.unwrap().payload).unwrap();
        tools.push(answer["result"]["tools"].as_array().unwrap().len());
    }
    assert!(tools[0] > 0 && tools[1] == 0, "{tools:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_gateway_that_stops_says_so() {
    let gateway = gateway("").await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let mut raw = Raw::open(&gateway, &token, 0).await;
    raw.ping().await;
    let (words, ()) = tokio::join!(raw.words(), gateway.shutdown());
    assert_eq!(words, "the gateway stops");
}
