//! Servers that ask on the session's own stream, through the front door.

use sallyport_testkit::apart::{Answers, HttpServer};
use sallyport_testkit::mcp::Exchange;
use serde_json::{Value, json};

use crate::support::Scene;

const BOTH: [Answers; 2] = [Answers::Json, Answers::Events];

async fn scene(answers: Answers) -> (HttpServer, Scene) {
    let server = HttpServer::start(answers).await.unwrap();
    let servers = format!("servers:\n  apart: {{ url: \"{}\" }}\n", server.url());
    let scene = Scene::with(&servers, Vec::new()).await.unwrap();
    (server, scene)
}

fn yes(number: u32) -> Value {
    json!({ "action": "accept", "content": { "number": number } })
}

/// The one question of a result, by its key.
fn question(exchange: &Exchange) -> (String, Value) {
    let result = exchange.result().unwrap();
    assert_eq!(result["resultType"], "input_required", "{exchange:?}");
    let asked = result["inputRequests"].as_object().unwrap();
    assert_eq!(asked.len(), 1, "{exchange:?}");
    let (key, question) = asked.iter().next().unwrap();
    (key.clone(), question.clone())
}

#[tokio::test]
async fn p_97_a_modern_client_answers_what_a_server_asks_apart() {
    for answers in BOTH {
        let (server, scene) = scene(answers).await;
        let mut client = scene.modern(json!({ "elicitation": {} }));
        let arguments = json!({ "questions": 2 });
        let mut exchange = client.call("ask_apart", arguments.clone()).await.unwrap();
        for number in 1..3 {
            let (key, asked) = question(&exchange);
            assert_eq!(asked["method"], "elicitation/create");
            assert_eq!(asked["params"]["message"], format!("Question {number}?"));
            let answers = json!({ key: yes(number) });
            let retried = client.retry("ask_apart", arguments.clone(), &exchange, answers);
            exchange = retried.await.unwrap();
        }
        let heard = exchange.text().unwrap();
        assert!(
            heard.contains("\"number\":1") && heard.contains("\"number\":2"),
            "{answers:?} {heard}"
        );
        // Its sessions were lost: the next call has a new one, with a stream.
        server.forget();
        let asked = client.call("ask_apart", json!({})).await.unwrap();
        question(&asked);
        // Who cannot be asked is not, and needs no session of its own for each call.
        let mut silent = scene.modern(json!({}));
        let unasked = silent.call("ask_apart", json!({})).await.unwrap();
        assert!(unasked.text().unwrap().contains("nobody listens"), "{unasked:?}");
    }
}

#[tokio::test]
async fn p_97_calls_at_the_same_time_are_asked_their_own_questions_apart() {
    let (server, scene) = scene(Answers::Json).await;
    let can = json!({ "elicitation": {} });
    // After the first question it is known how this server asks.
    let mut client = scene.modern(can.clone());
    question(&client.call("ask_apart", json!({})).await.unwrap());
    let before = server.sessions();
    let calls = (0..3).map(|number| {
        let mut client = scene.modern(can.clone());
        async move {
            let arguments = json!({ "which": number });
            let asked = client.call("ask_apart", arguments.clone()).await.unwrap();
            let (key, _) = question(&asked);
            let answers = json!({ key: yes(number) });
            let done = client
                .retry("ask_apart", arguments, &asked, answers)
                .await
                .unwrap();
            (number, done)
        }
    });
    for (number, done) in futures_util::future::join_all(calls).await {
        let heard = done.text().unwrap();
        assert!(
            heard.contains(&format!("\"number\":{number}}}")),
            "{number} {heard}"
        );
    }
    let more = server.sessions() - before;
    assert!((1..=4).contains(&more), "{more}");
}

#[tokio::test]
async fn p_84_a_legacy_client_hears_what_is_asked_apart_on_its_stream_or_its_call() {
    for answers in BOTH {
        let (_server, scene) = scene(answers).await;
        let session = scene.legacy(json!({ "elicitation": {} })).await.unwrap();
        let mut session = session.answering(|_, _| yes(1));
        // It has no stream of its own.
        let exchange = session
            .call("ask_apart", json!({ "questions": 2 }))
            .await
            .unwrap();
        assert_eq!(exchange.asked.len(), 2, "{answers:?} {exchange:?}");
        assert!(exchange.text().unwrap().contains("\"number\":1"), "{exchange:?}");
        // Now it has.
        let mut stream = session.stream().await.unwrap();
        let message = json!({
            "jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": { "name": "ask_apart" },
        });
        let answering = async {
            let asked = stream.message().await.unwrap();
            assert_eq!(asked["method"], "elicitation/create", "{asked}");
            session
                .post(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": yes(7) }))
                .await
                .unwrap()
        };
        let (called, taken) = tokio::join!(session.post(&message), answering);
        assert_eq!(taken.status(), 202);
        let called = called.unwrap().text();
        assert!(
            called.contains("number\\\":7") && !called.contains("elicitation/create"),
            "{called}"
        );
    }
}
