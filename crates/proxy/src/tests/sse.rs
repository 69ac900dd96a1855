//! HTTP+SSE of 2024-11-05.

use serde_json::json;

use super::*;

/// Opens a stream; what comes back with it is where to post.
async fn open(gate: &Gate, who: &str, path: &'static str) -> (Answer, String) {
    let ask = Ask::bare("GET")
        .with("authorization", &format!("Bearer {who}"))
        .with("accept", "text/event-stream")
        .at(path);
    let mut stream = gate.send(ask).await;
    assert_eq!((stream.status, stream.is_events()), (200, true));
    let first = stream.frame().await.expect("an event");
    let uri = first
        .strip_prefix("event: endpoint\ndata: ")
        .unwrap_or_else(|| panic!("p_82: the endpoint comes first: {first}"));
    (stream, uri.trim_end().to_owned())
}

fn post(who: &str, uri: &str, message: &Value) -> Ask {
    // One test's addresses.
    Ask::post(who, message.to_string()).at(Box::leak(uri.to_owned().into_boxed_str()))
}

fn initialize(revision: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": "init", "method": "initialize",
        "params": {"protocolVersion": revision, "capabilities": {}}})
}

fn echo(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"text": "x"}}})
}

#[tokio::test]
async fn p_82_the_endpoint_comes_first_posts_are_taken_and_answers_come_on_the_stream() {
    let gate = Gate::new(demo());
    for (path, base) in [
        ("/mcp/sse", "/mcp/messages?sessionId="),
        ("/mcp/sse/", "/mcp/messages?sessionId="),
        ("/mcp/default/sse", "/mcp/default/messages?sessionId="),
    ] {
        let (mut stream, uri) = open(&gate, "alice", path).await;
        assert!(uri.starts_with(base), "{uri}");
        let taken = gate.send(post("alice", &uri, &initialize("2024-11-05"))).await;
        assert_eq!((taken.status, taken.text().await.as_str()), (202, ""));
        let opened = stream.event().await.expect("an answer");
        assert_eq!(opened["result"]["protocolVersion"], "2024-11-05");
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(gate.send(post("alice", &uri, &note)).await.status, 202);
        assert_eq!(gate.send(post("alice", &uri, &echo(1))).await.status, 202);
        let answer = stream.event().await.expect("an answer");
        assert_eq!(
            (&answer["id"], &answer["result"]["content"][0]["text"]),
            (&json!(1), &json!("x"))
        );
    }
}

#[tokio::test]
async fn is_01_the_messages_of_a_stream_are_its_principals_at_its_endpoint() {
    let mut config = demo();
    config.endpoints.push(profile("b", &["demo"]));
    let gate = Gate::new(config);
    let (mut stream, uri) = open(&gate, "alice", "/mcp/default/sse").await;
    let theirs = gate.send(post("bob", &uri, &initialize("2024-11-05"))).await;
    assert_eq!(theirs.status, 404);
    let elsewhere = uri.replace("/default/", "/b/");
    assert_eq!(gate.send(post("alice", &elsewhere, &echo(1))).await.status, 404);
    for unknown in ["/mcp/default/messages?sessionId=x", "/mcp/default/messages"] {
        assert_eq!(
            gate.send(post("alice", unknown, &echo(1))).await.status,
            404,
            "{unknown}"
        );
    }
    let nobody = post("alice", &uri, &echo(1)).without("authorization");
    assert_eq!(
        gate.send(nobody).await.status,
        401,
        "p_74: every message shows a token"
    );
    assert_eq!(
        gate.send(post("alice", &uri, &initialize("2024-11-05")))
            .await
            .status,
        202
    );
    let heard = stream.event().await.expect("an answer");
    assert_eq!(heard["id"], "init", "nothing of the others came here");
}

#[tokio::test]
async fn a_session_dies_with_its_stream() {
    let mut config = demo();
    config.limits.streams_per_principal = 1;
    let gate = Gate::new(config);
    let (mut stream, uri) = open(&gate, "alice", "/mcp/sse").await;
    gate.send(post("alice", &uri, &initialize("2025-11-25"))).await;
    assert_eq!(
        stream.event().await.expect("an answer")["result"]["protocolVersion"],
        "2025-11-25"
    );
    let more = Ask::bare("GET")
        .with("authorization", "Bearer alice")
        .at("/mcp/sse");
    assert_eq!(gate.send(more).await.status, 429, "one past the limit");
    drop(stream);
    let gone = async {
        while gate.send(post("alice", &uri, &echo(1))).await.status != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("in time");
    let mut sessions = 0;
    gate.proxy.sessions.each(|_| sessions += 1);
    assert_eq!(sessions, 0);
    open(&gate, "alice", "/mcp/sse").await;
}

#[tokio::test]
async fn a_posted_token_that_lives_longer_keeps_the_stream_open() {
    let gate = Gate::new(demo());
    let (mut kept, uri) = open(&gate, "short", "/mcp/sse").await;
    let (mut ended, _) = open(&gate, "short", "/mcp/sse").await;
    gate.send(post("short+", &uri, &initialize("2024-11-05"))).await;
    kept.event().await.expect("an answer");
    gate.clock.0.store(1_060_000, Ordering::Relaxed);
    gate.proxy.pulse.beat();
    assert!(ended.frame().await.is_none(), "its token has expired");
    gate.send(post("short+", &uri, &echo(1))).await;
    assert_eq!(kept.event().await.expect("an answer")["id"], 1);
}

#[tokio::test]
async fn p_32_an_idle_stream_is_kept_alive() {
    let gate = Gate::new(demo());
    let (mut stream, _) = open(&gate, "alice", "/mcp/sse").await;
    let beating = async {
        loop {
            gate.proxy.pulse.beat();
            tokio::task::yield_now().await;
        }
    };
    let frame = tokio::select! {
        frame = stream.body.frame() => frame,
        () = beating => None,
    };
    let data = frame
        .expect("a frame")
        .expect("a body")
        .into_data()
        .expect("data");
    assert!(data.starts_with(b":"));
}

#[tokio::test]
async fn what_else_is_asked_of_the_two_halves() {
    let gate = Gate::new(demo());
    let (_stream, uri) = open(&gate, "alice", "/mcp/sse").await;
    let status = async |ask: Ask| gate.send(ask).await.status;
    let get = || {
        Ask::bare("GET")
            .with("authorization", "Bearer alice")
            .at("/mcp/sse")
    };
    assert_eq!(status(get().with("accept", "application/json")).await, 406);
    assert_eq!(status(get().without("authorization")).await, 401);
    assert_eq!(status(get().at("/mcp/nowhere/sse")).await, 404);
    assert_eq!(status(Ask::post("alice", "{}").at("/mcp/sse")).await, 405);
    let mut wrong = get().at("/mcp/messages");
    assert_eq!(status(wrong).await, 405);
    wrong = post("alice", &uri, &echo(1)).with("content-type", "text/plain");
    assert_eq!(status(wrong).await, 415);
    assert_eq!(status(post("alice", &uri, &json!("no message"))).await, 400);
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": "x".repeat(4 << 20)}});
    assert_eq!(status(post("alice", &uri, &large)).await, 413, "p_08");
    let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    assert_eq!(
        status(post("alice", &uri, &modern)).await,
        202,
        "its error comes on the stream"
    );
}
