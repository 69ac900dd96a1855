//! URLs that a person visits before a call can go on, between the eras.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::*;

/// A legacy server: `guarded` refuses until the door is open and says through `refused` that it has; `open` opens the
/// door and tells.
async fn guarding(refused: &Arc<Notify>) -> Fake {
    guarding_at("https://door.example/", refused).await
}

async fn guarding_at(url: &str, refused: &Arc<Notify>) -> Fake {
    let url = url.to_owned();
    let (open, refused) = (AtomicBool::new(false), Arc::clone(refused));
    Fake::start(move |came: &Came| {
        legacy(came, &["guarded", "open"]).unwrap_or_else(|| {
            let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
            if came.message["params"]["name"] == "open" {
                open.store(true, Ordering::Relaxed);
                let (events, stream) = mpsc::unbounded_channel();
                let told = json!({"jsonrpc": "2.0", "method": "notifications/elicitation/complete",
                    "params": {"elicitationId": "e1"}});
                let _ = events.send(told);
                let _ = events
                    .send(json!({"jsonrpc": "2.0", "id": came.message["id"], "result": text("opened")}));
                return Goes::Events(stream);
            }
            if open.load(Ordering::Relaxed) {
                return result(came, text("in"));
            }
            refused.notify_one();
            let visit = json!({"mode": "url", "elicitationId": "e1", "url": url, "message": "Knock"});
            let error = json!({"code": -32042, "message": "locked", "data": {"elicitations": [visit]}});
            Goes::Json(
                200,
                json!({"jsonrpc": "2.0", "id": came.message["id"], "error": error}),
            )
        })
    })
    .await
}

async fn gate_to(fake: &Fake, protocol: Protocol) -> Gate {
    Gate::new(config(
        vec![http("fake", fake.at, protocol)],
        vec![profile("default", &["fake"])],
    ))
}

fn call(tool: &str, extra: Value, capabilities: Value) -> Ask {
    call_by("alice", tool, extra, capabilities)
}

fn call_by(who: &str, tool: &str, extra: Value, capabilities: Value) -> Ask {
    let mut params = json!({"name": tool, "arguments": {"a": 1}});
    for (key, value) in extra.as_object().expect("members") {
        params[key] = value.clone();
    }
    Ask::modern_with(who, "tools/call", params, capabilities)
}

fn urls() -> Value {
    json!({"elicitation": {"url": {}}})
}

fn state_of(asked: &Value) -> &str {
    asked["result"]["requestState"].as_str().expect("a state")
}

#[tokio::test]
async fn p_42_a_required_visit_becomes_a_question_and_the_call_is_made_again() {
    let refused = Arc::new(Notify::new());
    let fake = guarding(&refused).await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let asked = gate.send(call("guarded", json!({}), urls())).await.json().await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert_eq!(
        asked["result"]["inputRequests"],
        json!({"u1": {"method": "elicitation/create",
            "params": {"mode": "url", "url": "https://door.example/", "message": "Knock"}}})
    );
    gate.send(call("open", json!({}), urls())).await.json().await;
    let extra = json!({"requestState": state_of(&asked), "inputResponses": {"u1": {"action": "accept"}}});
    let done = gate
        .send(call("guarded", extra.clone(), urls()))
        .await
        .json()
        .await;
    assert_eq!(done["result"]["content"][0]["text"], "in", "{done}");
    assert_eq!(done["id"], "m1");
    let last = fake.came("tools/call").pop().expect("a call");
    let params = &last.message["params"];
    assert_eq!(params["arguments"], json!({"a": 1}));
    assert!(params.get("inputResponses").is_none() && params.get("requestState").is_none());
    let again = gate.send(call("guarded", extra, urls())).await;
    assert_eq!(again.code().await, -32602, "p_52: once");
}

#[tokio::test]
async fn the_end_of_a_visit_wakes_the_call_that_waits_for_it() {
    let refused = Arc::new(Notify::new());
    let fake = guarding(&refused).await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let asked = gate.send(call("guarded", json!({}), urls())).await.json().await;
    refused.notified().await;
    let extra = json!({"requestState": state_of(&asked), "inputResponses": {"u1": {"action": "accept"}}});
    let waiting = async { gate.send(call("guarded", extra, urls())).await.json().await };
    let opening = async {
        // It has been tried, and the person was not there yet.
        refused.notified().await;
        gate.send(call("open", json!({}), urls())).await.json().await
    };
    let (done, opened) = tokio::join!(waiting, opening);
    assert_eq!(opened["result"]["content"][0]["text"], "opened");
    assert_eq!(done["result"]["content"][0]["text"], "in", "{done}");
    assert_eq!(done["id"], "m1");
    assert_eq!(fake.came("tools/call").len(), 4);
}

#[tokio::test]
async fn who_cannot_be_sent_to_a_url_or_does_not_go_is_told_in_words() {
    let refused = Arc::new(Notify::new());
    let fake = guarding(&refused).await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let form = json!({"elicitation": {"form": {}}});
    let told = gate.send(call("guarded", json!({}), form)).await.json().await;
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert_eq!(told["result"]["resultType"], "complete");
    let text = told["result"]["content"][0]["text"].as_str().expect("text");
    assert!(text.contains("Knock https://door.example/"), "{text}");

    let asked = gate.send(call("guarded", json!({}), urls())).await.json().await;
    let extra = json!({"requestState": state_of(&asked), "inputResponses": {"u1": {"action": "decline"}}});
    let declined = gate.send(call("guarded", extra, urls())).await.json().await;
    assert_eq!(declined["result"]["isError"], true, "{declined}");
    assert_eq!(fake.came("tools/call").len(), 2, "not made again");
}

/// A modern server with the tool `guarded`, which asks for a visit until it has been asked `times` times.
async fn modern_guarding(times: usize) -> Fake {
    let asked = AtomicUsize::new(0);
    Fake::start(move |came: &Came| {
        modern(came, &["guarded"]).unwrap_or_else(|| {
            if asked.fetch_add(1, Ordering::Relaxed) < times {
                return result(
                    came,
                    json!({"resultType": "input_required", "inputRequests": {"door": {"method": "elicitation/create",
                        "params": {"mode": "url", "url": "https://door.example/", "message": "Knock"}}}}),
                );
            }
            let text = json!([{"type": "text", "text": "in"}]);
            result(came, json!({"resultType": "complete", "content": text}))
        })
    })
    .await
}

#[tokio::test]
async fn a_legacy_client_is_sent_to_a_url_once_and_told_of_its_end() {
    let fake = modern_guarding(2).await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session_of("2025-11-25", "alice", urls()).await;
    let ask = Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "guarded"}));
    let mut answer = gate.send(ask).await;
    let question = answer.event().await.expect("a question");
    let id = question["params"]["elicitationId"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(question["params"]["url"], "https://door.example/");
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}});
    gate.send(Ask::post("alice", body.to_string()).with("mcp-session-id", &session))
        .await;
    let over = answer.event().await.expect("the end of the visit");
    assert_eq!(over["method"], "notifications/elicitation/complete", "{over}");
    assert_eq!(over["params"], json!({"elicitationId": id}));
    let last = answer.last().await;
    assert_eq!(last["result"]["content"][0]["text"], "in", "{last}");
    let came = fake.came("tools/call");
    assert_eq!(came.len(), 3);
    for again in &came[1..] {
        let responses = &again.message["params"]["inputResponses"];
        assert_eq!(*responses, json!({"door": {"action": "accept"}}));
    }
}

#[tokio::test]
async fn a_legacy_client_without_urls_reads_where_to_go() {
    let fake = modern_guarding(9).await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate
        .session_of("2025-06-18", "alice", json!({"elicitation": {}}))
        .await;
    let ask = Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "guarded"}));
    let told = gate.send(ask).await.json().await;
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert!(told["result"].get("resultType").is_none(), "p_81");
    let text = told["result"]["content"][0]["text"].as_str().expect("text");
    assert!(text.contains("https://door.example/"), "{text}");
}

#[tokio::test]
async fn uc_10_who_was_sent_to_a_url_goes_on_alone_and_nobody_looks_there() {
    let site = Fake::start(|_| Goes::Json(200, json!({}))).await;
    // As the server writes it, and what a person may be asked to go to is the server's affair.
    let url = format!("http://{}/login?for=x%2Fy&n=1#part", site.at);
    let refused = Arc::new(Notify::new());
    let fake = guarding_at(&url, &refused).await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let asked = gate.send(call("guarded", json!({}), urls())).await.json().await;
    let question = &asked["result"]["inputRequests"]["u1"]["params"];
    assert_eq!(
        *question,
        json!({ "mode": "url", "url": url, "message": "Knock" }),
        "no more than the server said: nothing of the caller"
    );
    let extra = json!({"requestState": state_of(&asked), "inputResponses": {"u1": {"action": "accept"}}});
    let before = fake.came("tools/call").len();
    let others = gate.send(call_by("bob", "guarded", extra.clone(), urls())).await;
    assert_eq!(others.code().await, -32602, "another person with her state");
    assert_eq!(
        fake.came("tools/call").len(),
        before,
        "the server heard nothing of it"
    );
    gate.send(call("open", json!({}), urls())).await.json().await;
    let done = gate.send(call("guarded", extra, urls())).await.json().await;
    assert_eq!(done["result"]["content"][0]["text"], "in", "it was not used up");
    assert_eq!(site.all(), 0, "the page is for people");
}

#[tokio::test]
async fn uc_10_nobody_else_answers_for_who_was_sent_to_a_url_or_hears_of_its_end() {
    let fake = modern_guarding(1).await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let alice = gate.session_of("2025-11-25", "alice", urls()).await;
    let bob = gate.session_of("2025-11-25", "bob", urls()).await;
    let hers = gate.session_of("2025-11-25", "alice", urls()).await;
    let mut heard = gate.send(Ask::get("bob", &bob)).await;
    let ask = Ask::legacy("alice", Some(&alice), "tools/call", json!({"name": "guarded"}));
    let mut answer = gate.send(ask).await;
    let question = answer.event().await.expect("a question");
    assert_eq!(question["params"]["url"], "https://door.example/");
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}}).to_string();
    // Bob in his session and in hers, and she in another one.
    for (who, session) in [("bob", &bob), ("bob", &alice), ("alice", &hers)] {
        let post = Ask::post(who, body.clone()).with("mcp-session-id", session);
        gate.send(post).await;
        assert_eq!(fake.came("tools/call").len(), 1, "{who} is not who was asked");
    }
    gate.send(Ask::post("alice", body).with("mcp-session-id", &alice))
        .await;
    let over = answer.event().await.expect("the end of the visit");
    assert_eq!(over["method"], "notifications/elicitation/complete", "{over}");
    let last = answer.last().await;
    assert_eq!(last["result"]["content"][0]["text"], "in", "{last}");
    // The first thing that he hears is the end of his own session.
    gate.send(
        Ask::bare("DELETE")
            .with("authorization", "Bearer bob")
            .with("mcp-session-id", &bob),
    )
    .await;
    assert_eq!(heard.event().await, None);
}
