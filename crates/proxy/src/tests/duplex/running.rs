//! What runs on a connection: at once, cancelled, asked back, told of changes.

use sallyport_core::audit::Outcome;

use super::super::bridge::{asking, form, gate_to, modern_asking};
use super::*;

#[tokio::test]
async fn requests_run_at_once_and_are_answered_as_they_end() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    line.say(request(1, "tools/call", countdown()));
    assert_eq!(
        line.hear().await.expect("progress")["params"]["progressToken"],
        "t"
    );
    line.say(modern(2, "tools/call", countdown()));
    let quick = line.ask(request(3, "tools/call", echo("quick"))).await;
    assert_eq!(quick["result"]["content"][0]["text"], "quick");
}

#[tokio::test]
async fn p_65_p_67_a_cancelled_request_of_either_era_gets_no_answer() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    for call in [
        request("c", "tools/call", countdown()),
        modern("c", "tools/call", countdown()),
    ] {
        line.say(&call);
        assert_eq!(
            line.hear().await.expect("progress")["method"],
            "notifications/progress"
        );
        line.say(cancel("c"));
        last_outcome(&gate, Outcome::Cancelled).await;
        let next = line.ask(request("after", "tools/call", echo("x"))).await;
        assert_eq!(next["id"], "after");
    }
    // Said in one breath: the cancel finds what has only just been heard.
    line.say(request("d", "tools/call", countdown()));
    line.say(cancel("d"));
    line.say(request("last", "ping", json!({})));
    let mut heard = line.hear().await.expect("a message");
    while heard["method"] == "notifications/progress" {
        heard = line.hear().await.expect("a message");
    }
    assert_eq!(heard["id"], "last");
    let (_, rest) = line.leave().await;
    assert!(rest.iter().all(|message| message["id"] != "d"), "{rest:?}");
}

#[tokio::test]
async fn p_84_p_98_a_legacy_client_is_asked_on_its_connection() {
    for modern in [false, true] {
        let (fake, protocol) = match modern {
            false => (asking().await, Protocol::Legacy),
            true => (modern_asking().await, Protocol::Modern),
        };
        let gate = gate_to(&fake, protocol).await;
        let mut line = Line::open(&gate, Manner::EachMessage);
        let mut other = Line::open(&gate, Manner::EachMessage);
        for line in [&mut line, &mut other] {
            line.initialize("2025-06-18", json!({"elicitation": {}})).await;
        }
        line.say(request(1, "tools/call", json!({"name": "ask"})));
        let question = line.hear().await.expect("a question");
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let answer = |name: &str| {
            json!({"jsonrpc": "2.0", "id": question["id"],
                "result": {"action": "accept", "content": {"name": name}}})
        };
        other.say(answer("Eve"));
        other.ask(request(2, "ping", json!({}))).await;
        line.say(answer("Ada"));
        let greeted = line.answer(1).await;
        assert_eq!(
            greeted["result"]["content"][0]["text"], "hello Ada",
            "p_83 {greeted}"
        );
    }
}

#[tokio::test]
async fn p_97_a_modern_client_comes_back_with_its_answers() {
    let fake = asking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let mut line = Line::open(&gate, Manner::EachMessage);
    let asked = line
        .ask(modern_with(1, "tools/call", json!({"name": "ask"}), form()))
        .await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    // On another connection of the same principal: nothing depends on the first.
    let mut line = Line::open(&gate, Manner::EachMessage);
    let params = json!({"name": "ask", "requestState": asked["result"]["requestState"],
        "inputResponses": {"k1": {"action": "accept", "content": {"name": "Ada"}}}});
    let done = line.ask(modern_with(2, "tools/call", params, form())).await;
    assert_eq!(done["result"]["content"][0]["text"], "hello Ada", "{done}");
}

#[tokio::test]
async fn p_62_a_session_hears_of_changed_lists() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    line.ask(request(1, "tools/list", json!({}))).await;
    let mut changed = demo();
    changed.endpoints[0].rules = only_tools(&["echo"]);
    gate.proxy.apply(changed);
    let heard = line.hear().await.expect("a notification");
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    let listed = line.ask(request(2, "tools/list", json!({}))).await;
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn p_56_p_57_p_60_listen_streams_share_the_connection() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let listen =
        |id: Value, what: &str| modern(id, "subscriptions/listen", json!({"notifications": {what: true}}));
    let id_of =
        |message: &Value| message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    for (id, what) in [(json!(7), "toolsListChanged"), (json!("7"), "promptsListChanged")] {
        line.say(listen(id.clone(), what));
        let first = line.hear().await.expect("an acknowledgement");
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(id_of(&first), id);
    }
    let mut changed = demo();
    changed.endpoints[0].rules = only_tools(&["echo"]);
    gate.proxy.apply(changed);
    let heard = line.hear().await.expect("a notification");
    assert_eq!(heard["method"], "notifications/tools/list_changed");
    assert_eq!(id_of(&heard), 7);
    line.say(cancel(7));
    line.ask(modern("x", "tools/call", echo("x"))).await;
    gate.proxy.apply(demo());
    gate.proxy.close_streams();
    // The one that is left ends with its result, then the word that it is cancelled.
    let last = line.answer("7").await;
    assert_eq!(
        last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "7"
    );
    let cancelled = line.hear().await.expect("a notification");
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], "7");
    assert!(
        line.hear().await.is_none(),
        "the cancelled one ended without a word"
    );
}

#[tokio::test]
async fn a_level_is_kept_for_the_session() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    let set = line
        .ask(request(1, "logging/setLevel", json!({"level": "debug"})))
        .await;
    assert_eq!(set["result"], json!({}));
    let wrong = line
        .ask(request(2, "logging/setLevel", json!({"level": "loud"})))
        .await;
    assert_eq!(wrong["error"]["code"], -32602);
}

#[tokio::test]
async fn p_142_calls_at_the_limit_and_one_past_it() {
    let mut config = demo();
    config.limits.calls_per_principal = 1;
    let gate = Gate::new(config);
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.say(modern(1, "tools/call", countdown()));
    line.hear().await.expect("progress");
    let refused = line.ask(modern(2, "tools/call", echo("x"))).await;
    assert_eq!(refused["error"]["code"], -32603, "{refused}");
    line.say(cancel(1));
    last_outcome(&gate, Outcome::Cancelled).await;
    assert!(line.ask(modern(3, "tools/call", echo("x"))).await["result"].is_object());
}

#[tokio::test]
async fn p_142_sessions_of_open_connections_are_counted_and_not_pushed_out() {
    let mut config = demo();
    config.limits.sessions_per_principal = 1;
    let gate = Gate::new(config);
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    let mut other = Line::open(&gate, Manner::EachMessage);
    let refused = other.initialize("2025-06-18", json!({})).await;
    assert_eq!(refused["error"]["code"], -32603, "{refused}");
    assert!(line.ask(request(1, "tools/list", json!({}))).await["result"].is_object());
    line.leave().await;
    let opened = other.initialize("2025-06-18", json!({})).await;
    assert!(
        opened["result"].is_object(),
        "the first one's session went with it: {opened}"
    );
}
