//! Legacy sessions over HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};

use sallyport_mcp::log::LogLevel;
use tokio::sync::mpsc;

use super::fake::{Back, Fake, STREAM, TEXT, events, json, legacy_manners, result, status, typed};
use super::support::{House, all, eventually, http, legacy, modern, tool_call, with_token};
use crate::exchange::Reply;
use crate::upstream::Status;

#[tokio::test]
async fn a_session_is_opened_used_and_closed() {
    let fake = Fake::start(|seen| legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert!(upstream.state().speaks.legacy && !upstream.state().speaks.modern);
    let link = house.link(&upstream, &legacy("one")).await;
    let answer = house.call(&link, "\"q\"", "{}").await.expect("an answer");
    assert!(answer.contains("\"id\":\"q\""));
    let call = &fake.calls("tools/call")[0];
    assert_eq!(call.header("mcp-session-id"), Some("s1"));
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-06-18"));
    assert!(call.header("mcp-method").is_none() && call.header("mcp-name").is_none());
    let opened = fake.calls("initialize");
    let client = &opened[1].json()["params"];
    assert_eq!(client["protocolVersion"], "2025-06-18");
    assert!(client["capabilities"]["elicitation"].is_object());
    assert!(opened.iter().all(|seen| seen.header("mcp-session-id").is_none()));
    assert_eq!(fake.calls("notifications/initialized").len(), 2);
    upstream.drop_session(&legacy("one")).await;
    drop(link);
    let deleted = || {
        fake.seen()
            .iter()
            .filter(|seen| seen.head.starts_with("DELETE"))
            .count()
    };
    eventually("the goodbye", || deleted() == 1).await;
    house.upstreams.shutdown().await;
    assert_eq!(deleted(), 2, "the gateway's own session too");
}

#[tokio::test]
async fn p_90_a_forgotten_session_is_opened_anew_once() {
    for (answer, body) in [
        ("404 Not Found", ""),
        (
            "400 Bad Request",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
        ),
    ] {
        let calls = AtomicUsize::new(0);
        let fake = Fake::start(move |seen| {
            legacy_manners(&seen).unwrap_or_else(|| {
                if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                    return typed(answer, "application/json", body);
                }
                json(&result(&seen, TEXT))
            })
        })
        .await;
        let house = House::new();
        let upstream = house.with(http(fake.port)).await;
        let link = house.link(&upstream, &legacy("one")).await;
        house
            .call(&link, "1", "{}")
            .await
            .expect("an answer in the new session");
        let opened = fake.calls("initialize");
        assert_eq!(opened.len(), 3, "the gateway's, the forgotten one, the new one");
        assert!(opened.iter().all(|seen| seen.header("mcp-session-id").is_none()));
        assert_eq!(upstream.counters().sessions_renewed.get(), 1);
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_that_broke_off_is_never_sent_again() {
    let fake = Fake::start(|seen| {
        legacy_manners(&seen).unwrap_or_else(|| {
            Back::Stall(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{".into(),
            )
        })
    })
    .await;
    let house = House::new();
    let mut spec = http(fake.port);
    spec.limits = super::support::quick();
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &legacy("one")).await;
    let fault = house.call(&link, "1", "{}").await.expect_err("no answer");
    assert_eq!(fault.retry, sallyport_core::fault::Retry::Never);
    assert_eq!(fake.calls("tools/call").len(), 1);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn ss_05_p_65_a_dropped_call_is_cancelled_at_the_server() {
    let fake =
        Fake::start(|seen| legacy_manners(&seen).unwrap_or_else(|| Back::Stall(STREAM.to_owned()))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("one")).await;
    let called = |times: usize| fake.calls("tools/call").len() == times;
    {
        let call = link.call(&house.worker, tool_call("\"first\"", "{}"));
        tokio::select! {
            _ = call => panic!("nobody answers"),
            () = eventually("the call", || called(1)) => {}
        }
    }
    eventually("the cancellation", || {
        fake.calls("notifications/cancelled").len() == 1
    })
    .await;
    let ids: Vec<_> = fake
        .calls("notifications/cancelled")
        .iter()
        .map(|seen| seen.json()["params"]["requestId"].clone())
        .collect();
    assert_eq!(ids, ["first"]);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_91_a_polled_stream_is_resumed_where_it_ended() {
    let fake = Fake::start(|seen| {
        if seen.header("last-event-id") == Some("e1") {
            return events(&[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#]);
        }
        legacy_manners(&seen)
            .unwrap_or_else(|| typed("200 OK", "text/event-stream", "id: e1\nretry: 10\ndata:\n\n"))
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("one")).await;
    let answer = house
        .call(&link, "1", "{}")
        .await
        .expect("the rest of the answer");
    assert!(answer.contains("content"));
    assert_eq!(fake.calls("tools/call").len(), 1);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn what_the_server_says_of_its_own_accord_reaches_the_sessions_client() {
    let (sender, receiver) = mpsc::channel(8);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let fake = Fake::start(move |seen| {
        let is_clients = fake_session_is_second(&seen);
        if seen.head.starts_with("GET") && is_clients {
            return Back::Pieces(receiver.lock().expect("no panic").take().expect("one stream"));
        }
        if seen.method() == "initialize" && seen.json()["params"]["capabilities"]["elicitation"].is_object() {
            let body = result(&seen, r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}"#);
            return Back::Send(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s2\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
        legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("one")).await;
    house.call(&link, "1", "{}").await.expect("an answer");
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let stray = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let question = r#"{"jsonrpc":"2.0","id":5,"method":"elicitation/create","params":{"message":"?"}}"#;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let text: String = [stray, changed, log, question]
        .iter()
        .map(|m| format!("data: {m}\n\n"))
        .collect();
    sender.send(format!("{STREAM}{text}")).await.expect("read");
    house.ear.hear().await;
    eventually("the question", || {
        !house.ear.asked.lock().expect("no panic").is_empty()
    })
    .await;
    assert_eq!(*house.ear.told.lock().expect("no panic"), [log]);
    assert_eq!(upstream.counters().foreign_messages.get(), 1);
    // Dropped without an answer, the server is told so.
    house.ear.asked.lock().expect("no panic").clear();
    eventually("the refusal", || {
        fake.seen()
            .iter()
            .any(|seen| seen.body.contains(r#""id":5,"result":{"action":"cancel"}"#))
    })
    .await;
    eventually("another look at the tools", || {
        fake.calls("tools/list").len() == 2
    })
    .await;
    house.upstreams.shutdown().await;
}

fn fake_session_is_second(seen: &super::fake::Seen) -> bool {
    seen.header("mcp-session-id") == Some("s2")
}

#[tokio::test]
async fn p_104_a_modern_client_gets_the_log_of_its_own_call_from_its_level_on() {
    let fake = Fake::start(|seen| {
        legacy_manners(&seen).unwrap_or_else(|| {
            let log = |level: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":"x"}}}}"#);
            events(&[&log("debug"), &log("warning"), &result(&seen, TEXT)])
        })
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let reply = link
        .call(&house.worker, tool_call("1", "{}"))
        .await
        .expect("an answer");
    assert!(matches!(reply, Reply::Whole(_)), "nothing was asked for");
    assert!(fake.calls("logging/setLevel").is_empty());
    let mut call = tool_call("2", "{}");
    call.log_level = Some(LogLevel::Warning);
    let (before, _) = all(link.call(&house.worker, call).await.expect("an answer"))
        .await
        .expect("to the end");
    assert!(before.len() == 1 && before[0].contains("warning"), "{before:?}");
    assert_eq!(
        fake.calls("logging/setLevel")[0].json()["params"]["level"],
        "warning"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn progress_on_the_answers_stream_keeps_its_token() {
    let fake = Fake::start(|seen| {
        legacy_manners(&seen).unwrap_or_else(|| {
            let progress = |token: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#);
            events(&[&progress("\"7\""), &progress("7"), &result(&seen, TEXT)])
        })
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let reply = link
        .call(&house.worker, with_token("1", "7"))
        .await
        .expect("an answer");
    let (before, _) = all(reply).await.expect("to the end");
    assert!(
        before.len() == 1 && before[0].contains("\"progressToken\":7,"),
        "types are kept: {before:?}"
    );
    assert_eq!(upstream.counters().foreign_messages.get(), 1);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_88_a_server_that_is_down_is_not_taken_for_a_legacy_one() {
    let fake = Fake::start(|_| status("503 Service Unavailable")).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    assert_eq!(upstream.state().speaks, crate::upstream::Speaks::default());
    let ear = house.ear.clone();
    let refused = upstream.link(&house.worker, &legacy("a"), ear).await;
    assert_eq!(
        refused.err().map(|fault| fault.retry),
        Some(sallyport_core::fault::Retry::Safe)
    );
    house.upstreams.shutdown().await;
}
