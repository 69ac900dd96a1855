//! Calls to modern servers over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use sallyport_mcp::Era;
use tokio::sync::mpsc;

use super::fake::{
    Back, Fake, STREAM, TEXT, events, json, legacy_manners, modern_manners, result, status, typed,
};
use super::support::{House, all, eventually, http, last, legacy, modern, tool_call, with_token};
use crate::exchange::{Message, Reply};
use crate::upstream::{ListenFilter, Status};

#[tokio::test]
async fn p_85_headers_are_made_from_the_body_that_is_sent() {
    let fake = Fake::start(|seen| modern_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert!(upstream.state().speaks.modern);
    for (view, id) in [(modern("{}"), "\"a\""), (legacy("s"), "7")] {
        let link = house.link(&upstream, &view).await;
        assert_eq!(link.era(), Era::Modern);
        let mut call = tool_call(id, "{}");
        call.target = "naïve tool".into();
        let reply = link.call(&house.worker, call).await.expect("an answer");
        assert!(matches!(&reply, Reply::Whole(_)));
        assert!(
            last(reply)
                .await
                .expect("whole")
                .contains(&format!("\"id\":{id},"))
        );
    }
    let calls = fake.calls("tools/call");
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.header("accept"), Some("application/json, text/event-stream"));
        assert_eq!(call.header("content-type"), Some("application/json"));
        assert_eq!(call.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(call.header("mcp-method"), Some("tools/call"));
        assert_eq!(call.header("mcp-name"), Some("=?base64?bmHDr3ZlIHRvb2w=?="));
        assert_eq!(call.header("x-api-key"), Some("configured-key"));
        assert!(call.head.starts_with("POST /mcp HTTP/1.1"));
    }
    assert!(
        calls[0].json()["params"].get("_meta").is_none(),
        "a modern client's own words"
    );
    let stamped = &calls[1].json()["params"]["_meta"];
    assert_eq!(stamped["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert!(stamped["io.modelcontextprotocol/clientCapabilities"]["elicitation"].is_object());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_93_what_a_server_did_not_announce_is_not_asked_of_it() {
    let fake = Fake::start(|seen| modern_manners(&seen).unwrap_or_else(|| status("404 Not Found"))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert_eq!(fake.calls("tools/list").len(), 1);
    for method in [
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "skills/list",
        "logging/setLevel",
        "completion/complete",
    ] {
        assert!(fake.calls(method).is_empty(), "{method}");
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_relayed_and_one_answer_is_no_stream() {
    let fake = Fake::start(|seen| {
        modern_manners(&seen).unwrap_or_else(|| {
            let answer = result(&seen, TEXT);
            if seen.json()["params"].get("_meta").is_none() {
                return events(&[&answer]);
            }
            let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"tok","progress":1}}"#;
            events(&[progress, &answer])
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
    assert!(matches!(reply, Reply::Whole(_)));
    let reply = link
        .call(&house.worker, with_token("1", "\"tok\""))
        .await
        .expect("an answer");
    assert!(matches!(reply, Reply::Stream(_)));
    let (before, answer) = all(reply).await.expect("to the end");
    assert_eq!((before.len(), answer.contains("\"id\":1")), (1, true));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_03_equal_ids_of_two_clients_differ_at_the_server() {
    let fake =
        Fake::start(|seen| modern_manners(&seen).unwrap_or_else(|| Back::Stall(STREAM.to_owned()))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let first = link.call(&house.worker, tool_call("1", "{}"));
    let second = link.call(&house.worker, tool_call("1", "{}"));
    tokio::select! {
        _ = first => panic!("nobody answers"),
        _ = second => panic!("nobody answers"),
        () = eventually("both calls", || fake.calls("tools/call").len() == 2) => {}
    }
    let ids: Vec<_> = fake.calls("tools/call").iter().map(|call| call.id()).collect();
    assert!(ids.contains(&"1".to_owned()) && ids[0] != ids[1], "{ids:?}");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_86_stale_annotations_are_fetched_again_and_the_call_sent_once_more() {
    static ANNOTATED: AtomicBool = AtomicBool::new(false);
    let fake = Fake::start(|seen| match seen.method().as_str() {
        "tools/list" if ANNOTATED.load(Ordering::SeqCst) => json(&result(
            &seen,
            r#"{"resultType":"complete","tools":[{"name":"t","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}},
                {"name":"bad","inputSchema":{"type":"object","properties":{"r":{"type":"number","x-mcp-header":"R"}}}}]}"#,
        )),
        "tools/call" if seen.header("mcp-param-region") == Some("eu") => json(&result(&seen, TEXT)),
        "tools/call" => {
            ANNOTATED.store(true, Ordering::SeqCst);
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32020,"message":"Mcp-Param-Region"}}}}"#, seen.id());
            typed("400 Bad Request", "application/json", &body)
        }
        _ => modern_manners(&seen).expect("nothing else is asked"),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let answer = house
        .call(&link, "1", r#"{"region":"eu"}"#)
        .await
        .expect("an answer");
    assert!(answer.contains("hi"), "{answer}");
    assert_eq!(fake.calls("tools/call").len(), 2);
    // P-87: the tool that cannot be called is not offered, the others are.
    let state = house
        .state(|state| {
            state
                .catalogue
                .tools
                .first()
                .is_some_and(|t| t.headers.as_ref().is_ok_and(|h| !h.is_empty()))
        })
        .await;
    assert_eq!(state.catalogue.tools.len(), 1);
    // Still wrong: told to the client, not tried for ever.
    let answer = house
        .call(&link, "2", r#"{"region":"us"}"#)
        .await
        .expect("an answer");
    assert!(
        answer.contains("-32020") && answer.contains("\"id\":2"),
        "{answer}"
    );
    assert_eq!(fake.calls("tools/call").len(), 4);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn errors_with_their_own_status_are_answers() {
    let fake = Fake::start(|seen| {
        modern_manners(&seen).unwrap_or_else(|| {
            let body = r#"{"jsonrpc":"2.0","error":{"code":-32021,"message":"m","data":{"requiredCapabilities":{"sampling":{}}}}}"#;
            typed("400 Bad Request", "application/json", body)
        })
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let answer = house.call(&link, "\"z\"", "{}").await.expect("an answer");
    assert!(
        answer.contains("-32021")
            && answer.contains("\"id\":\"z\"")
            && answer.contains("requiredCapabilities")
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_88_a_server_that_has_become_a_legacy_one_is_asked_again_and_the_call_is_not_repeated() {
    for refusal in [
        r#"{"code":-32000,"message":"Bad Request: Server not initialized"}"#,
        r#"{"code":-32600,"message":"Bad Request: Missing session ID"}"#,
        r#"{"code":-32022,"message":"no","data":{"supported":["2025-06-18"]}}"#,
    ] {
        let old = Arc::new(AtomicBool::new(false));
        let is_old = Arc::clone(&old);
        let fake = Fake::start(move |seen| {
            if !is_old.load(Ordering::SeqCst) {
                return modern_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)));
            }
            let needs_session = seen.method() != "initialize" && seen.header("mcp-session-id").is_none();
            if needs_session && seen.method() != "server/discover" {
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{refusal}}}"#, seen.id());
                return typed("400 Bad Request", "application/json", &body);
            }
            legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))
        })
        .await;
        let house = House::new();
        let upstream = house.with(http(fake.port)).await;
        assert!(upstream.state().speaks.modern);
        let link = house.link(&upstream, &modern("{}")).await;
        house.call(&link, "1", "{}").await.expect("an answer");
        old.store(true, Ordering::SeqCst);
        let before = fake.calls("tools/call").len();
        let _refused = house.call(&link, "2", "{}").await;
        house
            .state(|state| state.speaks.legacy && !state.speaks.modern && state.fresh)
            .await;
        assert_eq!(fake.calls("tools/call").len(), before + 1, "{refusal}: sent once");
        let link = house.link(&upstream, &modern("{}")).await;
        let answer = house.call(&link, "3", "{}").await.expect("an answer");
        assert!(answer.contains("hi"), "{answer}");
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn ss_05_closing_the_stream_is_seen_by_the_server() {
    let (sender, receiver) = mpsc::channel(8);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let fake = Fake::start(move |seen| {
        modern_manners(&seen)
            .unwrap_or_else(|| Back::Pieces(receiver.lock().expect("no panic").take().expect("one call")))
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let note =
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    sender
        .send(format!("{STREAM}data: {note}\n\n"))
        .await
        .expect("read");
    let reply = link
        .call(&house.worker, with_token("1", "1"))
        .await
        .expect("an answer");
    let Reply::Stream(mut messages) = reply else {
        panic!("a stream")
    };
    assert!(matches!(messages.next().await, Some(Ok(Message::Progress(_)))));
    let before = fake.closed();
    drop(messages);
    eventually("the end of the connection", || fake.closed() > before).await;
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_102_a_legacy_clients_subscription_becomes_a_stream_of_its_server() {
    let (sender, receiver) = mpsc::channel(8);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let fake = Fake::start(move |seen| match seen.method().as_str() {
        "subscriptions/listen" => {
            Back::Pieces(receiver.lock().expect("no panic").take().expect("one stream"))
        }
        _ => modern_manners(&seen).unwrap_or_else(|| status("500 Oops")),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &legacy("s")).await;
    let acknowledged = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"resourceSubscriptions":["a:1"]},"_meta":{"io.modelcontextprotocol/subscriptionId":"listen"}}}"#;
    let updated = |uri: &str| {
        format!(
            r#"data: {{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}","_meta":{{"io.modelcontextprotocol/subscriptionId":"listen"}}}}}}{}"#,
            "\n\n"
        )
    };
    sender
        .send(format!("{STREAM}data: {acknowledged}\n\n"))
        .await
        .expect("read");
    let filter = ListenFilter {
        uris: vec!["a:1".into()],
        ..ListenFilter::default()
    };
    let listening = link
        .listen(&house.worker, filter, house.ear.clone())
        .await
        .expect("subscribed");
    assert_eq!(listening.accepted.uris, ["a:1"]);
    assert_eq!(
        fake.calls("subscriptions/listen")[0].json()["params"]["notifications"]["resourceSubscriptions"][0],
        "a:1"
    );
    sender.send(updated("b:2") + &updated("a:1")).await.expect("read");
    house.ear.hear().await;
    let told = house.ear.told.lock().expect("no panic").clone();
    assert_eq!(
        told,
        [r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1","_meta":{}}}"#]
    );
    let before = fake.closed();
    drop(listening);
    eventually("the end of the stream", || fake.closed() > before).await;
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_61_a_listen_stream_that_ends_is_opened_again() {
    let fake = Fake::start(move |seen| match seen.method().as_str() {
        "subscriptions/listen" => events(&[
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"resourceSubscriptions":["a:1"]}}}"#,
        ]),
        _ => modern_manners(&seen).unwrap_or_else(|| status("500 Oops")),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let filter = ListenFilter {
        uris: vec!["a:1".into(), "b:2".into()],
        ..ListenFilter::default()
    };
    let listening = link
        .listen(&house.worker, filter, house.ear.clone())
        .await
        .expect("opened");
    assert_eq!(listening.accepted.uris, ["a:1"]);
    eventually("another stream", || fake.calls("subscriptions/listen").len() > 2).await;
    drop(listening);
    tokio::time::timeout(Duration::from_secs(20), house.upstreams.shutdown())
        .await
        .expect("in time");
}
