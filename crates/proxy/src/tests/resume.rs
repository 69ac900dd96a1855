//! Event streams that legacy clients leave and take up again.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::json;
use tokio::sync::mpsc;

use super::fake::{Fake, Goes, legacy};
use super::*;
use crate::sync::lock;

const NEWEST: &str = "2025-11-25";

fn countdown(session: &str, id: u64, from: u64) -> Ask {
    let params = json!({"name": "countdown", "arguments": {"from": from}, "_meta": {"progressToken": id}});
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    Ask::post("alice", body.to_string()).with("mcp-session-id", session)
}

fn after(session: &str, last: &str) -> Ask {
    Ask::get("alice", session).with("last-event-id", last)
}

fn id_of(frame: &str) -> String {
    let id = frame.lines().find_map(|line| line.strip_prefix("id: "));
    id.unwrap_or_else(|| panic!("no id: {frame}")).to_owned()
}

/// A gateway before a server that answers `wait` with what the test says, once.
async fn waiting() -> (Gate, mpsc::UnboundedSender<Value>) {
    let (say, said) = mpsc::unbounded_channel();
    let said = Mutex::new(Some(said));
    let fake = Fake::start(move |came| {
        legacy(came, &["wait"]).unwrap_or_else(|| lock(&said).take().map_or(Goes::Nothing, Goes::Events))
    })
    .await;
    let servers = vec![http("fake", fake.at, Protocol::Auto)];
    (
        Gate::new(config(servers, vec![profile("default", &["fake"])])),
        say,
    )
}

#[tokio::test]
async fn p_79_streams_begin_with_an_id_and_the_time_to_come_back() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut seen = HashSet::new();
    for ask in [countdown(&id, 1, 1), countdown(&id, 2, 1), Ask::get("alice", &id)] {
        let is_get = ask.method == "GET";
        let mut stream = gate.send(ask).await;
        let first = stream.frame().await.expect("a priming event");
        let priming = id_of(&first);
        assert_eq!(first, format!("id: {priming}\nretry: 1000\ndata:\n\n"));
        assert!(seen.insert(priming.clone()));
        if is_get {
            break;
        }
        let mut last = String::new();
        while let Some(frame) = stream.frame().await {
            let event = id_of(&frame);
            assert_eq!(
                event.rsplit_once('.').map(|(s, _)| s),
                priming.rsplit_once('.').map(|(s, _)| s)
            );
            assert!(seen.insert(event), "p_77: ids are unique in the session");
            last = frame;
        }
        assert!(last.contains("\"result\""));
    }
}

#[tokio::test]
async fn p_79_older_clients_get_ids_and_modern_ones_nothing() {
    let gate = Gate::new(demo());
    for revision in ["2025-03-26", "2025-06-18"] {
        let id = gate.session_of(revision, "alice", json!({})).await;
        let mut stream = gate.send(countdown(&id, 1, 1)).await;
        let first = stream.frame().await.expect("an event");
        assert!(first.contains("\ndata: {"), "{revision}: {first}");
        assert!(id_of(&first).ends_with(".1"));
    }
    let params = json!({"name": "countdown", "arguments": {"from": 1}, "_meta": {"progressToken": "t"}});
    let mut stream = gate.send(Ask::modern("alice", "tools/call", params)).await;
    let mut frames = 0;
    while let Some(frame) = stream.frame().await {
        assert!(frame.starts_with("event: message\ndata: "), "{frame}");
        frames += 1;
    }
    assert!(frames > 1);
}

#[tokio::test]
async fn p_77_only_the_named_streams_later_events_are_replayed() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut streams = Vec::new();
    for call in [1, 2] {
        let mut stream = gate.send(countdown(&id, call, 2)).await;
        let mut frames = Vec::new();
        while let Some(frame) = stream.frame().await {
            frames.push(frame);
        }
        streams.push(frames);
    }
    for frames in &streams {
        for (place, frame) in frames.iter().enumerate() {
            let mut again = gate.send(after(&id, &id_of(frame))).await;
            assert!(again.is_events());
            for expected in &frames[place + 1..] {
                assert_eq!(again.frame().await.as_ref(), Some(expected));
            }
            assert_eq!(again.frame().await, None, "the stream of a call ends with it");
        }
    }
}

#[tokio::test]
async fn p_77_is_01_foreign_and_unknown_events_are_not_found() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut stream = gate.send(countdown(&id, 1, 1)).await;
    let event = id_of(&stream.frame().await.expect("an event"));
    while stream.frame().await.is_some() {}
    let other = gate.session_of(NEWEST, "alice", json!({})).await;
    let bob = gate.session_of(NEWEST, "bob", json!({})).await;
    let (tag, _) = event.split_once('.').expect("a tag");
    for (session, event) in [
        (&other, event.clone()),
        (&id, format!("{tag}.p1.99")),
        (&id, format!("{tag}.p99.1")),
        (&id, "7".to_owned()),
        (&id, "x".repeat(10_000)),
    ] {
        let answer = gate.send(after(session, &event)).await;
        assert_eq!((answer.status, answer.code().await), (400, -32600), "{event}");
    }
    let theirs = |session: &str| Ask::get("bob", session).with("last-event-id", &event);
    assert_eq!(gate.send(theirs(&id)).await.status, 404, "another's session");
    assert_eq!(gate.send(theirs(&bob)).await.status, 400, "another's event");
    let mut fresh = gate.send(after(&id, "before-a-restart.g1.4")).await;
    assert!(fresh.frame().await.is_some_and(|frame| frame.contains("retry: ")));
}

#[tokio::test]
async fn p_78_a_silent_call_can_be_left_and_its_response_is_found() {
    let (gate, say) = waiting().await;
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let ask = Ask::legacy(
        "alice",
        Some(&id),
        "tools/call",
        json!({"name": "wait", "arguments": {}}),
    );
    let mut left = gate.send(ask).await;
    assert!(left.is_events(), "a call that takes long is a stream");
    let event = id_of(&left.frame().await.expect("a priming event"));
    drop(left);
    let mut early = gate.send(after(&id, &event)).await;
    let mut again = gate.send(after(&id, &event)).await;
    assert_eq!(early.frame().await, None, "a stream has one reader");
    say.send(json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}))
        .expect("a server");
    assert_eq!(
        again.event().await.expect("a response")["result"],
        json!({"content": []})
    );
    assert_eq!(again.event().await, None);
}

#[tokio::test]
async fn p_78_the_response_is_kept_for_a_time() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut left = gate.send(countdown(&id, 1, 1)).await;
    let event = id_of(&left.frame().await.expect("a priming event"));
    drop(left);
    let answer = gate.send(after(&id, &event)).await.last().await;
    assert!(answer["result"]["content"].is_array(), "{answer}");
    let keep = i64::try_from(ProxyLimits::default().replay.keep.as_millis()).expect("a time");
    gate.clock.0.fetch_add(keep, Ordering::Relaxed);
    let at_the_limit = gate.send(after(&id, &event)).await;
    assert_eq!(at_the_limit.status, 200);
    drop(at_the_limit);
    gate.clock.0.fetch_add(keep + 1, Ordering::Relaxed);
    assert_eq!(gate.send(after(&id, &event)).await.status, 400, "past it");
}

#[tokio::test]
async fn ss_05_a_client_that_left_leaves_nothing_behind() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut last = String::new();
    for call in 0..20 {
        let mut left = gate.send(countdown(&id, call, 1)).await;
        last = left.frame().await.expect("an event");
    }
    drop(gate.send(after(&id, &id_of(&last))).await.last().await);
    let mut sessions = Vec::new();
    gate.proxy
        .sessions
        .each(|session| sessions.push(Arc::clone(session)));
    let [session] = sessions.as_slice() else {
        panic!("one session")
    };
    let limits = ProxyLimits::default();
    while !session.running.is_empty() {
        tokio::task::yield_now().await;
    }
    gate.proxy.sessions.sweep(&limits);
    assert!(session.journal.len() <= limits.replay.streams_per_session);
    let keep = i64::try_from(limits.replay.keep.as_millis()).expect("a time");
    gate.clock.0.fetch_add(keep + 1, Ordering::Relaxed);
    gate.proxy.sessions.sweep(&limits);
    assert_eq!(session.journal.len(), 0);
    let account = gate.proxy.usage.account(&session.view.principal);
    assert_eq!(account.kept(), 0);
}

#[tokio::test]
async fn p_142_a_resumed_stream_takes_a_place() {
    let mut config = demo();
    config.limits.streams_per_principal = 1;
    let gate = Gate::new(config);
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut call = gate.send(countdown(&id, 1, 1)).await;
    let event = id_of(&call.frame().await.expect("an event"));
    let open = gate.send(Ask::get("alice", &id)).await;
    assert_eq!(gate.send(after(&id, &event)).await.status, 429);
    assert!(call.event().await.is_some(), "whoever reads is not disturbed");
    drop(open);
    assert_eq!(gate.send(after(&id, &event)).await.status, 200);
}

#[tokio::test]
async fn p_77_the_stream_of_a_session_is_resumed_and_goes_on() {
    let gate = Gate::new(demo());
    let id = gate.session_of(NEWEST, "alice", json!({})).await;
    let mut stream = gate.send(Ask::get("alice", &id)).await;
    let priming = id_of(&stream.frame().await.expect("a priming event"));
    let change = |tools: &[&str]| {
        let mut changed = demo();
        changed.endpoints[0].rules = only_tools(tools);
        gate.proxy.apply(changed);
    };
    change(&["echo"]);
    let heard = stream.frame().await.expect("a change");
    drop(stream);
    change(&["countdown"]);
    let mut again = gate.send(after(&id, &priming)).await;
    assert_eq!(
        again.frame().await.as_ref(),
        Some(&heard),
        "again what may have been lost"
    );
    let missed = again.frame().await.expect("what came in between");
    assert_ne!(id_of(&missed), id_of(&heard));
    change(&["echo"]);
    let live = again.frame().await.expect("what comes now");
    assert_ne!(id_of(&live), id_of(&missed));
    let end = Ask::bare("DELETE")
        .with("authorization", "Bearer alice")
        .with("mcp-session-id", &id);
    assert_eq!(gate.send(end).await.status, 204);
    assert_eq!(again.frame().await, None);
    assert_eq!(gate.send(after(&id, &priming)).await.status, 404);
}
