//! Who comes in, and in what order things are looked at.

use serde_json::json;

use super::*;

const METADATA: &str = "http://127.0.0.1:8717/.well-known/oauth-protected-resource";

#[tokio::test]
async fn r2_r3_the_challenge_comes_before_everything_else() {
    let gate = Gate::new(demo());
    for method in ["POST", "GET", "DELETE", "HEAD"] {
        for headers in [
            vec![],
            vec![("accept", "*/*"), ("mcp-protocol-version", "2024-11-05")],
            vec![
                ("accept", "text/html"),
                ("content-type", "text/plain"),
                ("mcp-session-id", "nonsense"),
            ],
        ] {
            let mut ask = Ask::bare(method);
            for (name, value) in headers {
                ask = ask.with(name, value);
            }
            let answer = gate.send(ask).await;
            assert_eq!(answer.status, 401, "{method}");
            let challenge = answer.header("www-authenticate").expect("a challenge").to_owned();
            assert_eq!(
                challenge,
                format!("Bearer resource_metadata=\"{METADATA}/mcp\", scope=\"mcp\"")
            );
        }
    }
}

#[tokio::test]
async fn au_04_the_challenge_names_the_profile_that_was_asked() {
    let mut config = demo();
    config.endpoints.push(profile("b", &["demo"]));
    let gate = Gate::new(config);
    let answer = gate.send(Ask::post("elsewhere", "{}").at("/mcp/b/")).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").expect("a challenge").to_owned();
    assert!(challenge.contains(&format!("{METADATA}/mcp/b\"")), "{challenge}");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    for unknown in ["/mcp/none", "/mcp/default/x", "/servers/demo/mcp"] {
        assert_eq!(gate.send(Ask::post("alice", "{}").at(unknown)).await.status, 404);
    }
}

#[tokio::test]
async fn au_09_tokens_in_wrong_places() {
    let gate = Gate::new(demo());
    let twice = Ask::post("alice", "{}").and("authorization", "Bearer alice");
    assert_eq!(gate.send(twice).await.status, 400);
    let query = Ask::post("alice", "{}")
        .without("authorization")
        .at("/mcp?access_token=alice");
    assert_eq!(gate.send(query).await.status, 401);
    let cookie = Ask::post("alice", "{}")
        .without("authorization")
        .with("cookie", "access_token=alice");
    assert_eq!(gate.send(cookie).await.status, 401);
}

#[tokio::test]
async fn bad_tokens_are_all_answered_alike_and_recorded() {
    let gate = Gate::new(demo());
    let mut bodies = Vec::new();
    for token in ["expired", "revoked", "elsewhere", "bad"] {
        let answer = gate.send(Ask::post(token, "{}")).await;
        assert_eq!(answer.status, 401);
        bodies.push(answer.text().await);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let reasons: Vec<_> = gate.trail.events().into_iter().filter_map(|e| e.reason).collect();
    assert_eq!(reasons, ["expired", "revoked", "audience", "malformed"]);
}

#[tokio::test]
async fn au_07_a_token_without_the_scope_is_told_which() {
    let gate = Gate::new(demo());
    let answer = gate.send(Ask::post("noscope", "{}")).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header("www-authenticate").expect("a challenge").to_owned();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"mcp\""));
}

#[tokio::test]
async fn a_profile_that_does_not_admit_the_person_is_closed() {
    let mut config = demo();
    config.endpoints[0].rules.users.allow.clear();
    let gate = Gate::new(config);
    let answer = gate.send(Ask::post("alice", "{}")).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (403, None));
}

#[tokio::test]
async fn without_authentication_everyone_is_the_local_user() {
    let mut config = demo();
    config.anonymous = Some(sallyport_core::UserId::new("me"));
    let gate = Gate::new(config);
    let ask = Ask::legacy(
        "x",
        None,
        "initialize",
        json!({"protocolVersion": "2025-06-18", "capabilities": {}}),
    );
    assert_eq!(gate.send(ask.without("authorization")).await.status, 200);
    assert_eq!(
        gate.trail.events()[0].user.as_ref().map(|u| u.as_str()),
        Some("me")
    );
}

#[tokio::test]
async fn ht_10_other_methods_are_named() {
    let gate = Gate::new(demo());
    for method in ["PUT", "PATCH", "TRACE", "HEAD", "OPTIONS"] {
        let answer = gate
            .send(Ask::bare(method).with("authorization", "Bearer alice"))
            .await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST, GET, DELETE")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_read() {
    let gate = Gate::new(demo());
    let preflight = Ask::bare("OPTIONS")
        .with("origin", "http://localhost:6274")
        .with("access-control-request-method", "POST")
        .with(
            "access-control-request-headers",
            "authorization, mcp-param-region, x-evil",
        );
    let answer = gate.send(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:6274")
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization, mcp-param-region")
    );
    let refused = gate
        .send(Ask::bare("POST").with("origin", "http://localhost:6274"))
        .await;
    assert_eq!(refused.status, 401);
    let exposed = refused
        .header("access-control-expose-headers")
        .expect("exposed headers");
    assert!(exposed.contains("www-authenticate") && exposed.contains("mcp-session-id"));
}

#[tokio::test]
async fn p_28_media_types() {
    let gate = Gate::new(demo());
    let ask = || Ask::modern("alice", "server/discover", json!({}));
    assert_eq!(
        gate.send(ask().with("content-type", "text/plain")).await.status,
        415
    );
    assert_eq!(gate.send(ask().without("content-type")).await.status, 415);
    assert_eq!(gate.send(ask().with("accept", "text/html")).await.status, 406);
    assert_eq!(gate.send(ask().without("accept")).await.status, 200);
    let events = gate.send(ask().with("accept", "text/event-stream")).await;
    assert!(events.is_events());
    assert_eq!(events.last().await["result"]["resultType"], "complete");
}

#[tokio::test]
async fn p_08_bodies_at_the_limit_and_one_past_it() {
    let gate = Gate::new(demo());
    let limit = ProxyLimits::default().request_bytes;
    let message = |length: usize| {
        let mut body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec();
        body.resize(length, b' ');
        Ask::post("alice", body)
    };
    assert_eq!(
        gate.send(message(limit)).await.status,
        400,
        "no session, but read"
    );
    let past = gate.send(message(limit + 1)).await;
    assert_eq!(past.status, 413);
    assert_eq!(past.code().await, -32600);
}

#[tokio::test]
async fn jr_malformed_messages_get_their_codes() {
    let gate = Gate::new(demo());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (id, body, code) in [
        ("jr_02", deep.as_str(), -32700),
        ("jr_05", "{\"jsonrpc\":\"2.0\",}", -32700),
        ("jr_05", "\u{feff}{}", -32700),
        (
            "jr_01",
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            -32600,
        ),
        (
            "jr_01",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","na\u006de":"b"}}"#,
            -32600,
        ),
        (
            "jr_01",
            r#"{"jsonrpc":"2.0","id":1,"Method":"ping","method":"ping"}"#,
            -32600,
        ),
        ("jr_03", "[]", -32600),
        ("jr_03", "[1]", -32600),
        ("jr_04", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        ("jr_04", r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        ("jr_08", r#"{"id":1,"method":"ping"}"#, -32600),
        (
            "jr_08",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            -32600,
        ),
        (
            "p_06",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            -32600,
        ),
    ] {
        let answer = gate.send(Ask::post("alice", body)).await;
        assert_eq!(answer.status, 400, "{id}");
        let value = answer.json().await;
        assert_eq!(value["error"]["code"], code, "{id} {value}");
        assert!(value.get("id").is_none(), "{id}");
    }
    let broken = gate
        .send(Ask::post(
            "alice",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\"}".to_vec(),
        ))
        .await;
    assert_eq!(broken.code().await, -32700);
}

#[tokio::test]
async fn p_32_silent_streams_of_every_kind_are_kept_alive() {
    let fake = super::fake::Fake::start(|came| {
        super::fake::legacy(came, &["wait"]).unwrap_or_else(|| {
            let (say, events) = tokio::sync::mpsc::unbounded_channel();
            let token = &came.message["params"]["_meta"]["progressToken"];
            let params = json!({"progressToken": token, "progress": 1});
            let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
            say.send(note).expect("a listener");
            // Nothing more is said, and the stream stays open.
            Box::leak(Box::new(say));
            super::fake::Goes::Events(events)
        })
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", fake.at, Protocol::Legacy)],
        vec![profile("default", &["a"])],
    ));
    let session = gate.session_of("2025-11-25", "alice", json!({})).await;
    let call = json!({"name": "wait", "_meta": {"progressToken": 1}});
    let listen = json!({"notifications": {"toolsListChanged": true}});
    for (ask, said_first) in [
        (Ask::get("alice", &session), false),
        (
            Ask::legacy("alice", Some(&session), "tools/call", call.clone()),
            true,
        ),
        (Ask::modern("alice", "tools/call", call), true),
        (Ask::modern("alice", "subscriptions/listen", listen), true),
    ] {
        let mut stream = gate.send(ask).await;
        assert!(stream.is_events());
        if said_first {
            stream.event().await.expect("what comes first");
        }
        let beating = async {
            loop {
                gate.proxy.pulse.beat();
                tokio::task::yield_now().await;
            }
        };
        let comment = async {
            loop {
                let frame = stream.body.frame().await.expect("more").expect("a body");
                if frame.into_data().expect("data").starts_with(b":") {
                    return;
                }
            }
        };
        let comment = tokio::time::timeout(Duration::from_secs(10), comment);
        tokio::select! {
            came = comment => came.expect("a comment in time"),
            () = beating => {}
        }
    }
}
