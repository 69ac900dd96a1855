//! Servers that lie, stall and babble (security catalogue, groups UC, SS and CR).

use std::time::{Duration, Instant};

use super::fake::{
    Back, Fake, STREAM, TEXT, events, json, legacy_manners, modern_manners, result, status, typed,
};
use super::support::{House, http, legacy, modern, quick, tool_call};
use crate::upstream::Status;

/// A modern server that answers calls so; the call's outcome.
async fn called(
    back: impl Fn(&super::fake::Seen) -> Back + Send + Sync + 'static,
) -> (Result<String, String>, House, Fake) {
    let fake = Fake::start(move |seen| modern_manners(&seen).unwrap_or_else(|| back(&seen))).await;
    let house = House::new();
    let mut spec = http(fake.port);
    spec.limits = quick();
    spec.limits.message_bytes = 1 << 20;
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let outcome = house
        .call(&link, "1", "{}")
        .await
        .map_err(|fault| fault.to_string());
    (outcome, house, fake)
}

#[tokio::test]
async fn uc_01_uc_02_only_listed_headers_cross() {
    const MODERN: [&str; 9] = [
        "host",
        "accept",
        "content-type",
        "content-length",
        "user-agent",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "x-api-key",
    ];
    const LEGACY: [&str; 8] = [
        "host",
        "accept",
        "content-type",
        "content-length",
        "user-agent",
        "mcp-protocol-version",
        "mcp-session-id",
        "x-api-key",
    ];
    for (is_modern, allowed) in [(true, &MODERN[..]), (false, &LEGACY[..])] {
        let fake = Fake::start(move |seen| {
            let manners = if is_modern {
                modern_manners(&seen)
            } else {
                legacy_manners(&seen)
            };
            manners.unwrap_or_else(|| json(&result(&seen, TEXT)))
        })
        .await;
        let house = House::new();
        let upstream = house.with(http(fake.port)).await;
        let mut view = legacy("canary-session-of-the-client");
        view.info = Some("{\"name\":\"client\",\"version\":\"1\"}".into());
        for view in [view, modern("{}")] {
            let link = house.link(&upstream, &view).await;
            house.call(&link, "1", "{}").await.expect("an answer");
        }
        house.upstreams.shutdown().await;
        // The probe that tells the eras apart is modern, whoever is asked.
        let asked = fake
            .seen()
            .into_iter()
            .filter(|seen| seen.method() != "server/discover");
        for seen in asked {
            let everything = format!("{}{}", seen.head, seen.body);
            assert!(!everything.contains("canary"), "{everything}");
            for line in seen.head.lines().skip(1) {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                assert!(allowed.contains(&name.as_str()), "{name} crossed");
            }
        }
    }
}

#[tokio::test]
async fn uc_03_redirects_are_not_followed() {
    for kind in [
        "307 Temporary Redirect",
        "302 Found",
        "308 Permanent Redirect",
        "301 Moved Permanently",
    ] {
        let elsewhere = Fake::start(|_| status("200 OK")).await;
        let to = elsewhere.port;
        let (outcome, house, _fake) = called(move |_| {
            Back::Send(format!(
                "HTTP/1.1 {kind}\r\nLocation: http://127.0.0.1:{to}/steal\r\nContent-Length: 0\r\n\r\n"
            ))
        })
        .await;
        let error = outcome.expect_err("no answer");
        assert!(error.contains("redirect") && !error.contains("steal"), "{error}");
        house.upstreams.shutdown().await;
        assert!(elsewhere.seen().is_empty());
    }
}

#[tokio::test]
async fn refused_credentials_are_the_operators_business() {
    for refusal in ["401 Unauthorized", "403 Forbidden"] {
        let (outcome, house, _fake) = called(move |_| {
            Back::Send(format!(
                "HTTP/1.1 {refusal}\r\nWWW-Authenticate: Bearer realm=\"evil\"\r\nContent-Length: 0\r\n\r\n"
            ))
        })
        .await;
        let error = outcome.expect_err("no answer");
        assert!(
            error.contains("credentials") && !error.contains("evil"),
            "{error}"
        );
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn ss_01_junk_before_the_list_is_dropped() {
    let fake = Fake::start(|seen| match seen.method().as_str() {
        "tools/list" => events(&[
            "not json",
            "{\"half\":",
            &result(
                &seen,
                r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
            ),
        ]),
        _ => modern_manners(&seen).unwrap_or_else(|| status("500 Oops")),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert_eq!(upstream.state().catalogue.tools.len(), 1);
    assert_eq!(upstream.counters().garbage.get(), 2);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn ss_02_mislabelled_answers_are_failures() {
    let answers = |status: &'static str, media: &'static str| {
        move |seen: &super::fake::Seen| typed(status, media, &result(seen, TEXT))
    };
    for (status, media, good) in [
        ("200 OK", "Application/JSON", true),
        ("200 OK", "application/json ;x", true),
        ("201 Created", "application/json", false),
        ("206 Partial Content", "application/json", false),
        ("200 OK", "text/plain", false),
        ("200 OK", "text/html", false),
        ("202 Accepted", "application/json", false),
        ("500 Oops", "application/json", false),
    ] {
        let (outcome, house, _fake) = called(answers(status, media)).await;
        assert_eq!(outcome.is_ok(), good, "{status} {media}: {outcome:?}");
        house.upstreams.shutdown().await;
    }
    let (outcome, house, _fake) = called(|seen| {
        let body = result(seen, TEXT);
        Back::Send(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    })
    .await;
    assert!(outcome.expect_err("gzip of nothing").contains("compressed"));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn ss_03_endless_events_and_bodies_end_at_the_bound() {
    let long = "x".repeat(2 << 20);
    let (event, body) = (format!("{STREAM}data: {long}"), long.clone());
    for back in [
        event,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    ] {
        let (outcome, house, _fake) = called(move |_| Back::Stall(back.clone())).await;
        assert!(outcome.expect_err("too long").contains("longer than"));
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn ss_04_foreign_messages_are_dropped_and_counted() {
    let (outcome, house, _fake) = called(|seen| {
        events(&[
            r#"{"jsonrpc":"2.0","id":99,"result":{"content":[{"type":"text","text":"foreign"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"other","progress":1}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"unasked"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:1"}}"#,
            &result(seen, TEXT),
        ])
    })
    .await;
    let answer = outcome.expect("the right one");
    assert!(answer.contains("hi") && !answer.contains("foreign"));
    let upstream = house.upstreams.get(&super::support::name()).expect("there");
    assert_eq!(upstream.counters().foreign_messages.get(), 5);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn cr_14_garbage_never_becomes_an_answer() {
    for body in [
        "\u{0}\u{1}random",
        "[]",
        "null",
        r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"id":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
    ] {
        let (outcome, house, _fake) = called(move |_| json(body)).await;
        assert!(outcome.is_err(), "{body}: {outcome:?}");
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn f_13_a_server_that_stalls_at_any_stage_costs_its_deadline() {
    for stalled in [
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Ty".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"json".to_owned(),
        STREAM.to_owned(),
        format!("{STREAM}data: {{\"jsonrpc\""),
    ] {
        let began = Instant::now();
        let (outcome, house, fake) = called(move |_| Back::Stall(stalled.clone())).await;
        assert!(outcome.is_err());
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!(fake.calls("tools/call").len(), 1, "never sent again");
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_before_anything_is_sent() {
    let fake =
        Fake::start(|seen| modern_manners(&seen).unwrap_or_else(|| Back::Stall(STREAM.to_owned()))).await;
    let house = House::new();
    let mut spec = http(fake.port);
    spec.limits.concurrency = 1;
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &modern("{}")).await;
    let first = link.call(&house.worker, tool_call("1", "{}"));
    let second = async {
        super::support::eventually("the first call", || fake.calls("tools/call").len() == 1).await;
        link.call(&house.worker, tool_call("2", "{}")).await
    };
    tokio::select! {
        _ = first => panic!("nobody answers"),
        refused = second => {
            let fault = refused.err().expect("one past the limit");
            assert_eq!(fault.retry, sallyport_core::fault::Retry::Safe);
        }
    }
    assert_eq!(fake.calls("tools/call").len(), 1);
    house.upstreams.shutdown().await;
}
