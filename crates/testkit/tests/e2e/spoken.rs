//! What of the protocol is on: revisions, HTTP+SSE and batches that the operator has turned off are not spoken by any way in.

use std::time::Duration;

use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::mcp::{Conversation, Endpoint, Legacy, Talk};
use serde_json::{Value, json};

use crate::carried::{Carrier, Client, gateway};
use crate::support::{Scene, within};

const UNSUPPORTED: i64 = -32022;

async fn token(gateway: &TestGateway) -> String {
    gateway.log_in("ada", "default").await.unwrap().access
}

async fn open(gateway: &TestGateway, token: &str, slug: &str, revision: &str) -> anyhow::Result<Legacy> {
    Legacy::open(gateway.endpoint(slug, token), revision, json!({})).await
}

/// A request of 2026-07-28.
fn modern(token: &str, path: &str, method: &str) -> Request {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } });
    Request::post(path)
        .bearer(token)
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", method)
        .rpc(&message)
}

fn initialize(revision: &str) -> Value {
    let params = json!({ "protocolVersion": revision, "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params })
}

async fn ask(gateway: &TestGateway, request: &Request) -> Answer {
    gateway.connect().await.unwrap().ask(request).await.unwrap()
}

/// The code of an error, and the versions that it names.
fn refused(answer: &Answer) -> (u16, Value, Value) {
    let body = answer.json().unwrap();
    let error = &body["error"];
    (
        answer.status(),
        error["code"].clone(),
        error["data"]["supported"].clone(),
    )
}

#[tokio::test]
async fn l_06_the_oldest_revision_at_the_boundary() {
    let gateway = gateway("protocol: { oldest: 2025-06-18 }\n").await;
    let token = token(&gateway).await;
    for (asked, answered) in [
        ("2024-11-05", "2025-11-25"),
        ("2025-03-26", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
    ] {
        let session = open(&gateway, &token, "default", asked).await.unwrap();
        assert_eq!(session.revision, answered, "{asked}");
    }
    let discovered = ask(&gateway, &modern(&token, "/mcp", "server/discover")).await;
    let versions = &discovered.json().unwrap()["result"]["supportedVersions"];
    assert_eq!(*versions, json!(["2026-07-28", "2025-11-25", "2025-06-18"]));
    // In a session that is good, a version that is off is one that nobody knows.
    let session = open(&gateway, &token, "default", "2025-06-18").await.unwrap();
    for (version, status) in [("2025-03-26", 400), ("2025-06-18", 200)] {
        let ping = Request::post("/mcp")
            .bearer(&token)
            .header("Mcp-Session-Id", &session.session)
            .header("MCP-Protocol-Version", version)
            .rpc(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
        let answer = ask(&gateway, &ping).await;
        assert_eq!(answer.status(), status, "{version}");
        if status == 400 {
            let (_, code, supported) = refused(&answer);
            assert_eq!((code, &supported), (json!(UNSUPPORTED), versions));
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn l_06_http_sse_goes_with_its_revision_or_alone() {
    for (protocol, there) in [
        ("{}", true),
        ("{ http_sse: false }", false),
        ("{ oldest: 2025-03-26 }", false),
        ("{ oldest: 2025-03-26, http_sse: true }", true),
        ("{ oldest: 2026-07-28, http_sse: true }", false),
    ] {
        let gateway = gateway(&format!("protocol: {protocol}\n")).await;
        let token = token(&gateway).await;
        for (request, found) in [
            (Request::post("/mcp/sse"), 405),
            (Request::get("/mcp/messages"), 405),
            (Request::post("/mcp/default/messages?sessionId=x"), 404),
        ] {
            let answer = ask(&gateway, &request.bearer(&token)).await;
            assert_eq!(answer.status(), if there { found } else { 404 }, "{protocol}");
        }
        let stranger = ask(&gateway, &Request::get("/mcp/sse")).await;
        assert_eq!(stranger.status(), if there { 401 } else { 404 }, "{protocol}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn l_06_batches_at_the_switch() {
    for (protocol, status) in [("{}", 200), ("{ batches: false }", 400)] {
        let gateway = gateway(&format!("protocol: {protocol}\n")).await;
        let token = token(&gateway).await;
        let session = open(&gateway, &token, "default", "2025-03-26").await.unwrap();
        assert_eq!(session.revision, "2025-03-26");
        let ping = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
        let answer = session.post(&json!([ping(7), ping(8)])).await.unwrap();
        assert_eq!(answer.status(), status, "{protocol} {answer:?}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn p_33_l_06_no_revision_with_initialize_is_said_by_every_way_in() {
    let gateway = gateway("protocol: { oldest: 2026-07-28 }\n").await;
    let token = token(&gateway).await;
    let asked = Request::post("/mcp")
        .bearer(&token)
        .rpc(&initialize("2025-11-25"));
    let expected = (400, json!(UNSUPPORTED), json!(["2026-07-28"]));
    assert_eq!(refused(&ask(&gateway, &asked).await), expected);
    for carrier in [Carrier::WebSocket, Carrier::Tcp] {
        let mut client = Client::open(&gateway, carrier, &token).await.unwrap();
        client.say(initialize("2025-11-25")).await;
        let answer = client.next().await.unwrap();
        assert_eq!(answer["error"]["code"], UNSUPPORTED, "{carrier:?} {answer}");
        assert_eq!(answer["error"]["data"]["supported"], json!(["2026-07-28"]));
    }
    let modern = ask(&gateway, &modern(&token, "/mcp", "tools/list")).await;
    assert_eq!(modern.status(), 200, "{modern:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn l_06_the_modern_revision_off_is_said_by_every_way_in() {
    let legacy = json!(["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]);
    let protocol = "protocol: { without: [2026-07-28] }\n";
    let gateway = gateway(protocol).await;
    let token = token(&gateway).await;
    for method in ["server/discover", "tools/list"] {
        let answer = ask(&gateway, &modern(&token, "/mcp", method)).await;
        let expected = (400, json!(UNSUPPORTED), legacy.clone());
        assert_eq!(refused(&answer), expected, "{method}");
    }
    for carrier in [Carrier::WebSocket, Carrier::Tcp] {
        let mut client = Client::open(&gateway, carrier, &token).await.unwrap();
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        let answer = client
            .ask(json!(1), "server/discover", json!({ "_meta": meta }))
            .await;
        assert_eq!(answer["error"]["code"], UNSUPPORTED, "{carrier:?} {answer}");
        assert_eq!(answer["error"]["data"]["supported"], legacy, "{carrier:?}");
    }
    gateway.shutdown().await;

    // Over standard input and output too.
    let scene = Scene::with(protocol, Vec::new()).await.unwrap();
    let mut command = scene.gateway.command().unwrap();
    command
        .args(["serve", "--stdio"])
        .stderr(std::process::Stdio::null());
    let talk = Talk::stdio(&mut command).unwrap();
    let mut client = Conversation::modern(talk, json!({}));
    let discovered = client.request("server/discover", json!({})).await.unwrap();
    assert_eq!(discovered.error_code().unwrap(), UNSUPPORTED);
    assert_eq!(discovered.answer["error"]["data"]["supported"], legacy);
}

#[tokio::test]
async fn l_06_a_profile_may_speak_something_else() {
    let profiles = "profiles:\n  default: { servers: [\"*\"] }\n  old: { servers: [\"*\"], protocol: {} }\n";
    let gateway = gateway(&format!("protocol: {{ oldest: 2025-11-25 }}\n{profiles}")).await;
    for (slug, answered) in [("default", "2025-11-25"), ("old", "2024-11-05")] {
        let token = gateway.log_in("ada", slug).await.unwrap().access;
        let session = open(&gateway, &token, slug, "2024-11-05").await.unwrap();
        assert_eq!(session.revision, answered, "{slug}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn l_06_what_is_turned_off_ends_what_is_open() {
    let gateway = gateway("").await;
    let token = token(&gateway).await;
    let old = open(&gateway, &token, "default", "2025-03-26").await.unwrap();
    let new = open(&gateway, &token, "default", "2025-11-25").await.unwrap();
    let below = Endpoint {
        path: "/mcp/sse".to_owned(),
        ..gateway.endpoint("default", &token)
    };
    let stream = Talk::sse(&below).await.unwrap();
    let mut stream = Conversation::legacy(stream, "2025-11-25", json!({}))
        .await
        .unwrap();
    gateway
        .configure("tcp_listen: 127.0.0.1:0\nprotocol: { oldest: 2025-06-18 }\n")
        .await
        .unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(old.post(&ping).await.unwrap().status(), 400, "its header");
    let headless = Request::post("/mcp")
        .bearer(&token)
        .header("Mcp-Session-Id", &old.session)
        .rpc(&ping);
    assert_eq!(ask(&gateway, &headless).await.status(), 404, "its session");
    assert_eq!(new.post(&ping).await.unwrap().status(), 200);
    within(Duration::from_secs(6), async || {
        Ok(stream.request("ping", json!({})).await.is_err())
    })
    .await
    .unwrap();
    gateway.shutdown().await;
}
