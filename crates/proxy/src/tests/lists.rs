//! Lists of several servers, and pages.

use serde_json::json;

use super::fake::{Fake, legacy, result};
use super::*;

async fn list(gate: &Gate, cursor: Option<&str>) -> Value {
    let params = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
    gate.send(Ask::modern("alice", "tools/list", params))
        .await
        .json()
        .await
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("no tools: {list}"));
    tools
        .iter()
        .filter_map(|t| t["name"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn p_70_pages_are_sealed_for_one_principal() {
    let mut config = demo();
    config.limits.page_items = 2;
    let gate = Gate::new(config);
    let first = list(&gate, None).await;
    assert_eq!(names(&first).len(), 2);
    assert_eq!(first["result"]["cacheScope"], "private");
    let cursor = first["result"]["nextCursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let second = list(&gate, Some(&cursor)).await;
    assert!(!names(&second).is_empty() && second["result"].get("nextCursor").is_none());
    let bob = gate
        .send(Ask::modern("bob", "tools/list", json!({"cursor": cursor})))
        .await;
    assert_eq!(bob.code().await, -32602, "another principal");
    for wrong in ["", "nonsense"] {
        assert_eq!(
            list(&gate, Some(wrong)).await["error"]["code"],
            -32602,
            "{wrong:?}"
        );
    }
    let other = gate
        .send(Ask::modern("alice", "prompts/list", json!({"cursor": cursor})))
        .await;
    assert_eq!(other.code().await, -32602, "another list");
    let mut changed = demo();
    changed.limits.page_items = 2;
    changed.endpoints[0].rules = only_tools(&["a*"]);
    gate.proxy.apply(changed);
    assert_eq!(
        list(&gate, Some(&cursor)).await["error"]["code"],
        -32602,
        "a list that has changed"
    );
}

#[tokio::test]
async fn p_105_colliding_names_bear_the_operators_names() {
    let answer = |said: &'static str| {
        move |came: &super::fake::Came| {
            legacy(came, &["search", said])
                .unwrap_or_else(|| result(came, json!({"content": [{"type": "text", "text": said}]})))
        }
    };
    let (one, two) = (Fake::start(answer("one")).await, Fake::start(answer("two")).await);
    let gate = Gate::new(config(
        vec![
            http("a", one.at, Protocol::Legacy),
            http("bb", two.at, Protocol::Legacy),
        ],
        vec![profile("default", &["a", "bb"])],
    ));
    let all = list(&gate, None).await;
    assert_eq!(names(&all), ["a__search", "one", "bb__search", "two"]);
    let call = |tool: &str| {
        gate.send(Ask::modern(
            "alice",
            "tools/call",
            json!({"name": tool, "arguments": {"n": 1.50}}),
        ))
    };
    for (tool, said) in [("a__search", "one"), ("bb__search", "two"), ("two", "two")] {
        let value = call(tool).await.json().await;
        assert_eq!(value["result"]["content"][0]["text"], said, "{tool}");
    }
    let came = one.came("tools/call");
    assert_eq!(
        came[0].message["params"]["name"], "search",
        "hm_10: the server's own name"
    );
    assert_eq!(call("search").await.code().await, -32602);
}

#[tokio::test]
async fn a_large_list_is_the_same_in_every_form() {
    let fake = Fake::start(|came| {
        let tools: Vec<String> = (0..500)
            .map(|n| format!("a_tool_with_a_long_name_{n:040}"))
            .collect();
        let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        legacy(came, &tools).unwrap_or(super::fake::Goes::Nothing)
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", fake.at, Protocol::Legacy)],
        vec![profile("default", &["a"])],
    ));
    let ask = || Ask::modern("alice", "tools/list", json!({}));
    let whole = gate.send(ask()).await.text().await;
    assert!(whole.len() > 32 << 10, "{} bytes", whole.len());
    let list: Value = serde_json::from_str(&whole).expect("JSON");
    assert_eq!((&list["id"], names(&list).len()), (&json!("m1"), 500));
    let mut events = gate.send(ask().with("accept", "text/event-stream")).await;
    let event = events.frame().await.expect("an event");
    assert_eq!(event, format!("event: message\ndata: {whole}\n\n"));
    assert_eq!(events.frame().await, None);
}

#[tokio::test]
async fn p_110_a_dead_server_does_not_hold_up_the_others() {
    let dead: SocketAddr = "127.0.0.1:9".parse().expect("an address");
    let gate = Gate::new(config(
        vec![
            server("demo", Transport::Demo),
            http("dead", dead, Protocol::Auto),
        ],
        vec![profile("default", &["demo", "dead"])],
    ));
    let value = list(&gate, None).await;
    assert!(names(&value).contains(&"echo".to_owned()));
    assert!(gate.upstreams.get(&name("dead")).is_some());
}

#[tokio::test]
async fn p_70_a_cursor_at_its_age_and_one_past_it() {
    let mut config = demo();
    config.limits.page_items = 2;
    let gate = Gate::new(config);
    let cursor = list(&gate, None).await["result"]["nextCursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    gate.clock.0.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(
        list(&gate, Some(&cursor)).await["result"].is_object(),
        "at its age"
    );
    gate.clock.0.fetch_add(1, Ordering::Relaxed);
    assert_eq!(
        list(&gate, Some(&cursor)).await["error"]["code"],
        -32602,
        "past it"
    );
}

#[tokio::test]
async fn p_71_a_list_that_was_cut_says_so_and_is_not_kept() {
    for (pages, is_cut) in [(64, false), (65, true)] {
        let fake = Fake::start(move |came| {
            if came.message["method"] != "tools/list" {
                return super::fake::modern(came, &[]).unwrap_or(super::fake::Goes::Nothing);
            }
            let cursor = came.message["params"]["cursor"].as_str().unwrap_or("0");
            let page: usize = cursor.parse().expect("a page");
            let mut list = json!({"resultType": "complete", "ttlMs": 60000, "cacheScope": "public",
                "tools": [{"name": format!("t{page}"), "inputSchema": {"type": "object"}}]});
            if page + 1 < pages {
                list["nextCursor"] = json!((page + 1).to_string());
            }
            result(came, list)
        })
        .await;
        let gate = Gate::new(config(
            vec![http("a", fake.at, Protocol::Modern)],
            vec![profile("default", &["a"])],
        ));
        let all = list(&gate, None).await;
        assert_eq!(names(&all).len(), 64);
        let incomplete = &all["result"]["_meta"]["sallyport/incomplete"];
        assert_eq!(incomplete == &json!(["a"]), is_cut, "{pages}: {incomplete}");
        assert_eq!(all["result"]["ttlMs"] == 0, is_cut, "{pages}");
        let prompts = gate
            .send(Ask::modern("alice", "prompts/list", json!({})))
            .await
            .json()
            .await;
        assert!(
            prompts["result"]["_meta"].get("sallyport/incomplete").is_none(),
            "of its own list only"
        );
    }
}

#[tokio::test]
async fn p_18_annotated_arguments_of_a_server_that_is_just_starting_are_checked_too() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let fake = Fake::start(move |came| match came.message["method"].as_str() {
        Some("tools/list") => {
            // The first list takes as long as the test says.
            let _gone = wait
                .lock()
                .expect("no panic")
                .recv_timeout(std::time::Duration::from_secs(5));
            result(
                came,
                json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
                {"name": "t", "inputSchema": {"type": "object",
                    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}]}),
            )
        }
        Some("tools/call") => result(came, json!({"resultType": "complete", "content": []})),
        _ => super::fake::modern(came, &[]).unwrap_or(super::fake::Goes::Nothing),
    })
    .await;
    let gate = Gate::new(config(
        vec![http("a", fake.at, Protocol::Modern)],
        vec![profile("default", &["a"])],
    ));
    let ask = || {
        Ask::modern(
            "alice",
            "tools/call",
            json!({"name": "t", "arguments": {"region": "eu"}}),
        )
    };
    let (answer, _sent) = tokio::join!(gate.send(ask()), async {
        tokio::task::yield_now().await;
        go.send(())
    });
    assert_eq!((answer.status, answer.code().await), (400, -32020));
    assert_eq!(fake.came("tools/call").len(), 0);
    let told = gate.send(ask().with("mcp-param-region", "eu")).await;
    assert_eq!(told.status, 200);
}
