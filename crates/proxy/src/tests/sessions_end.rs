//! How long a session's id is good: until its end, over restarts too.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::{Ask, Gate, ProxyLimits, demo};

/// The status of a request in the session.
async fn status(gate: &Gate, id: &str) -> u16 {
    gate.send(Ask::legacy("alice", Some(id), "ping", json!({})))
        .await
        .status
}

async fn end(gate: &Gate, id: &str) -> u16 {
    let ask = Ask::bare("DELETE")
        .with("authorization", "Bearer alice")
        .with("mcp-session-id", id);
    gate.send(ask).await.status
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a time")
}

fn pass(gate: &Gate, time: i64) {
    gate.clock.0.fetch_add(time, Ordering::Relaxed);
}

#[tokio::test]
async fn r25_p_73_p_80_a_session_that_was_deleted_is_gone_after_a_restart() {
    // Written before its end, and not; ended by the process that opened it, and by the next.
    for written in [false, true] {
        for restarted in [false, true] {
            let mut gate = Gate::new(demo());
            let (ended, other) = (
                gate.session("alice", json!({})).await,
                gate.session("alice", json!({})).await,
            );
            if written {
                pass(&gate, 60_000);
                gate.proxy.sessions.look(&ProxyLimits::default()).await;
            }
            if restarted {
                gate = gate.again(demo(), 5000);
                assert_eq!(status(&gate, &ended).await, 200);
            }
            assert_eq!(end(&gate, &ended).await, 204);
            for _ in 0..3 {
                assert_eq!(status(&gate, &ended).await, 404, "{written} {restarted}");
                assert_eq!(status(&gate, &other).await, 200, "{written} {restarted}");
                gate.proxy.sessions.look(&ProxyLimits::default()).await;
                gate = gate.again(demo(), 61_000);
            }
        }
    }
}

#[tokio::test]
async fn p_80_what_cannot_be_written_or_read_is_told_and_tried_again() {
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    gate.shelf.break_it(true);
    assert_eq!(end(&gate, &id).await, 503);
    assert_eq!(status(&gate, &id).await, 200, "it has not ended");
    let again = gate.again(demo(), 0);
    assert_eq!(status(&again, &id).await, 503, "nobody knows whether it has");
    gate.shelf.break_it(false);
    assert_eq!(status(&again, &id).await, 200);
    assert_eq!(end(&again, &id).await, 204);
    assert_eq!(status(&again, &id).await, 404);
}

#[tokio::test]
async fn a_session_is_good_in_every_process_that_shares_the_store() {
    let limits = ProxyLimits::default();
    let one = Gate::new(demo());
    let other = one.again(demo(), 0);
    let id = one.session("alice", json!({})).await;
    assert_eq!(status(&other, &id).await, 200, "before anybody has written of it");
    let (late, lost) = (
        one.session("alice", json!({})).await,
        one.session("alice", json!({})).await,
    );
    one.proxy.sessions.look(&limits).await;
    pass(&other, 61_000);
    assert_eq!(status(&other, &late).await, 200, "as it was written");
    // Nothing was ever written of one that was opened so long ago.
    one.shelf.forget();
    assert_eq!(status(&other, &lost).await, 404);
    one.proxy.sessions.look(&limits).await;
    pass(&one, 61_000);
    assert_eq!(end(&other, &id).await, 204);
    one.proxy.sessions.look(&limits).await;
    assert_eq!(status(&one, &id).await, 404, "as soon as it has looked");
    assert_eq!(status(&one, &late).await, 200);
}

#[tokio::test]
async fn a_session_that_lies_idle_at_the_limit_and_one_past_it() {
    let limits = ProxyLimits::default();
    let idle = millis(limits.session_idle);
    for swept in [false, true] {
        let gate = Gate::new(demo());
        let id = gate.session("alice", json!({})).await;
        for _ in 0..3 {
            pass(&gate, idle);
            if swept {
                gate.proxy.sessions.sweep(&limits);
            }
            assert_eq!(status(&gate, &id).await, 200, "each use starts the time again");
        }
        pass(&gate, idle + 1);
        if swept {
            gate.proxy.sessions.sweep(&limits);
        }
        assert_eq!(status(&gate, &id).await, 404);
        pass(&gate, -idle);
        assert_eq!(status(&gate, &id).await, 404, "for good");
    }
}

#[tokio::test]
async fn the_time_that_a_session_lies_idle_goes_on_over_restarts() {
    let limits = ProxyLimits::default();
    let idle = millis(limits.session_idle);
    for (past, expected) in [(0, 200), (1, 404)] {
        let mut gate = Gate::new(demo());
        let id = gate.session("alice", json!({})).await;
        gate.proxy.sessions.look(&limits).await;
        // Used again: that is written too.
        pass(&gate, 3_600_000);
        assert_eq!(status(&gate, &id).await, 200);
        gate.proxy.sessions.look(&limits).await;
        for part in [idle / 2, idle - idle / 2 + past] {
            gate = gate.again(demo(), part);
            gate.proxy.sessions.sweep(&limits);
            gate.proxy.sessions.look(&limits).await;
        }
        assert_eq!(status(&gate, &id).await, expected);
        let again = gate.again(demo(), 0);
        assert_eq!(status(&again, &id).await, expected);
    }
}

#[tokio::test]
async fn a_session_whose_stream_is_open_is_not_idle() {
    let limits = ProxyLimits::default();
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    let stream = gate.send(Ask::get("alice", &id)).await;
    pass(&gate, 2 * millis(limits.session_idle));
    gate.proxy.sessions.sweep(&limits);
    drop(stream);
    assert_eq!(status(&gate, &id).await, 200);
}

#[tokio::test]
async fn sessions_that_made_room_come_back_at_the_limit_and_not_one_past_it() {
    let mut config = demo();
    config.limits.sessions_per_principal = 2;
    let gate = Gate::new(config.clone());
    let mut ids = Vec::new();
    // Ten are kept, two of them in memory, and this is one more than that.
    for _ in 0..11 {
        ids.push(gate.session("alice", json!({})).await);
        pass(&gate, 1);
    }
    gate.proxy.sessions.look(&config.limits).await;
    pass(&gate, 61_000);
    for gate in [&gate.again(config.clone(), 0), &gate] {
        assert_eq!(
            status(gate, &ids[0]).await,
            404,
            "the one that was used least lately"
        );
        for id in &ids[1..] {
            assert_eq!(status(gate, id).await, 200);
        }
    }
}

#[tokio::test]
async fn what_could_not_be_written_is_written_later() {
    let limits = ProxyLimits::default();
    let gate = Gate::new(demo());
    let id = gate.session("alice", json!({})).await;
    pass(&gate, 60_000);
    gate.shelf.break_it(true);
    gate.proxy.sessions.look(&limits).await;
    assert_eq!(gate.shelf.live(), 0);
    gate.shelf.break_it(false);
    gate.proxy.sessions.look(&limits).await;
    assert_eq!(gate.shelf.live(), 1);
    assert_eq!(status(&gate.again(demo(), 3_600_000), &id).await, 200);
}
