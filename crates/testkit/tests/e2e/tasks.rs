//! Tasks in both their forms: clients and servers of either, in all four combinations.

use std::time::{Duration, Instant};

use sallyport_testkit::everything::Era;
use sallyport_testkit::legacy_tasks::HttpServer;
use sallyport_testkit::mcp::{Exchange, Legacy, Modern};
use sallyport_testkit::process::program;
use serde_json::{Value, json};

use crate::support::{Scene, until};

/// How long a task may take that is about to end.
const SOON: Duration = Duration::from_secs(20);

/// A client that can do tasks, and be asked in forms.
fn declared() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// A gateway with the legacy-task server over HTTP.
async fn legacy_http() -> anyhow::Result<(Scene, HttpServer)> {
    let server = HttpServer::start().await?;
    let servers = format!("servers:\n  tasks: {{ url: \"{}\" }}\n", server.url());
    Ok((Scene::with(&servers, Vec::new()).await?, server))
}

/// A gateway with the legacy-task server over stdio.
async fn legacy_stdio() -> anyhow::Result<Scene> {
    let command = program("sallyport-everything")?;
    let command = command.display();
    let servers = format!("servers:\n  tasks: {{ command: \"{command}\", args: [--legacy-tasks] }}\n");
    Scene::with(&servers, Vec::new()).await
}

fn code(exchange: &Exchange) -> i64 {
    exchange.answer["error"]["code"].as_i64().unwrap_or_default()
}

/// The id of the task that a modern call has become.
fn created(exchange: &Exchange) -> String {
    let result = exchange.result().unwrap();
    assert_eq!(result["resultType"], "task", "{exchange:?}");
    assert!(result.get("task").is_none(), "it is flat: {exchange:?}");
    result["taskId"].as_str().unwrap().to_owned()
}

async fn op(client: &mut Modern, method: &str, task: &str) -> Exchange {
    client.request(method, json!({ "taskId": task })).await.unwrap()
}

async fn answer(client: &mut Modern, task: &str, answers: Value) -> Exchange {
    let params = json!({ "taskId": task, "inputResponses": answers });
    client.request("tasks/update", params).await.unwrap()
}

/// Looks until the task is in this state.
async fn state(client: &mut Modern, task: &str, status: &str) -> Value {
    let mut last = Value::Null;
    let seen = until(Instant::now() + SOON, async || {
        let exchange = client.request("tasks/get", json!({ "taskId": task })).await?;
        last = exchange.result()?.clone();
        anyhow::ensure!(
            last["resultType"] == "complete" && last["taskId"] == task,
            "{exchange:?}"
        );
        Ok(last["status"] == status)
    });
    if let Err(error) = seen.await {
        panic!("{status}: {error:#} {last}");
    }
    last
}

#[tokio::test]
async fn p_16_p_115_p_116_a_modern_task_is_the_one_client_s_that_may_have_it() {
    let scene = Scene::http(Era::Modern).await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let bobs = scene.token_for("bob", "default").await.unwrap();
    let mut client = scene.modern(declared());
    let found = client.request("server/discover", json!({})).await.unwrap();
    let capabilities = &found.result().unwrap()["capabilities"];
    assert_eq!(
        capabilities["extensions"]["io.modelcontextprotocol/tasks"],
        json!({})
    );
    assert!(capabilities.get("tasks").is_none());
    let asked = json!({ "seconds": 600, "label": "x" });
    let task = created(&client.call("slow_compute", asked).await.unwrap());
    assert_eq!(
        op(&mut client, "tasks/get", &task).await.result().unwrap()["status"],
        "working"
    );

    let mut bob = Modern::new(scene.gateway.endpoint("default", &bobs), declared());
    let mut plain = scene.modern(json!({ "elicitation": {} }));
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({ "taskId": task, "inputResponses": {} });
        let refused = bob.request(method, params.clone()).await.unwrap();
        assert_eq!(
            (refused.status, code(&refused)),
            (200, -32602),
            "{method} {refused:?}"
        );
        let refused = plain.request(method, params.clone()).await.unwrap();
        assert_eq!(
            (refused.status, code(&refused)),
            (400, -32021),
            "{method} {refused:?}"
        );
        let required = &refused.answer["error"]["data"]["requiredCapabilities"];
        assert!(required["extensions"]["io.modelcontextprotocol/tasks"].is_object());
        let message = client.message(70, method, params);
        let another = client.message(70, method, json!({ "taskId": "another" }));
        let request = client.http(&another).body(message.to_string());
        let refused = client.exchange(&request, 70).await.unwrap();
        assert_eq!(
            (refused.status, code(&refused)),
            (400, -32020),
            "{method} {refused:?}"
        );
    }
    let changed = format!("{}A", &task[..task.len() - 1]);
    let changed = if changed == task {
        format!("{task}A")
    } else {
        changed
    };
    for unknown in ["", "task-0", changed.as_str()] {
        let refused = op(&mut client, "tasks/get", unknown).await;
        assert_eq!(code(&refused), -32602, "{unknown} {refused:?}");
    }
    for gone in ["tasks/result", "tasks/list"] {
        let refused = client.request(gone, json!({ "taskId": task })).await.unwrap();
        assert_eq!(
            (refused.status, code(&refused)),
            (404, -32601),
            "{gone} {refused:?}"
        );
    }
    let ended = op(&mut client, "tasks/cancel", &task).await;
    assert_eq!(ended.result().unwrap(), &json!({ "resultType": "complete" }));
    state(&mut client, &task, "cancelled").await;
    let sync = plain
        .call("slow_compute", json!({ "seconds": 0, "label": "x" }))
        .await
        .unwrap();
    assert_eq!(sync.result().unwrap()["resultType"], "complete", "{sync:?}");
    let refused = plain.call("failing_job", json!({})).await.unwrap();
    assert_eq!((refused.status, code(&refused)), (400, -32021), "{refused:?}");
}

#[tokio::test]
async fn a_modern_task_is_followed_to_its_end() {
    followed(&Scene::http(Era::Modern).await.unwrap()).await;
    followed(&Scene::stdio("modern").await.unwrap()).await;
}

async fn followed(scene: &Scene) {
    let mut client = scene.modern(declared());
    let task = created(&client.call("failing_job", json!({})).await.unwrap());
    let done = state(&mut client, &task, "completed").await;
    assert_eq!(done["result"]["isError"], true);
    let task = created(&client.call("protocol_error_job", json!({})).await.unwrap());
    let done = state(&mut client, &task, "failed").await;
    assert!(
        done["error"]["code"].is_i64() && done.get("result").is_none(),
        "{done}"
    );
    let task = created(
        &client
            .call("confirm_delete", json!({ "filename": "f" }))
            .await
            .unwrap(),
    );
    let asks = state(&mut client, &task, "input_required").await;
    let (key, _) = asks["inputRequests"].as_object().unwrap().iter().next().unwrap();
    let accept = json!({ "action": "accept", "content": { "confirm": true } });
    let taken = answer(&mut client, &task, json!({ key: accept })).await;
    assert_eq!(taken.result().unwrap(), &json!({ "resultType": "complete" }));
    state(&mut client, &task, "completed").await;
}

#[tokio::test]
async fn a_modern_task_outlives_the_gateway_that_told_of_it() {
    let mut scene = Scene::http(Era::Modern).await.unwrap();
    let mut client = scene.modern(declared());
    let asked = json!({ "seconds": 600, "label": "x" });
    let task = created(&client.call("slow_compute", asked).await.unwrap());
    scene.gateway.stop().await.unwrap();
    scene.gateway.serve().await.unwrap();
    let mut client = scene.modern(declared());
    let now = state(&mut client, &task, "working").await;
    assert_eq!(now["taskId"], *task);
    op(&mut client, "tasks/cancel", &task).await;
    state(&mut client, &task, "cancelled").await;
}

#[tokio::test]
async fn a_legacy_client_waits_for_a_modern_task_and_is_asked_on_the_way() {
    let scene = Scene::http(Era::Modern).await.unwrap();
    let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    assert!(session.server["capabilities"].get("tasks").is_none());
    let mut session = session.answering(|method, _| match method {
        "elicitation/create" => json!({ "action": "accept", "content": { "confirm": true } }),
        other => panic!("asked {other}"),
    });
    let failed = session.call("failing_job", json!({})).await.unwrap();
    assert_eq!(failed.result().unwrap()["isError"], true, "{failed:?}");
    assert!(failed.result().unwrap().get("resultType").is_none());
    let broken = session.call("protocol_error_job", json!({})).await.unwrap();
    assert_eq!(code(&broken), -32603, "{broken:?}");
    let params = json!({ "name": "slow_compute", "arguments": { "seconds": 1, "label": "x" },
        "_meta": { "progressToken": "p" } });
    let done = session.request("tools/call", params).await.unwrap();
    assert!(done.text().unwrap().contains("Computed x"), "{done:?}");
    assert_eq!(done.notifications[0]["params"]["progressToken"], "p", "{done:?}");
    let done = session
        .call("confirm_delete", json!({ "filename": "f" }))
        .await
        .unwrap();
    assert!(done.text().unwrap().contains("accept"), "{done:?}");
    let both = session.call("multi_input", json!({})).await.unwrap();
    assert_eq!(both.asked.len(), 2, "{both:?}");
    let refused = session.request("tasks/list", json!({})).await.unwrap();
    assert_eq!(code(&refused), -32601);
}

/// Makes a task in a legacy session; the result of the call.
async fn make(session: &mut Legacy, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "task": { "ttl": 600_000 } });
    let made = session.request("tools/call", params).await.unwrap();
    made.result().unwrap()["task"].clone()
}

async fn legacy_tasks(scene: &Scene) {
    let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
    let mut session = session.answering(|_, params| {
        let task = params["_meta"]["io.modelcontextprotocol/related-task"].clone();
        json!({ "action": "accept", "content": {}, "_meta": { "io.modelcontextprotocol/related-task": task } })
    });
    let offered = &session.server["capabilities"]["tasks"];
    assert_eq!(
        offered,
        &json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } })
    );
    let list = session.request("tools/list", json!({})).await.unwrap();
    let tools = list.result().unwrap()["tools"].as_array().unwrap().clone();
    let job = tools.iter().find(|tool| tool["name"] == "job").unwrap();
    assert_eq!(job["execution"]["taskSupport"], "required");

    let task = make(&mut session, "compute", json!({ "label": "a", "looks": 1 })).await;
    assert_eq!(
        (&task["status"], &task["ttl"]),
        (&json!("working"), &json!(600_000))
    );
    let id = task["taskId"].clone();
    assert!(!id.as_str().unwrap().starts_with("task-"), "it is sealed");
    let named = json!({ "taskId": id });
    let now = session.request("tasks/get", named.clone()).await.unwrap();
    assert_eq!(now.result().unwrap()["taskId"], id);
    let done = session.request("tasks/result", named.clone()).await.unwrap();
    assert_eq!(done.text().unwrap(), "computed a", "{done:?}");
    let related = &done.result().unwrap()["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related, &named);
    let late = session.request("tasks/cancel", named.clone()).await.unwrap();
    assert_eq!(code(&late), -32602, "{late:?}");

    let asks = make(&mut session, "confirm", json!({})).await;
    let done = session
        .request("tasks/result", json!({ "taskId": asks["taskId"] }))
        .await
        .unwrap();
    assert_eq!(done.text().unwrap(), "accept/true accept/true", "{done:?}");
    let relates = done.asked.iter().all(|asked| {
        asked["params"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"] == asks["taskId"]
    });
    assert!(relates && done.asked.len() == 2, "{done:?}");

    let slow = make(&mut session, "slow", json!({})).await;
    let named = json!({ "taskId": slow["taskId"] });
    let cancelled = session.request("tasks/cancel", named).await.unwrap();
    assert_eq!(cancelled.result().unwrap()["status"], "cancelled");
    let all = session.request("tasks/list", json!({})).await.unwrap();
    let ids: Vec<_> = all.result().unwrap()["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["taskId"])
        .collect();
    assert_eq!(ids, [&id, &asks["taskId"], &slow["taskId"]], "{all:?}");
    for (tool, task) in [("plain", true), ("job", false)] {
        let mut params = json!({ "name": tool, "arguments": {} });
        if task {
            params["task"] = json!({});
        }
        let misused = session.request("tools/call", params).await.unwrap();
        assert_eq!(code(&misused), -32601, "{tool} {misused:?}");
    }
}

#[tokio::test]
async fn legacy_tasks_pass_between_legacy_client_and_server() {
    let (scene, _server) = legacy_http().await.unwrap();
    legacy_tasks(&scene).await;
    let scene = legacy_stdio().await.unwrap();
    legacy_tasks(&scene).await;
}

#[tokio::test]
async fn p_116_is_02_a_legacy_task_is_nobody_else_s() {
    let (scene, server) = legacy_http().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let bobs = scene.token_for("bob", "default").await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let slow = make(&mut session, "slow", json!({})).await;
    let endpoint = scene.gateway.endpoint("default", &bobs);
    let mut bob = Legacy::open(endpoint, "2025-11-25", json!({})).await.unwrap();
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let refused = bob
            .request(method, json!({ "taskId": slow["taskId"] }))
            .await
            .unwrap();
        assert_eq!(code(&refused), -32602, "{method} {refused:?}");
        assert_eq!(server.server().came(method), 0, "{method}: no server is asked");
        let raw = bob.request(method, json!({ "taskId": "task-0" })).await.unwrap();
        assert_eq!(raw.answer["error"], refused.answer["error"], "{method}");
    }
    let none = bob.request("tasks/list", json!({})).await.unwrap();
    assert_eq!(none.result().unwrap()["tasks"], json!([]), "{none:?}");
    // Another session of the same person and client has the same tasks.
    let mut again = scene.legacy(json!({})).await.unwrap();
    let found = again
        .request("tasks/get", json!({ "taskId": slow["taskId"] }))
        .await
        .unwrap();
    assert_eq!(found.result().unwrap()["status"], "working", "{found:?}");
}

async fn modern_tasks(scene: &Scene) {
    let mut client = scene.modern(declared());
    let task = created(
        &client
            .call("compute", json!({ "label": "a", "looks": 2 }))
            .await
            .unwrap(),
    );
    let first = op(&mut client, "tasks/get", &task).await;
    let first = first.result().unwrap();
    assert_eq!(first["status"], "working");
    assert_eq!(first["statusMessage"], "a");
    assert!(first["ttlMs"].is_u64() && first.get("ttl").is_none() && first.get("pollInterval").is_none());
    let done = state(&mut client, &task, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "computed a", "{done}");
    let meta = &done["result"]["_meta"];
    assert!(
        meta.get("io.modelcontextprotocol/related-task").is_none(),
        "{done}"
    );

    let task = created(&client.call("job", json!({})).await.unwrap());
    let done = state(&mut client, &task, "completed").await;
    assert_eq!(
        done["result"]["isError"], true,
        "failed there, completed here: {done}"
    );
    let task = created(&client.call("broken", json!({})).await.unwrap());
    let done = state(&mut client, &task, "failed").await;
    assert_eq!(done["error"]["code"], -32603, "{done}");

    let task = created(&client.call("confirm", json!({})).await.unwrap());
    let mut asks = state(&mut client, &task, "input_required").await;
    until(Instant::now() + SOON, async || {
        asks = state(&mut client, &task, "input_required").await;
        Ok(asks["inputRequests"]
            .as_object()
            .is_some_and(|requests| requests.len() == 2))
    })
    .await
    .unwrap();
    let requests = asks["inputRequests"].as_object().unwrap();
    let keys: Vec<_> = requests.keys().cloned().collect();
    assert!(
        requests
            .values()
            .all(|request| request["params"].get("_meta").is_none()),
        "{asks}"
    );
    let accept = json!({ "action": "accept", "content": {} });
    let taken = answer(&mut client, &task, json!({ &keys[0]: accept, "unknown": {} })).await;
    assert_eq!(taken.result().unwrap(), &json!({ "resultType": "complete" }));
    let rest = state(&mut client, &task, "input_required").await;
    assert_eq!(
        rest["inputRequests"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        [&keys[1]]
    );
    answer(&mut client, &task, json!({ &keys[1]: accept })).await;
    let done = state(&mut client, &task, "completed").await;
    assert_eq!(
        done["result"]["content"][0]["text"], "accept/true accept/true",
        "{done}"
    );

    let task = created(&client.call("slow", json!({})).await.unwrap());
    for _ in 0..2 {
        let ended = op(&mut client, "tasks/cancel", &task).await;
        assert_eq!(ended.result().unwrap(), &json!({ "resultType": "complete" }));
    }
    state(&mut client, &task, "cancelled").await;
    let plain = client.call("plain", json!({})).await.unwrap();
    assert_eq!(plain.text().unwrap(), "plain without a task");
}

#[tokio::test]
async fn p_103_legacy_tasks_are_modern_ones_to_a_modern_client() {
    let (scene, _server) = legacy_http().await.unwrap();
    modern_tasks(&scene).await;
    let scene = legacy_stdio().await.unwrap();
    modern_tasks(&scene).await;
}

#[tokio::test]
async fn p_115_without_the_extension_the_gateway_sees_a_legacy_task_to_its_end() {
    let (scene, server) = legacy_http().await.unwrap();
    let mut client = scene.modern(json!({ "elicitation": {} }));
    let done = client.call("job", json!({})).await.unwrap();
    assert_eq!(done.result().unwrap()["isError"], true, "{done:?}");
    assert_eq!(done.result().unwrap()["resultType"], "complete");
    assert!(server.server().came("tasks/result") > 0);
    let plain = client.call("compute", json!({ "label": "a" })).await.unwrap();
    assert_eq!(plain.text().unwrap(), "compute without a task", "{plain:?}");
}

#[tokio::test]
async fn links_in_a_task_s_result_lead_back_here() {
    let first = HttpServer::start().await.unwrap();
    let second = HttpServer::start().await.unwrap();
    let servers = format!(
        "servers:\n  a: {{ url: \"{}\" }}\n  b: {{ url: \"{}\" }}\n",
        first.url(),
        second.url()
    );
    let scene = Scene::with(&servers, Vec::new()).await.unwrap();
    let mut client = scene.modern(declared());
    let task = created(&client.call("a__compute", json!({ "looks": 1 })).await.unwrap());
    let done = state(&mut client, &task, "completed").await;
    let uri = done["result"]["content"][1]["uri"].as_str().unwrap();
    assert_eq!(uri, "a+made://by/compute", "{done}");
    let task = created(&client.call("b__confirm", json!({})).await.unwrap());
    let asks = state(&mut client, &task, "input_required").await;
    let (_, request) = asks["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert!(
        request["params"]["message"].as_str().unwrap().starts_with("[b] "),
        "{asks}"
    );
    assert_eq!(
        (
            first.server().came("tools/call"),
            second.server().came("tools/call")
        ),
        (1, 1)
    );
}

async fn told(scene: &Scene) {
    let mut session = scene.legacy(json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let params = json!({ "name": "compute", "arguments": { "looks": 2 }, "task": {}, "_meta": { "progressToken": "p" } });
    let made = session.request("tools/call", params).await.unwrap();
    let named = json!({ "taskId": made.result().unwrap()["task"]["taskId"] });
    session.request("tasks/get", named.clone()).await.unwrap();
    let progress = stream.message().await.unwrap();
    assert_eq!(progress["method"], "notifications/progress", "{progress}");
    assert_eq!(progress["params"]["progressToken"], "p", "{progress}");
    let related = &progress["params"]["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related, &named, "{progress}");
    session.request("tasks/result", named.clone()).await.unwrap();
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks/status", "{told}");
    assert_eq!(told["params"]["taskId"], named["taskId"], "{told}");
    assert_eq!(told["params"]["status"], "completed", "{told}");
}

#[tokio::test]
async fn p_63_p_76_what_a_legacy_server_tells_of_a_task_is_told_under_its_sealed_id() {
    let (scene, _server) = legacy_http().await.unwrap();
    told(&scene).await;
    let scene = legacy_stdio().await.unwrap();
    told(&scene).await;
}

#[tokio::test]
async fn p_103_a_modern_client_hears_of_a_legacy_task_on_its_listen_stream() {
    let (scene, _server) = legacy_http().await.unwrap();
    let mut client = scene.modern(declared());
    let task = created(
        &client
            .call("compute", json!({ "label": "a", "looks": 1 }))
            .await
            .unwrap(),
    );
    let mut stream = client.listen(json!({ "taskIds": [task] })).await.unwrap();
    let first = stream.message().await.unwrap();
    assert_eq!(
        first["params"]["notifications"],
        json!({ "taskIds": [task] }),
        "{first}"
    );
    op(&mut client, "tasks/get", &task).await;
    let told = stream.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tasks", "{told}");
    assert_eq!(
        (&told["params"]["taskId"], &told["params"]["status"]),
        (&json!(task), &json!("completed"))
    );
    assert_eq!(
        told["params"]["result"]["content"][0]["text"], "computed a",
        "{told}"
    );
    assert!(told["params"].get("resultType").is_none(), "{told}");
}
