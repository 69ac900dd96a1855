//! Which era a message is of, and what that means on each kind of connection.

use super::*;

#[tokio::test]
async fn both_eras_share_a_connection() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let opened = line.initialize("2025-06-18", json!({})).await;
    assert_eq!(opened["result"]["protocolVersion"], "2025-06-18");
    let old = line.ask(request(1, "tools/call", echo("old"))).await;
    assert_eq!(old["result"]["content"][0]["text"], "old");
    assert!(old["result"].get("resultType").is_none(), "p_81");
    let new = line.ask(modern(2, "tools/call", echo("new"))).await;
    assert_eq!(new["result"]["content"][0]["text"], "new");
    assert_eq!(new["result"]["resultType"], "complete", "p_34");
    for (id, list) in [
        request(3, "tools/list", json!({})),
        modern(4, "tools/list", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let listed = line.ask(list).await;
        assert_eq!(listed["result"].get("ttlMs").is_some(), id == 1, "{listed}");
    }
    let discovered = line.ask(modern("d", "server/discover", json!({}))).await;
    assert!(discovered["result"]["supportedVersions"].is_array());
    assert_eq!(line.leave().await.0, Ended::Left);
}

#[tokio::test]
async fn p_72_every_legacy_revision_is_negotiated() {
    let gate = Gate::new(demo());
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut line = Line::open(&gate, Manner::Legacy);
        let opened = line.initialize(asked, json!({})).await;
        assert_eq!(opened["result"]["protocolVersion"], answered, "{asked}");
    }
}

#[tokio::test]
async fn the_first_request_decides_where_one_era_is_spoken() {
    let gate = Gate::new(demo());
    let stdio = || Line::open(&gate, Manner::FirstMessage(SOON));
    let mut line = stdio();
    line.ask(modern(1, "server/discover", json!({}))).await;
    let refused = line
        .ask(request(2, "initialize", json!({"protocolVersion": "2025-06-18"})))
        .await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(
        refused["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("2026-07-28")),
        "p_33"
    );
    let bare = line.ask(request(3, "tools/list", json!({}))).await;
    assert_eq!(
        bare["error"]["code"], -32602,
        "without _meta it is a bad modern request"
    );
    assert!(line.ask(modern(4, "tools/list", json!({}))).await["result"].is_object());

    let mut line = stdio();
    line.initialize("2025-11-25", json!({})).await;
    let refused = line.ask(modern(2, "tools/list", json!({}))).await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(line.ask(request(3, "tools/list", json!({}))).await["result"].is_object());

    // What was not understood decides nothing: the client may fall back.
    let mut line = stdio();
    let mut newer = modern(1, "server/discover", json!({}));
    newer["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    assert_eq!(line.ask(newer).await["error"]["code"], -32022);
    let opened = line.initialize("2025-11-25", json!({})).await;
    assert_eq!(opened["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn only_sessions_where_the_transport_knows_nothing_else() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::Legacy);
    let refused = line.ask(modern(1, "tools/list", json!({}))).await;
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
}

#[tokio::test]
async fn p_12_p_13_what_meta_must_say_where_there_are_no_headers() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let unknown = request(
        1,
        "tools/list",
        json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01",
            "io.modelcontextprotocol/clientCapabilities": {}}}),
    );
    let refused = line.ask(unknown).await;
    assert_eq!(refused["error"]["code"], -32022, "{refused}");
    assert_eq!(refused["error"]["data"]["requested"], "2031-01-01");
    let without = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}});
    let refused = line.ask(request(2, "tools/list", without)).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let nothing = line.ask(request(3, "server/discover", json!({}))).await;
    assert_eq!(nothing["error"]["code"], -32602, "{nothing}");
    let unknown = line.ask(modern(4, "tools/dance", json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32601, "p_22");
}

#[tokio::test]
async fn a_session_is_opened_once_and_before_it_is_used() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let early = line.ask(request(1, "tools/list", json!({}))).await;
    assert_eq!(early["error"]["code"], -32600);
    let pong = line.ask(request(2, "ping", json!({}))).await;
    assert_eq!(pong["result"], json!({}), "a ping may come at any time");
    // Without waiting for the answer, as by hand: what follows waits for the session.
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
    line.say(request(3, "initialize", params.clone()));
    line.say(request(4, "tools/call", echo("soon")));
    assert!(line.answer(3).await["result"].is_object());
    assert_eq!(line.answer(4).await["result"]["content"][0]["text"], "soon");
    let again = line.ask(request(5, "initialize", params)).await;
    assert_eq!(again["error"]["code"], -32600);
}

#[tokio::test]
async fn p_01_p_02_p_04_what_is_unreadable_is_told_and_what_is_no_request_is_not() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    for (text, code) in [
        ("{", -32700),
        ("\"text\"", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
    ] {
        line.say(text);
        let refused = line.hear().await.expect("an error");
        assert_eq!(refused["error"]["code"], code, "{text}");
        assert!(refused.get("id").is_none(), "{refused}");
    }
    for method in [
        "notifications/initialized",
        "notifications/tools/list_changed",
        "nonsense",
    ] {
        line.say(json!({"jsonrpc": "2.0", "method": method}));
    }
    line.say(cancel("unheard of"));
    line.say(json!({"jsonrpc": "2.0", "id": "unheard of", "result": {}}));
    line.say(request(1, "ping", json!({})));
    let next = line.hear().await.expect("an answer");
    assert_eq!(next["id"], 1, "nothing was said about the others");
}

#[tokio::test]
async fn p_47_a_modern_request_never_depends_on_those_before_it() {
    let gate = Gate::new(demo());
    let asks = [
        modern(0, "tools/call", echo("a")),
        modern(0, "tools/list", json!({})),
        modern(0, "server/discover", json!({})),
        modern(0, "tools/call", json!({"name": "nothing"})),
        modern(0, "ping", json!({})),
        modern_with(0, "prompts/list", json!({}), json!({"elicitation": {}})),
        request(0, "server/discover", json!({})),
    ];
    let mut fresh = Vec::new();
    for ask in &asks {
        fresh.push(Line::open(&gate, Manner::EachMessage).ask(ask.clone()).await);
    }
    let mut line = Line::open(&gate, Manner::EachMessage);
    let mut order: Vec<usize> = (0..asks.len()).collect();
    for round in 1..=24 {
        // Another order each time.
        order.rotate_left(round % asks.len());
        order.swap(round % asks.len(), (round * 3) % asks.len());
        if round == 12 {
            line.initialize("2025-06-18", json!({"elicitation": {}})).await;
        }
        for place in &order {
            let answer = line.ask(asks[*place].clone()).await;
            assert_eq!(answer, fresh[*place], "round {round}");
        }
    }
}

#[tokio::test]
async fn p_07_batches_are_for_one_revision() {
    let gate = Gate::new(demo());
    let batch = json!([
        request(1, "ping", json!({})),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        request("b", "tools/call", echo("x")),
    ]);
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    line.say(&batch);
    assert_eq!(line.hear().await.expect("an error")["error"]["code"], -32600);
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-03-26", json!({})).await;
    line.say(&batch);
    let answers = line.hear().await.expect("an answer");
    let mut ids: Vec<_> = answers
        .as_array()
        .expect("an array")
        .iter()
        .map(|m| m["id"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["\"b\"", "1"]);
    let opening = json!([request(1, "initialize", json!({"protocolVersion": "2025-03-26"}))]);
    line.say(opening);
    assert_eq!(line.hear().await.expect("an error")["error"]["code"], -32600);
    line.say(json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]));
    assert!(
        line.ask(request(9, "ping", json!({}))).await["result"].is_object(),
        "p_04"
    );
}
