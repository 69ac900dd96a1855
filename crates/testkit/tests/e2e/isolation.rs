//! Two people at one gateway, and how little one of them is to the other.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sallyport_testkit::everything::Era;
use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Connection, Request};
use sallyport_testkit::mcp::{Endpoint, Exchange, Legacy, Modern};
use sallyport_testkit::oauth::Tokens;
use serde_json::{Value, json};

use crate::support::{Scene, names, server, servers, stdio, within};

/// Ada's scene, and an endpoint for Bob.
async fn with_bob(more: &str, behind: Vec<Server>) -> anyhow::Result<(Scene, Endpoint)> {
    let scene = Scene::with(more, behind).await?;
    scene.gateway.add_user("bob", false).await?;
    let token = scene.token_for("bob", "default").await?;
    let bob = scene.gateway.endpoint("default", &token);
    Ok((scene, bob))
}

#[tokio::test]
async fn is_03_a_session_outlives_the_token_it_was_opened_with() {
    let gateway = TestGateway::start("").await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let client = gateway.client().await.unwrap();
    let mut browser = gateway.browser().unwrap();
    let resource = gateway.resource("default");
    let first = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let session = Legacy::open(
        gateway.endpoint("default", &first.access),
        "2025-11-25",
        json!({}),
    )
    .await
    .unwrap();
    let second = Tokens::read(client.refresh(&first.refresh).await.unwrap()).unwrap();
    assert_ne!(first.access, second.access);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let request = Request::post("/mcp")
        .bearer(&second.access)
        .header("MCP-Protocol-Version", "2025-11-25")
        .header("Mcp-Session-Id", &session.session)
        .rpc(&ping);
    let answer = gateway.connect().await.unwrap().ask(&request).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
}

#[tokio::test]
async fn is_04_a_list_is_for_who_asked_for_it() {
    let behind = server(Era::Modern).await.unwrap();
    let more = format!(
        "{}profiles:\n  default: {{ servers: [everything] }}\n  few: {{ servers: [everything], tools: {{ allow: [echo] }} }}\n",
        servers(&[("everything", &behind)])
    );
    let (scene, _) = with_bob(&more, vec![behind]).await.unwrap();
    let few = scene.token_for("bob", "few").await.unwrap();
    for _ in 0..2 {
        let all = scene
            .modern(json!({}))
            .request("tools/list", json!({}))
            .await
            .unwrap();
        assert!(names(all.result().unwrap()).len() > 30);
        let mut bob = Modern::new(scene.gateway.endpoint("few", &few), json!({}));
        let some = bob.request("tools/list", json!({})).await.unwrap();
        assert_eq!(names(some.result().unwrap()), ["echo"]);
        // The server says `public`; what a policy has been through is nobody else's.
        assert_eq!(some.result().unwrap()["cacheScope"], "private");
    }
}

#[tokio::test]
async fn is_05_p_64_equal_ids_and_tokens_reach_their_own_callers() {
    // One process for everybody, so that ids and tokens meet if anything does.
    let more = stdio("legacy").unwrap().replace(" }\n", ", process: shared }\n");
    let (scene, bob) = with_bob(&more, Vec::new()).await.unwrap();
    let ada = scene.gateway.endpoint("default", &scene.token);
    let calls = (0..40).map(|number| {
        let (who, endpoint) = if number % 2 == 0 {
            ("ada", &ada)
        } else {
            ("bob", &bob)
        };
        let mut client = Modern::new(endpoint.clone(), json!({}));
        async move {
            let text = format!("{who} {number}");
            let params = json!({
                "name": "echo_progress", "arguments": { "text": text },
                "_meta": { "progressToken": "t" },
            });
            let answer = client.request("tools/call", params).await.unwrap();
            assert_eq!(answer.text().unwrap(), text, "{answer:?}");
            assert_eq!(answer.notifications.len(), 1, "{answer:?}");
            let told = &answer.notifications[0]["params"];
            assert_eq!(
                (&told["message"], &told["progressToken"]),
                (&json!(text), &json!("t"))
            );
        }
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn is_06_nobody_cancels_anothers_call() {
    let more = stdio("legacy").unwrap().replace(" }\n", ", process: shared }\n");
    let (scene, bob) = with_bob(&more, Vec::new()).await.unwrap();
    let mut ada = scene.legacy(json!({})).await.unwrap();
    let bob = Legacy::open(bob, "2025-11-25", json!({})).await.unwrap();
    let mut watcher = scene.legacy(json!({})).await.unwrap();
    let call = tokio::spawn(async move {
        let answer = ada.call("wait", json!({ "ms": 1500 })).await;
        (ada, answer)
    });
    within(Duration::from_secs(10), async || {
        Ok(counted(&watcher.call("counters", json!({})).await?, "wait")? > 0)
    })
    .await
    .unwrap();
    // Every id that the call may have, here or at the server.
    for id in (0..200)
        .map(Value::from)
        .chain((0..200).map(|id| json!(id.to_string())))
    {
        let params = json!({ "requestId": id });
        bob.notify("notifications/cancelled", params)
            .await
            .unwrap()
            .expect(202)
            .unwrap();
    }
    let (_ada, answer) = call.await.unwrap();
    assert_eq!(answer.unwrap().text().unwrap(), "waited");
}

fn counted(counters: &Exchange, what: &str) -> anyhow::Result<u64> {
    let counters: Value = serde_json::from_str(counters.text()?)?;
    Ok(counters.get(what).and_then(Value::as_u64).unwrap_or(0))
}

/// What a modern client with elicitation gets to hear from a legacy server: a question, and a state.
async fn parked(client: &mut Modern) -> anyhow::Result<(String, String)> {
    let asked = client
        .call("test_elicitation", json!({ "message": "Who?" }))
        .await?;
    let result = asked.result()?;
    let questions = result.get("inputRequests").and_then(Value::as_object);
    let key = questions.and_then(|questions| questions.keys().next());
    let state = result.get("requestState").and_then(Value::as_str);
    Ok((
        key.context("a key")?.clone(),
        state.context("a state")?.to_owned(),
    ))
}

async fn answer(
    client: &mut Modern,
    tool: &str,
    arguments: Value,
    key: &str,
    state: &str,
) -> anyhow::Result<Exchange> {
    let given = json!({ key: { "action": "accept", "content": { "username": "u", "email": "e@x" } } });
    let params = json!({
        "name": tool, "arguments": arguments, "inputResponses": given, "requestState": state,
    });
    client.request("tools/call", params).await
}

#[tokio::test]
async fn is_07_p_51_a_state_is_good_for_its_own_call_and_person_only() {
    let behind = server(Era::Legacy).await.unwrap();
    let more = servers(&[("everything", &behind)]);
    let (scene, bob) = with_bob(&more, vec![behind]).await.unwrap();
    let can = json!({ "elicitation": {} });
    let mut ada = scene.modern(can.clone());
    let mut bob = Modern::new(bob, can);
    let who = json!({ "message": "Who?" });
    let (key, state) = parked(&mut ada).await.unwrap();
    let refused = |exchange: &Exchange| exchange.error_code().unwrap() == -32602;
    for at in (0..state.len()).step_by(3) {
        let mut bytes = state.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        if changed != state {
            let got = answer(&mut ada, "test_elicitation", who.clone(), &key, &changed)
                .await
                .unwrap();
            assert!(refused(&got), "byte {at}: {got:?}");
        }
    }
    let got = answer(&mut bob, "test_elicitation", who.clone(), &key, &state)
        .await
        .unwrap();
    assert!(refused(&got), "another person: {got:?}");
    let got = answer(&mut ada, "echo", json!({ "text": "x" }), &key, &state)
        .await
        .unwrap();
    assert!(refused(&got), "another tool: {got:?}");
    let got = answer(
        &mut ada,
        "test_elicitation",
        json!({ "message": "You?" }),
        &key,
        &state,
    )
    .await
    .unwrap();
    assert!(refused(&got), "other arguments: {got:?}");
    // None of that has used it up, and now it is.
    let got = answer(&mut ada, "test_elicitation", who.clone(), &key, &state)
        .await
        .unwrap();
    assert!(got.text().unwrap().contains("action=accept"), "{got:?}");
    let got = answer(&mut ada, "test_elicitation", who, &key, &state)
        .await
        .unwrap();
    assert!(refused(&got), "again: {got:?}");
}

#[tokio::test]
async fn is_09_p_100_a_process_of_one_person_is_nobody_elses() {
    for era in ["legacy", "modern"] {
        let (scene, bob) = with_bob(&stdio(era).unwrap(), Vec::new()).await.unwrap();
        let mut ada = scene.modern(json!({}));
        for _ in 0..3 {
            ada.call("echo", json!({ "text": "ada's" }))
                .await
                .unwrap()
                .text()
                .unwrap();
        }
        let mut bob = Modern::new(bob, json!({}));
        let seen = bob.call("counters", json!({})).await.unwrap();
        assert_eq!(counted(&seen, "echo").unwrap(), 0, "{era}: {seen:?}");
        let own = ada.call("counters", json!({})).await.unwrap();
        assert_eq!(counted(&own, "echo").unwrap(), 3, "{era}: {own:?}");
    }
}

#[tokio::test]
async fn is_12_who_is_removed_in_the_middle_of_a_burst_gets_nothing_more() {
    let (scene, bob) = with_bob("", Vec::new()).await.unwrap();
    let status = async |endpoint: &Endpoint| -> anyhow::Result<u16> {
        let client = Modern::new(endpoint.clone(), json!({}));
        let message = client.message(
            1,
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "x" } }),
        );
        let mut connection = Connection::open(endpoint.address, &endpoint.host).await?;
        Ok(connection.ask(&client.http(&message)).await?.status())
    };
    assert_eq!(status(&bob).await.unwrap(), 200);
    let burst = (0..8).map(|_| async {
        let mut refused: Option<Instant> = None;
        let end = Instant::now() + Duration::from_secs(20);
        let mut after = 0;
        while after < 125 && Instant::now() < end {
            match (status(&bob).await.unwrap(), refused) {
                (200, None) => {}
                (401, since) => {
                    refused = since.or(Some(Instant::now()));
                    after += 1;
                }
                (other, since) => panic!("{other} after {since:?}"),
            }
        }
        (after, refused.unwrap())
    });
    let removal = async {
        scene.gateway.run(&["user", "remove", "bob"], "").await.unwrap();
        Instant::now()
    };
    let (ends, removed) = tokio::join!(futures_util::future::join_all(burst), removal);
    for (after, first_refusal) in ends {
        assert_eq!(after, 125);
        let late = first_refusal.saturating_duration_since(removed);
        assert!(
            late < Duration::from_secs(1),
            "{late:?} after the command was done"
        );
    }
}

#[tokio::test]
async fn is_13_metrics_and_errors_tell_nobody_about_another() {
    let (scene, bob) = with_bob("", Vec::new()).await.unwrap();
    let mut bob = Modern::new(bob, json!({}));
    bob.call("echo", json!({ "text": "bobs-secret-word" }))
        .await
        .unwrap();
    scene
        .modern(json!({}))
        .call("echo", json!({ "text": "x" }))
        .await
        .unwrap();
    let page = async || scene.gateway.admin_page("/metrics").await.unwrap().text();
    let before = page().await;
    for number in 0..200 {
        let missing = format!("bobs_tool_{number}");
        let answer = bob.call(&missing, json!({})).await.unwrap();
        assert_eq!(answer.error_code().unwrap(), -32602);
    }
    let after = page().await;
    for word in ["bob", "ada", "secret", "bobs_tool"] {
        assert!(!after.contains(word), "{word} is in {after}");
    }
    // What callers invent makes no new series.
    let series = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series(&after) <= series(&before) + 2, "{before}\n{after}");
}
