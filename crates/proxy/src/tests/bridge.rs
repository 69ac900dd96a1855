//! Between the eras: a modern client on a legacy server that asks, and the other way round.

use std::sync::Mutex;

use serde_json::json;
use tokio::sync::mpsc;

use sallyport_core::Timestamp;

use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::levels::eventually;
use super::*;
use crate::sync::lock;

/// A legacy server with the tool `ask`, which asks for a name and greets it.
pub(super) async fn asking() -> Fake {
    type Waiting = Arc<Mutex<Option<(Value, mpsc::UnboundedSender<Value>)>>>;
    let waiting = Waiting::default();
    Fake::start(move |came: &Came| {
        if came.message["id"] == "q1" {
            if let Some((id, events)) = lock(&waiting).take() {
                let name = came.message["result"]["content"]["name"]
                    .as_str()
                    .unwrap_or("nobody");
                let text = json!([{"type": "text", "text": format!("hello {name}")}]);
                let _ = events.send(json!({"jsonrpc": "2.0", "id": id, "result": {"content": text}}));
            }
            return Goes::Nothing;
        }
        legacy(came, &["ask"]).unwrap_or_else(|| {
            let (events, stream) = mpsc::unbounded_channel();
            let question = json!({"jsonrpc": "2.0", "id": "q1", "method": "elicitation/create",
                "params": {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}});
            let _ = events.send(question);
            *lock(&waiting) = Some((came.message["id"].clone(), events));
            Goes::Events(stream)
        })
    })
    .await
}

pub(super) fn form() -> Value {
    json!({"elicitation": {"form": {}}})
}

pub(super) async fn gate_to(fake: &Fake, protocol: Protocol) -> Gate {
    Gate::new(config(
        vec![http("fake", fake.at, protocol)],
        vec![profile("default", &["fake"])],
    ))
}

#[tokio::test]
async fn p_97_a_modern_client_completes_a_legacy_servers_question() {
    let fake = asking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let call = |extra: Value| {
        let mut params = json!({"name": "ask", "arguments": {"a": 1}});
        for (key, value) in extra.as_object().expect("members") {
            params[key] = value.clone();
        }
        Ask::modern_with("alice", "tools/call", params, form())
    };
    let asked = gate.send(call(json!({}))).await.json().await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert_eq!(
        asked["result"]["inputRequests"]["k1"]["method"],
        "elicitation/create"
    );
    let state = asked["result"]["requestState"]
        .as_str()
        .expect("a state")
        .to_owned();

    let empty = gate
        .send(call(json!({"requestState": state, "inputResponses": {}})))
        .await
        .json()
        .await;
    assert_eq!(
        empty["result"]["resultType"], "input_required",
        "p_53: asked again"
    );
    let next = empty["result"]["requestState"]
        .as_str()
        .expect("a state")
        .to_owned();
    assert_ne!(state, next);

    let answers = json!({"k1": {"action": "accept", "content": {"name": "Ada"}}, "extra": {}});
    let retry = |state: &str| call(json!({"requestState": state, "inputResponses": answers}));
    assert_eq!(
        gate.send(retry(&state)).await.code().await,
        -32602,
        "p_52: used once"
    );
    let bob = {
        let mut ask = retry(&next);
        ask.headers[0].1 = "Bearer bob".to_owned();
        ask
    };
    assert_eq!(
        gate.send(bob).await.code().await,
        -32602,
        "p_51: another principal"
    );
    let other = Ask::modern_with(
        "alice",
        "tools/call",
        json!({"name": "ask", "arguments": {"a": 2}, "requestState": next, "inputResponses": answers}),
        form(),
    );
    assert_eq!(
        gate.send(other).await.code().await,
        -32602,
        "is_07: other arguments"
    );

    let done = gate.send(retry(&next)).await.json().await;
    assert_eq!(done["id"], "m1");
    assert_eq!(done["result"]["content"][0]["text"], "hello Ada");
    assert_eq!(done["result"]["resultType"], "complete");
    assert_eq!(fake.came("tools/call").len(), 1, "p_99: carried out once");
    assert_eq!(gate.send(retry(&next)).await.code().await, -32602);
}

#[tokio::test]
async fn p_99_a_call_that_waits_too_long_is_given_up() {
    let fake = asking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let ask = Ask::modern_with("alice", "tools/call", json!({"name": "ask"}), form());
    let asked = gate.send(ask).await.json().await;
    let state = asked["result"]["requestState"]
        .as_str()
        .expect("a state")
        .to_owned();
    gate.proxy.lot.sweep(Timestamp::from_millis(1_000_000 + 600_000));
    assert_eq!(
        gate.trail.outcomes().last(),
        Some(&sallyport_core::audit::Outcome::Failed)
    );
    let params =
        json!({"name": "ask", "requestState": state, "inputResponses": {"k1": {"action": "accept"}}});
    let late = gate
        .send(Ask::modern_with("alice", "tools/call", params, form()))
        .await;
    assert_eq!(late.code().await, -32602);
    let calls = fake.came("tools/call");
    assert_eq!(calls.len(), 1);
    eventually("the cancellation", || {
        !fake.came("notifications/cancelled").is_empty()
    })
    .await;
    let cancelled = fake.came("notifications/cancelled");
    assert_eq!(cancelled.len(), 1);
    assert_eq!(
        cancelled[0].message["params"]["requestId"], calls[0].message["id"],
        "by the id that the server knows"
    );
    eventually("the word that there is no answer", || {
        let answers = fake.answers("q1");
        answers
            .iter()
            .any(|came| came.message["result"]["action"] == "cancel")
    })
    .await;
}

/// A legacy server over stdio whose processes write down which calls they got. `ask` asks and waits, `plain` does not.
fn asking_processes(log: &std::path::Path) -> ServerSpec {
    let script = format!(
        r#"
answer() {{ printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$1"; }}
note() {{ printf '%s %s\n' "$$" "$1" >> '{log}'; }}
while IFS= read -r line; do
  id=${{line#*'"id":'}}; id=${{id%%,*}}
  case $line in
    *'"method":"initialize"'*)
      answer '{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"sh","version":"1"}}}}' ;;
    *'"method":"tools/list"'*)
      answer '{{"tools":[{{"name":"ask","inputSchema":{{"type":"object"}}}},{{"name":"plain","inputSchema":{{"type":"object"}}}}]}}' ;;
    *'"method":"notifications/cancelled"'*) note cancelled ;;
    *'"method":"tools/call"'*'"ask"'*) note ask
      printf '{{"jsonrpc":"2.0","id":"q1","method":"elicitation/create","params":{{"message":"who?","requestedSchema":{{"type":"object","properties":{{}}}}}}}}\n' ;;
    *'"method":"tools/call"'*) note plain; answer '{{"content":[]}}' ;;
    *'"method":"server/discover"'*)
      printf '{{"jsonrpc":"2.0","id":%s,"error":{{"code":-32601,"message":"no"}}}}\n' "$id" ;;
  esac
done"#,
        log = log.display()
    );
    let transport = Transport::Stdio {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script],
        env: BTreeMap::new(),
        cwd: None,
    };
    server("fake", transport)
}

#[tokio::test]
async fn p_99_the_process_of_a_call_that_is_given_up_takes_the_next_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gate = Gate::new(config(
        vec![asking_processes(&log)],
        vec![profile("default", &["fake"])],
    ));
    let call = async |name: &str| {
        let ask = Ask::modern_with("alice", "tools/call", json!({"name": name}), form());
        gate.send(ask).await.json().await
    };
    // A call beside it has a process of its own, for as long as it is waited for.
    for name in ["ask", "plain"] {
        let said = call(name).await;
        let kind = if name == "ask" {
            "input_required"
        } else {
            "complete"
        };
        assert_eq!(said["result"]["resultType"], kind, "{said}");
    }
    gate.proxy.lot.sweep(Timestamp::from_millis(1_000_000 + 600_000));
    let noted = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the cancellation", || noted().contains("cancelled")).await;
    call("plain").await;
    let noted = noted();
    let lines: Vec<_> = noted.lines().filter_map(|line| line.split_once(' ')).collect();
    let [
        (first, "ask"),
        (second, "plain"),
        (third, "cancelled"),
        (fourth, "plain"),
    ] = lines[..]
    else {
        panic!("{noted}");
    };
    assert_ne!(first, second);
    assert_eq!((third, fourth), (first, first), "its lease is free");
}

#[tokio::test]
async fn p_142_of_parked_calls_past_the_limit_the_oldest_makes_room() {
    let fake = asking().await;
    let mut config = config(
        vec![http("fake", fake.at, Protocol::Legacy)],
        vec![profile("default", &["fake"])],
    );
    config.limits.parked_per_principal = 2;
    let gate = Gate::new(config);
    let ask = async |who: &str, n: u8, extra: Value| {
        let mut params = json!({"name": "ask", "arguments": {"n": n}});
        if let Some(state) = extra.as_str() {
            params["requestState"] = json!(state);
            params["inputResponses"] = json!({});
        }
        gate.send(Ask::modern_with(who, "tools/call", params, form()))
            .await
            .json()
            .await
    };
    let mut states = Vec::new();
    for (who, n) in [("bob", 0), ("alice", 1), ("alice", 2), ("alice", 3)] {
        let asked = ask(who, n, Value::Null).await;
        assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
        states.push(asked["result"]["requestState"].clone());
    }
    // Without answers each is asked again, as long as it is there.
    for (who, n, there) in [
        ("alice", 1, false),
        ("alice", 2, true),
        ("alice", 3, true),
        ("bob", 0, true),
    ] {
        let again = ask(who, n, states[usize::from(n)].clone()).await;
        let kind = &again["result"]["resultType"];
        assert_eq!(kind == "input_required", there, "{who} {n}: {again}");
        assert!(there || again["error"]["code"] == -32602);
    }
}

#[tokio::test]
async fn p_49_a_client_that_cannot_answer_is_not_asked() {
    let fake = asking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let asking = gate.send(Ask::modern("alice", "tools/call", json!({"name": "ask"})));
    let asked = tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .expect("an answer")
        .json()
        .await;
    assert_eq!(asked["result"]["content"][0]["text"], "hello nobody", "{asked}");
}

#[tokio::test]
async fn p_84_a_legacy_client_is_asked_on_the_stream_of_its_call() {
    let fake = asking().await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let session = gate.session("alice", json!({"elicitation": {}})).await;
    let other = gate.session("alice", json!({"elicitation": {}})).await;
    let mut answer = gate
        .send(Ask::legacy(
            "alice",
            Some(&session),
            "tools/call",
            json!({"name": "ask"}),
        ))
        .await;
    assert!(answer.is_events());
    let question = answer.event().await.expect("a question");
    assert_eq!(question["method"], "elicitation/create");
    assert_ne!(question["id"], "q1", "the id is the gateway's own");
    let reply = |session: &str| {
        let body = json!({"jsonrpc": "2.0", "id": question["id"],
            "result": {"action": "accept", "content": {"name": "Ada"}}});
        gate.send(Ask::post("alice", body.to_string()).with("mcp-session-id", session))
    };
    assert_eq!(
        reply(&other).await.status,
        202,
        "p_83: another session's answer is let be"
    );
    assert_eq!(reply(&session).await.status, 202);
    let last = answer.last().await;
    assert_eq!(
        (&last["id"], &last["result"]["content"][0]["text"]),
        (&json!(1), &json!("hello Ada"))
    );
    assert!(last["result"].get("resultType").is_none(), "p_81");
}

/// A modern server with the tool `ask`, which asks for a name with a state of its own.
pub(super) async fn modern_asking() -> Fake {
    Fake::start(|came: &Came| {
        modern(came, &["ask"]).unwrap_or_else(|| {
            let params = &came.message["params"];
            if params["requestState"] != "own state" {
                return result(
                    came,
                    json!({"resultType": "input_required", "requestState": "own state", "inputRequests": {
                        "who": {"method": "elicitation/create", "params": {"mode": "form", "message": "who?",
                            "requestedSchema": {"type": "object", "properties": {}}}}}}),
                );
            }
            let name = params["inputResponses"]["who"]["content"]["name"]
                .as_str()
                .unwrap_or("nobody");
            let text = json!([{"type": "text", "text": format!("hello {name}")}]);
            result(came, json!({"resultType": "complete", "content": text}))
        })
    })
    .await
}

#[tokio::test]
async fn p_98_a_legacy_client_completes_a_modern_servers_question() {
    let fake = modern_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({"elicitation": {}})).await;
    let mut answer = gate
        .send(Ask::legacy(
            "alice",
            Some(&session),
            "tools/call",
            json!({"name": "ask"}),
        ))
        .await;
    let question = answer.event().await.expect("a question");
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let body = json!({"jsonrpc": "2.0", "id": question["id"],
        "result": {"action": "accept", "content": {"name": "Ada"}}});
    gate.send(Ask::post("alice", body.to_string()).with("mcp-session-id", &session))
        .await;
    let last = answer.last().await;
    assert_eq!(
        (&last["id"], &last["result"]["content"][0]["text"]),
        (&json!(1), &json!("hello Ada"))
    );
    let came = fake.came("tools/call");
    assert_eq!(came.len(), 2);
    assert_ne!(came[0].message["id"], came[1].message["id"], "p_50: a new id");
    assert!(last["result"].get("resultType").is_none(), "p_81");
}

#[tokio::test]
async fn a_refusal_of_the_legacy_client_cancels_the_elicitation() {
    let fake = modern_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({"elicitation": {}})).await;
    let mut answer = gate
        .send(Ask::legacy(
            "alice",
            Some(&session),
            "tools/call",
            json!({"name": "ask"}),
        ))
        .await;
    let question = answer.event().await.expect("a question");
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}});
    gate.send(Ask::post("alice", body.to_string()).with("mcp-session-id", &session))
        .await;
    answer.last().await;
    let came = fake.came("tools/call");
    assert_eq!(
        came[1].message["params"]["inputResponses"]["who"],
        json!({"action": "cancel"})
    );
}

#[tokio::test]
async fn p_50_p_55_a_modern_servers_state_is_sealed_on_its_way() {
    let fake = modern_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let ask = |params: Value| gate.send(Ask::modern_with("alice", "tools/call", params, form()));
    let asked = ask(json!({"name": "ask"})).await.json().await;
    let state = asked["result"]["requestState"]
        .as_str()
        .expect("a state")
        .to_owned();
    assert_ne!(state, "own state");
    assert_eq!(
        asked["result"]["inputRequests"]["who"]["params"]["message"],
        "who?"
    );
    let answers = json!({"who": {"action": "accept", "content": {"name": "Ada"}}});
    let raw = ask(json!({"name": "ask", "requestState": "own state", "inputResponses": answers})).await;
    assert_eq!(raw.code().await, -32602, "only a sealed state is passed on");
    let retry = || ask(json!({"name": "ask", "requestState": state, "inputResponses": answers}));
    assert_eq!(
        retry().await.json().await["result"]["content"][0]["text"],
        "hello Ada"
    );
    assert_eq!(retry().await.code().await, -32602, "p_52: once");
    assert_eq!(fake.came("tools/call").len(), 2);
}

#[tokio::test]
async fn p_109_same_era_answers_pass_byte_for_byte() {
    const MODERN: &str =
        r#"{ "z":1.50, "resultType":"complete", "content":[ ],"vendor":{"e":1e2,"t":"\u00e9\/"} , "a":[]}"#;
    const LEGACY: &str = r#"{ "z":1.50, "content":[ ],"vendor":{"e":1e2,"t":"\u00e9\/"} , "a":[]}"#;
    const ARGUMENTS: &str = r#"{ "vendor" : 1.50,"t":"\u00e9\/", "b":1e2 ,"a":[ ]}"#;
    for (is_modern, result) in [(true, MODERN), (false, LEGACY)] {
        let fake = Fake::start(move |came: &Came| {
            let known = if is_modern {
                modern(came, &["raw"])
            } else {
                legacy(came, &["raw"])
            };
            let id = &came.message["id"];
            known.unwrap_or_else(|| {
                Goes::Raw(format!(r#"{{"jsonrpc": "2.0" ,"id": {id}, "result":{result} }}"#))
            })
        })
        .await;
        let protocol = if is_modern {
            Protocol::Modern
        } else {
            Protocol::Legacy
        };
        let gate = gate_to(&fake, protocol).await;
        let mut ask = if is_modern {
            Ask::modern("alice", "tools/call", json!({"name": "raw", "arguments": "HERE"}))
        } else {
            let session = gate.session("alice", json!({})).await;
            let params = json!({"name": "raw", "arguments": "HERE"});
            Ask::legacy("alice", Some(&session), "tools/call", params)
        };
        let body = String::from_utf8(ask.body).expect("text");
        ask.body = body.replace(r#""HERE""#, ARGUMENTS).into_bytes();
        let id = if is_modern { r#""m1""# } else { "1" };
        let answer = gate.send(ask).await.text().await;
        assert_eq!(
            answer,
            format!(r#"{{"jsonrpc": "2.0" ,"id": {id}, "result":{result} }}"#)
        );
        let came = fake.came("tools/call");
        assert!(came[0].raw.contains(ARGUMENTS), "{}", came[0].raw);
        assert!(
            !came[0].head.to_ascii_lowercase().contains("authorization"),
            "p_121: the client's token stays here"
        );
    }
}

#[tokio::test]
async fn p_65_a_question_that_is_not_waited_for_any_more_is_withdrawn() {
    let fake = modern_asking().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({"elicitation": {}})).await;
    let mut stream = gate.send(Ask::get("alice", &session)).await;
    let ask = Ask::legacy("alice", Some(&session), "tools/call", json!({"name": "ask"}));
    let mut answer = gate.send(ask).await;
    let question = answer.event().await.expect("a question");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    gate.send(Ask::post("alice", cancel.to_string()).with("mcp-session-id", &session))
        .await;
    assert_eq!(answer.event().await, None, "the call ends without a response");
    let told = stream.event().await.expect("news");
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"]["requestId"], question["id"]);
}
