//! What servers say of their own accord, and what becomes of it when it cannot be heard.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::fake::{
    Back, Fake, STREAM, Seen, TEXT, events, json, legacy_manners, modern_manners, result, status, typed,
};
use super::support::{House, eventually, http, legacy, modern};
use crate::upstream::{ListenFilter, Status, Upstream};

/// Some time passes, and whatever waited for it happens.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The answer to `initialize` with these capabilities, in a session of this name.
fn introduced(seen: &Seen, session: &str, capabilities: &str) -> Back {
    let hello = format!(r#"{{"protocolVersion":"2025-06-18","capabilities":{capabilities}}}"#);
    let body = result(seen, &hello);
    Back::Send(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: {session}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[tokio::test]
async fn p_90_a_session_whose_stream_is_not_found_any_more_is_opened_anew() {
    let opened = AtomicUsize::new(0);
    let streams = Mutex::new(HashMap::<String, usize>::new());
    let fake = Fake::start(move |seen| {
        if seen.method() == "initialize" {
            let number = opened.fetch_add(1, Ordering::Relaxed);
            let is_clients = seen.body.contains("elicitation");
            let session = if is_clients {
                format!("client-{number}")
            } else {
                "own".to_owned()
            };
            let capabilities = r#"{"tools":{},"resources":{"subscribe":true}}"#;
            return introduced(&seen, &session, capabilities);
        }
        let session = seen.header("mcp-session-id").unwrap_or_default();
        if seen.head.starts_with("GET") && session.starts_with("client") {
            let mut streams = streams.lock().expect("no panic");
            let times = streams.entry(session.to_owned()).or_default();
            *times += 1;
            // Events without ids: there is nothing that could be resumed.
            return match *times {
                1 => typed("200 OK", "text/event-stream", ": hello\n\n"),
                _ => status("404 Not Found"),
            };
        }
        match seen.method().as_str() {
            "resources/list" => json(&result(&seen, r#"{"resources":[]}"#)),
            "resources/templates/list" => json(&result(&seen, r#"{"resourceTemplates":[]}"#)),
            "resources/subscribe" => json(&result(&seen, "{}")),
            _ => legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT))),
        }
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let link = house.link(&upstream, &modern(r#"{"elicitation":{}}"#)).await;
    let filter = ListenFilter {
        uris: vec!["a:1".into()],
        ..ListenFilter::default()
    };
    let listening = link
        .listen(&house.worker, filter, house.ear.clone())
        .await
        .expect("a listening");
    assert_eq!(listening.accepted.uris, ["a:1"]);
    eventually("the subscription in another session", || {
        let told = fake.calls("resources/subscribe");
        let first = told.first().and_then(|seen| seen.header("mcp-session-id"));
        told.iter().any(|seen| seen.header("mcp-session-id") != first)
    })
    .await;
    drop(listening);
    house.upstreams.shutdown().await;
}

/// More than lists are kept for that nobody tells the changes of.
const LONG: Duration = Duration::from_secs(301);

/// Waits for a look at the lists, whose time is over. What the look before has brought may be taken in only now: then as
/// much time has to pass again.
async fn looked_again(upstream: &Upstream, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        pass(LONG).await;
        upstream.touch_lists();
    }
    panic!("no further look");
}

#[tokio::test]
async fn a_legacy_server_that_cannot_be_heard_is_asked_for_its_lists_again() {
    for has_stream in [false, true] {
        let fake = Fake::start(move |seen| {
            if seen.method() == "initialize" {
                return introduced(&seen, "s1", r#"{"tools":{"listChanged":true}}"#);
            }
            if seen.head.starts_with("GET") && has_stream {
                return Back::Stall(STREAM.to_owned());
            }
            legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))
        })
        .await;
        let house = House::new();
        let upstream = house.with(http(fake.port)).await;
        assert_eq!(upstream.state().status, Status::Ready);
        let lists = || fake.calls("tools/list").len();
        let asked = || fake.seen().iter().any(|seen| seen.head.starts_with("GET"));
        eventually("a look for a stream", asked).await;
        if !has_stream {
            eventually("a second look", || lists() == 2).await;
        }
        pass(LONG).await;
        upstream.touch_lists();
        if has_stream {
            assert!(!upstream.freshness.is_over(), "it would tell");
            assert_eq!(lists(), 1);
        } else {
            looked_again(&upstream, || lists() > 2).await;
        }
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn a_modern_server_that_is_not_heard_any_more_is_asked_for_its_lists_again() {
    let streams = AtomicUsize::new(0);
    let fake = Fake::start(move |seen| match seen.method().as_str() {
        "server/discover" => json(&result(
            &seen,
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private"}"#,
        )),
        "subscriptions/listen" if streams.fetch_add(1, Ordering::Relaxed) == 0 => events(&[
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true}}}"#,
        ]),
        _ => modern_manners(&seen).unwrap_or_else(|| status("500 Oops")),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let lists = || fake.calls("tools/list").len();
    eventually("a second look", || lists() == 2).await;
    assert!(
        fake.calls("subscriptions/listen").len() > 2,
        "it was asked to tell again"
    );
    pass(LONG).await;
    upstream.touch_lists();
    looked_again(&upstream, || lists() > 2).await;
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_session_at_a_server_stays_for_as_long_as_its_client_listens() {
    let fake = Fake::start(|seen| legacy_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))).await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let call = async || {
        let link = house.link(&upstream, &legacy("one")).await;
        house.call(&link, "1", "{}").await.expect("an answer");
    };
    let farewells = || {
        let seen = fake.seen();
        seen.iter().filter(|seen| seen.head.starts_with("DELETE")).count()
    };
    house.ear.hears.store(true, Ordering::Relaxed);
    call().await;
    for _ in 0..3 {
        pass(Duration::from_secs(31 * 60)).await;
    }
    call().await;
    assert_eq!(
        fake.calls("initialize").len(),
        2,
        "the gateway's own and the client's"
    );
    assert_eq!(farewells(), 0);
    house.ear.hears.store(false, Ordering::Relaxed);
    pass(Duration::from_secs(31 * 60)).await;
    eventually("the end of the session", || farewells() == 1).await;
    house.upstreams.shutdown().await;
}
