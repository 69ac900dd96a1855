//! Tasks over small servers of both eras.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sallyport_core::audit::{Action, Outcome};
use serde_json::json;
use tokio::sync::mpsc;

use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::*;
use crate::sync::lock;

fn declared() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

/// A modern server whose tool `job` becomes the task `up-1`, `up-2`, …; `state` is what a look at one shows.
async fn modern_server(state: impl Fn(&Came) -> Value + Send + Sync + 'static) -> Fake {
    let made = AtomicU64::new(0);
    Fake::start(move |came| {
        let params = &came.message["params"];
        let meta = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        let declares = meta["extensions"]["io.modelcontextprotocol/tasks"].is_object();
        match came.message["method"].as_str() {
            Some("server/discover") => result(
                came,
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                    "cacheScope": "private",
                    "capabilities": {"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}),
            ),
            Some("tools/call") if declares => {
                let id = format!("up-{}", made.fetch_add(1, Ordering::Relaxed) + 1);
                result(came, task("task", &id, "working", json!({})))
            }
            Some("tools/call") => result(came, json!({"resultType": "complete", "content": []})),
            Some("tasks/get") => result(came, state(came)),
            Some("tasks/update" | "tasks/cancel") => result(came, json!({"resultType": "complete"})),
            _ => modern(came, &["job"]).expect("no call"),
        }
    })
    .await
}

fn task(kind: &str, id: &str, status: &str, more: Value) -> Value {
    let mut task = json!({"resultType": kind, "taskId": id, "status": status, "ttlMs": 60_000, "pollIntervalMs": 10,
        "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "vendor": 1});
    for (key, value) in more.as_object().expect("members") {
        task[key] = value.clone();
    }
    task
}

fn working(came: &Came) -> Value {
    let id = came.message["params"]["taskId"]
        .as_str()
        .expect("an id")
        .to_owned();
    task("complete", &id, "working", json!({}))
}

fn gate_of(fake: &Fake, protocol: Protocol) -> Gate {
    Gate::new(config_of(fake, protocol))
}

fn config_of(fake: &Fake, protocol: Protocol) -> ProxyConfig {
    config(
        vec![http("a", fake.at, protocol)],
        vec![profile("default", &["a"])],
    )
}

fn call() -> Ask {
    Ask::modern_with("alice", "tools/call", json!({"name": "job"}), declared())
}

fn op(who: &str, method: &str, task: &str) -> Ask {
    let params = json!({"taskId": task, "inputResponses": {}});
    Ask::modern_with(who, method, params, declared()).with("mcp-name", task)
}

async fn created(gate: &Gate) -> String {
    let value = gate.send(call()).await.json().await;
    assert_eq!(value["result"]["resultType"], "task", "{value}");
    value["result"]["taskId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn p_16_a_task_is_known_by_a_sealed_id_and_the_server_by_its_own() {
    let fake = modern_server(working).await;
    let gate = gate_of(&fake, Protocol::Modern);
    let value = gate.send(call()).await.json().await;
    let shown = &value["result"];
    assert_eq!(
        (&shown["vendor"], &shown["pollIntervalMs"]),
        (&json!(1), &json!(500))
    );
    let id = shown["taskId"].as_str().expect("an id");
    assert!(!id.contains("up-1"));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let value = gate.send(op("alice", method, id)).await.json().await;
        assert_eq!(value["result"]["resultType"], "complete", "{value}");
        let [came] = &fake.came(method)[..] else {
            panic!("{method} came once")
        };
        assert_eq!(came.message["params"]["taskId"], "up-1");
        assert!(
            came.head.to_ascii_lowercase().contains("mcp-name: up-1\r\n"),
            "{}",
            came.head
        );
        assert!(!came.message.to_string().contains(id));
    }
    let missing = gate.send(op("alice", "tasks/get", id).without("mcp-name")).await;
    assert_eq!((missing.status, missing.code().await), (400, -32020));
}

#[tokio::test]
async fn p_116_ids_that_are_no_good_are_all_alike_and_reach_no_server() {
    let fake = modern_server(working).await;
    let mut config = config_of(&fake, Protocol::Modern);
    config.endpoints.push(profile("other", &["a"]));
    let gate = Gate::new(config);
    let id = created(&gate).await;
    let mut changed = id.clone().into_bytes();
    changed[3] ^= 1;
    let changed = String::from_utf8(changed).expect("text");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let mut answers = Vec::new();
        for ask in [
            op("bob", method, &id),
            op("alice", method, &changed),
            op("alice", method, "up-1"),
            op("alice", method, &id).at("/mcp/other"),
        ] {
            let answer = gate.send(ask).await;
            assert_eq!(answer.status, 200);
            answers.push(answer.json().await["error"].clone());
        }
        assert!(
            answers.iter().all(|e| *e == answers[0] && e["code"] == -32602),
            "{answers:?}"
        );
        assert!(fake.came(method).is_empty(), "{method}");
    }
    let wanted = json!({"notifications": {"taskIds": [id]}});
    let listen = Ask::modern_with("bob", "subscriptions/listen", wanted, declared());
    assert_eq!(gate.send(listen).await.code().await, -32602);
    gate.clock.0.fetch_add(59_999, Ordering::Relaxed);
    let last = gate.send(op("alice", "tasks/get", &id)).await;
    assert_eq!(last.json().await["result"]["status"], "working");
    gate.clock.0.fetch_add(1, Ordering::Relaxed);
    let late = gate.send(op("alice", "tasks/get", &id)).await;
    assert_eq!(late.code().await, -32602, "its time is over");
    assert_eq!(fake.came("tasks/get").len(), 1);
}

#[tokio::test]
async fn p_116_a_tool_that_may_not_be_called_any_more_has_no_tasks() {
    let fake = modern_server(working).await;
    let gate = gate_of(&fake, Protocol::Modern);
    let id = created(&gate).await;
    let mut narrower = config_of(&fake, Protocol::Modern);
    narrower.endpoints[0].rules = only_tools(&["other"]);
    gate.proxy.apply(narrower);
    assert_eq!(
        gate.send(op("alice", "tasks/get", &id)).await.code().await,
        -32602
    );
    assert!(fake.came("tasks/get").is_empty());
}

#[tokio::test]
async fn tasks_that_run_are_bounded_at_the_limit_and_one_past_it() {
    let fake = modern_server(|came| {
        let id = came.message["params"]["taskId"]
            .as_str()
            .expect("an id")
            .to_owned();
        let more = json!({"result": {"content": [], "resultType": "complete"}});
        task("complete", &id, "completed", more)
    })
    .await;
    let mut config = config_of(&fake, Protocol::Modern);
    config.limits.tasks.per_principal = 2;
    let gate = Gate::new(config);
    let first = created(&gate).await;
    created(&gate).await;
    let past = gate.send(call()).await.json().await;
    assert_eq!(
        past["result"]["resultType"], "complete",
        "answered when it is done: {past}"
    );
    let other = Ask::modern_with("bob", "tools/call", json!({"name": "job"}), declared());
    assert_eq!(
        gate.send(other).await.json().await["result"]["resultType"],
        "task"
    );
    let done = gate.send(op("alice", "tasks/get", &first)).await.json().await;
    assert_eq!(done["result"]["status"], "completed", "{done}");
    created(&gate).await;
}

#[tokio::test]
async fn a_task_is_recorded_from_its_call_to_its_end() {
    let fake = modern_server(|came| {
        let id = came.message["params"]["taskId"]
            .as_str()
            .expect("an id")
            .to_owned();
        task(
            "complete",
            &id,
            "failed",
            json!({"error": {"code": -32603, "message": "m"}}),
        )
    })
    .await;
    let gate = gate_of(&fake, Protocol::Modern);
    let id = created(&gate).await;
    for _ in 0..2 {
        gate.send(op("alice", "tasks/update", &id)).await.json().await;
        gate.send(op("alice", "tasks/get", &id)).await.json().await;
    }
    gate.send(op("alice", "tasks/cancel", &id)).await.json().await;
    let events: Vec<_> = gate
        .trail
        .events()
        .into_iter()
        .map(|e| (e.action, e.outcome))
        .collect();
    let update = [
        (Action::TaskUpdate, Outcome::Started),
        (Action::TaskUpdate, Outcome::Ok),
    ];
    let mut expected = vec![
        (Action::ToolCall, Outcome::Started),
        (Action::ToolCall, Outcome::Ok),
    ];
    expected.extend(update);
    expected.push((Action::TaskEnd, Outcome::Failed));
    expected.extend(update);
    expected.extend([
        (Action::TaskCancel, Outcome::Started),
        (Action::TaskCancel, Outcome::Ok),
    ]);
    assert_eq!(events, expected);
    gate.trail.break_it();
    let refused = gate.send(op("alice", "tasks/cancel", &id)).await;
    assert_eq!(refused.status, 503, "al_04");
    assert_eq!(fake.came("tasks/cancel").len(), 1);
}

#[tokio::test]
async fn p_116_p_58_what_a_server_tells_of_a_task_reaches_whoever_listens_for_it() {
    let (tell, told) = mpsc::unbounded_channel();
    let told = Mutex::new(Some(told));
    let fake = Fake::start(move |came| match came.message["method"].as_str() {
        Some("subscriptions/listen") => match lock(&told).take() {
            Some(told) => Goes::Events(told),
            None => Goes::Json(500, json!({})),
        },
        Some("server/discover") => result(
            came,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}),
        ),
        Some("tools/call") => result(came, task("task", "up-1", "working", json!({}))),
        _ => modern(came, &["job"]).expect("no call"),
    })
    .await;
    let gate = gate_of(&fake, Protocol::Modern);
    let id = created(&gate).await;
    let note = |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let meta = json!({"io.modelcontextprotocol/subscriptionId": "listen"});
    let accepted = json!({"notifications": {"taskIds": ["up-1"]}, "_meta": meta});
    tell.send(note("notifications/subscriptions/acknowledged", accepted))
        .expect("a listener");
    let wanted = json!({"notifications": {"taskIds": [id]}});
    let undeclared = gate
        .send(Ask::modern("alice", "subscriptions/listen", wanted.clone()))
        .await;
    assert_eq!((undeclared.status, undeclared.code().await), (400, -32021));
    let mut stream = gate
        .send(Ask::modern_with(
            "alice",
            "subscriptions/listen",
            wanted,
            declared(),
        ))
        .await;
    let first = stream.event().await.expect("the acknowledgement");
    assert_eq!(first["params"]["notifications"], json!({"taskIds": [id]}));
    let [came] = &fake.came("subscriptions/listen")[..] else {
        panic!("one stream")
    };
    assert_eq!(
        came.message["params"]["notifications"],
        json!({"taskIds": ["up-1"]})
    );
    let mut foreign = task("x", "up-2", "working", json!({}));
    foreign["_meta"] = meta.clone();
    tell.send(note("notifications/tasks", foreign))
        .expect("a listener");
    let mut done = task("x", "up-1", "completed", json!({"result": {"content": []}}));
    done.as_object_mut().expect("members").remove("resultType");
    done["_meta"] = meta;
    tell.send(note("notifications/tasks", done)).expect("a listener");
    let heard = stream.event().await.expect("a notification");
    assert_eq!(heard["method"], "notifications/tasks");
    assert_eq!(
        (&heard["params"]["taskId"], &heard["params"]["status"]),
        (&json!(id), &json!("completed"))
    );
    assert_eq!(
        heard["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "m1"
    );
}

/// A modern server whose tasks never end, and what it is asked of them.
async fn endless() -> (Fake, mpsc::UnboundedReceiver<String>) {
    let (tell, asked) = mpsc::unbounded_channel();
    let fake = Fake::start(move |came| {
        let method = came.message["method"].as_str().unwrap_or_default();
        if method.starts_with("tasks/") {
            tell.send(method.to_owned()).expect("a test");
        }
        match method {
            "server/discover" => result(
                came,
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0,
                    "cacheScope": "private",
                    "capabilities": {"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}}),
            ),
            "tools/call" => result(came, task("task", "up-1", "working", json!({}))),
            "tasks/get" => result(came, working(came)),
            "tasks/cancel" => result(came, json!({"resultType": "complete"})),
            _ => modern(came, &["job"]).expect("no call"),
        }
    })
    .await;
    (fake, asked)
}

async fn until(asked: &mut mpsc::UnboundedReceiver<String>, method: &str) {
    let waiting = async { while asked.recv().await.expect("a server") != method {} };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("in time");
}

#[tokio::test]
async fn p_66_a_legacy_client_that_cancels_ends_the_task_at_its_server() {
    let (fake, mut asked) = endless().await;
    let mut config = config_of(&fake, Protocol::Modern);
    config.limits.tasks.poll = Duration::from_millis(10);
    let gate = Gate::new(config);
    let session = gate.session_of("2025-11-25", "alice", json!({})).await;
    let running = gate.send(Ask::legacy(
        "alice",
        Some(&session),
        "tools/call",
        json!({"name": "job"}),
    ));
    let cancelling = async {
        until(&mut asked, "tasks/get").await;
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        let told = Ask::post("alice", cancel.to_string()).with("mcp-session-id", &session);
        assert_eq!(gate.send(told).await.status, 202);
        until(&mut asked, "tasks/cancel").await;
    };
    let (answer, ()) = tokio::join!(running, cancelling);
    assert_eq!(answer.text().await, "", "who has cancelled gets no answer");
    assert_eq!(fake.came("tasks/cancel")[0].message["params"]["taskId"], "up-1");
    assert!(fake.came("notifications/cancelled").is_empty());
}

#[tokio::test]
async fn p_68_a_task_behind_a_call_takes_no_longer_than_a_call_may() {
    let (fake, mut asked) = endless().await;
    let mut config = config_of(&fake, Protocol::Modern);
    config.servers[0].limits.call = Duration::from_millis(500);
    config.limits.tasks.poll = Duration::from_millis(100);
    let gate = Gate::new(config);
    let session = gate.session_of("2025-11-25", "alice", json!({})).await;
    let answer = gate
        .send(Ask::legacy(
            "alice",
            Some(&session),
            "tools/call",
            json!({"name": "job"}),
        ))
        .await;
    assert_eq!(answer.json().await["error"]["code"], -32603);
    until(&mut asked, "tasks/cancel").await;
    let looks = fake.came("tasks/get").len();
    assert!(
        looks <= 4,
        "every 100 ms at most, not every 10 as the server says: {looks}"
    );
}

/// A legacy server whose tool `job` takes tasks; each is called `up-1`.
async fn legacy_server() -> Fake {
    Fake::start(|came| {
        let state = json!({"taskId": "up-1", "status": "working", "createdAt": "c", "lastUpdatedAt": "u", "ttl": null});
        match came.message["method"].as_str() {
            Some("initialize") => result(
                came,
                json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "fake", "version": "1"},
                    "capabilities": {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}}),
            ),
            Some("tools/list") => result(
                came,
                json!({"tools": [{"name": "job", "inputSchema": {"type": "object"},
                    "execution": {"taskSupport": "optional"}}]}),
            ),
            Some("tools/call") => result(came, json!({"task": state})),
            Some("tasks/get") => result(came, state),
            _ => legacy(came, &[]).expect("no call"),
        }
    })
    .await
}

#[tokio::test]
async fn p_116_a_server_cannot_give_two_people_one_task() {
    let fake = legacy_server().await;
    let gate = gate_of(&fake, Protocol::Legacy);
    let ask = |who: &str, session: &str| {
        let params = json!({"name": "job", "task": {"ttl": 999_999_999_999_u64}});
        Ask::legacy(who, Some(session), "tools/call", params)
    };
    let alices = gate.session_of("2025-11-25", "alice", json!({})).await;
    let made = gate.send(ask("alice", &alices)).await.json().await;
    assert_eq!(
        made["result"]["task"]["ttl"], 86_400_000,
        "no longer than the limit: {made}"
    );
    let sent = &fake.came("tools/call")[0].message["params"]["task"];
    assert_eq!(sent, &json!({"ttl": 86_400_000}));
    let bobs = gate.session_of("2025-11-25", "bob", json!({})).await;
    let refused = gate.send(ask("bob", &bobs)).await;
    assert_eq!(refused.status, 429, "whose task would it be?");
    let older = gate.session_of("2025-06-18", "alice", json!({})).await;
    let get = Ask::legacy("alice", Some(&older), "tasks/get", json!({"taskId": "x"}));
    assert_eq!(
        gate.send(get).await.code().await,
        -32601,
        "an older revision has no tasks"
    );
}

#[tokio::test]
async fn p_70_the_cursor_of_a_list_of_tasks_is_its_owner_s() {
    let made = AtomicU64::new(0);
    let fake = Fake::start(move |came| {
        let named = came.message["params"]["taskId"].as_str().map(str::to_owned);
        let id = named.unwrap_or_else(|| format!("up-{}", made.fetch_add(1, Ordering::Relaxed)));
        let state =
            json!({"taskId": id, "status": "working", "createdAt": "c", "lastUpdatedAt": "u", "ttl": 60_000});
        match came.message["method"].as_str() {
            Some("initialize") => result(
                came,
                json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "fake", "version": "1"},
                    "capabilities": {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}}),
            ),
            Some("tools/list") => result(
                came,
                json!({"tools": [{"name": "job", "inputSchema": {"type": "object"},
                    "execution": {"taskSupport": "required"}}]}),
            ),
            Some("tools/call") => result(came, json!({"task": state})),
            Some("tasks/get") => result(came, state),
            _ => legacy(came, &[]).expect("no call"),
        }
    })
    .await;
    let gate = gate_of(&fake, Protocol::Legacy);
    let session = gate.session_of("2025-11-25", "alice", json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..51 {
        let params = json!({"name": "job", "task": {}});
        let made = gate
            .send(Ask::legacy("alice", Some(&session), "tools/call", params))
            .await
            .json()
            .await;
        ids.push(made["result"]["task"]["taskId"].clone());
    }
    let list =
        |who: &str, session: &str, params: Value| Ask::legacy(who, Some(session), "tasks/list", params);
    let first = gate.send(list("alice", &session, json!({}))).await.json().await;
    let page = first["result"]["tasks"].as_array().expect("tasks");
    assert_eq!(
        page.iter().map(|task| &task["taskId"]).collect::<Vec<_>>(),
        ids[..50].iter().collect::<Vec<_>>()
    );
    let cursor = &first["result"]["nextCursor"];
    let second = gate
        .send(list("alice", &session, json!({"cursor": cursor})))
        .await
        .json()
        .await;
    assert_eq!(second["result"]["tasks"][0]["taskId"], ids[50]);
    assert!(second["result"].get("nextCursor").is_none());
    let bobs = gate.session_of("2025-11-25", "bob", json!({})).await;
    for ask in [
        list("bob", &bobs, json!({"cursor": cursor})),
        list("alice", &session, json!({"cursor": "x"})),
        list("alice", &session, json!({"cursor": 1})),
    ] {
        assert_eq!(gate.send(ask).await.code().await, -32602);
    }
    assert_eq!(
        gate.send(list("bob", &bobs, json!({}))).await.json().await["result"]["tasks"],
        json!([])
    );
}

#[tokio::test]
async fn a_result_is_waited_for_longer_than_a_server_may_be_silent() {
    let silent = Mutex::new(Vec::new());
    let fake = Fake::start(move |came| {
        let state = json!({"taskId": "up-1", "status": "working", "createdAt": "c", "lastUpdatedAt": "u", "ttl": 60_000});
        match came.message["method"].as_str() {
            Some("initialize") => result(
                came,
                json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "fake", "version": "1"},
                    "capabilities": {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}}),
            ),
            Some("tools/list") => result(
                came,
                json!({"tools": [{"name": "job", "inputSchema": {"type": "object"},
                    "execution": {"taskSupport": "required"}}]}),
            ),
            Some("tools/call") => result(came, json!({"task": state})),
            Some("tasks/get") => result(came, state),
            Some("tasks/result") if lock(&silent).is_empty() => {
                let (keep, never) = mpsc::unbounded_channel();
                lock(&silent).push(keep);
                Goes::Events(never)
            }
            Some("tasks/result") => result(came, json!({"content": [{"type": "text", "text": "done"}]})),
            _ => legacy(came, &[]).expect("no call"),
        }
    })
    .await;
    let mut config = config_of(&fake, Protocol::Legacy);
    config.servers[0].limits.idle = Duration::from_millis(200);
    config.limits.tasks.poll = Duration::from_millis(10);
    let gate = Gate::new(config);
    let session = gate.session_of("2025-11-25", "alice", json!({})).await;
    let ask = |method: &str, params: Value| Ask::legacy("alice", Some(&session), method, params);
    let made = gate
        .send(ask("tools/call", json!({"name": "job", "task": {}})))
        .await
        .json()
        .await;
    let named = json!({"taskId": made["result"]["task"]["taskId"]});
    let done = gate.send(ask("tasks/result", named.clone())).await.json().await;
    assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
    let related = &done["result"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related, &named);
    assert_eq!(
        (fake.came("tools/call").len(), fake.came("tasks/result").len()),
        (1, 2)
    );
}

#[tokio::test]
async fn p_119_a_token_for_reading_looks_at_a_task_and_does_not_change_it() {
    let fake = modern_server(working).await;
    let gate = gate_of(&fake, Protocol::Modern);
    let (id, reader) = (created(&gate).await, "alice/mcp.read");
    let looked = gate.send(op(reader, "tasks/get", &id)).await.json().await;
    assert_eq!(looked["result"]["status"], "working", "{looked}");
    for method in ["tasks/update", "tasks/cancel"] {
        let answer = gate.send(op(reader, method, &id)).await;
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("scope=\"mcp:read mcp:write\""), "{challenge}");
        assert_eq!((answer.status, fake.came(method).len()), (403, 0), "{method}");
    }
}
