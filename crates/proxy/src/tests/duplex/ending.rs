//! How conversations end.

use sallyport_core::audit::Outcome;

use super::super::at_servers::{COUNT, Rooms, behind};
use super::*;
use crate::stream::MAX_QUEUED;

#[tokio::test]
async fn p_31_who_leaves_has_cancelled_whatever_the_era() {
    let gate = Gate::new(demo());
    for era in [
        modern(1, "tools/call", countdown()),
        request(1, "tools/call", countdown()),
    ] {
        let mut line = Line::open(&gate, Manner::EachMessage);
        line.initialize("2025-06-18", json!({})).await;
        line.say(era);
        line.hear().await.expect("progress");
        let (ended, rest) = line.leave().await;
        assert_eq!(ended, Ended::Left);
        assert!(
            rest.iter().all(|message| message.get("result").is_none()),
            "{rest:?}"
        );
        last_outcome(&gate, Outcome::Cancelled).await;
    }
}

#[tokio::test]
async fn a_dropped_connection_ends_its_session_and_its_calls() {
    let mut config = demo();
    config.limits.sessions_per_principal = 1;
    let gate = Gate::new(config);
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    line.say(request(1, "tools/call", countdown()));
    line.hear().await.expect("progress");
    line.life.abort();
    last_outcome(&gate, Outcome::Cancelled).await;
    let mut next = Line::open(&gate, Manner::EachMessage);
    assert!(next.initialize("2025-06-18", json!({})).await["result"].is_object());
}

#[tokio::test]
async fn after_the_last_word_on_stdio_what_runs_comes_to_its_end() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::FirstMessage(SOON));
    line.initialize("2025-06-18", json!({})).await;
    line.say(request(
        1,
        "tools/call",
        json!({"name": "countdown", "arguments": {"from": 2}}),
    ));
    line.say(request(2, "tools/call", echo("x")));
    let (ended, rest) = line.leave().await;
    assert_eq!(ended, Ended::Left);
    let ids: Vec<_> = rest.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids, [json!(2), json!(1)], "{rest:?}");
}

#[tokio::test]
async fn after_the_last_word_what_takes_too_long_is_cancelled() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::FirstMessage(Duration::from_millis(10)));
    line.initialize("2025-06-18", json!({})).await;
    line.say(request(1, "tools/call", countdown()));
    let (ended, rest) = line.leave().await;
    assert_eq!(ended, Ended::Left);
    assert!(rest.iter().all(|message| message["id"] != 1), "{rest:?}");
    last_outcome(&gate, Outcome::Cancelled).await;
}

#[tokio::test]
async fn a_conversation_ends_with_its_token_unless_that_is_renewed() {
    let gate = Gate::new(demo());
    let mut line = Line::open_as(&gate, "short", Manner::EachMessage);
    let mut renewed = Line::open_as(&gate, "short", Manner::EachMessage);
    for line in [&mut line, &mut renewed] {
        line.initialize("2025-06-18", json!({})).await;
    }
    let renew = |token: &str| renewed.conversation.renew(&Secret::from(token)).is_ok();
    assert!(!renew("alice"), "another's");
    assert!(!renew("bad"));
    assert!(renew("short+"));
    assert!(renew("short"), "one that ends earlier changes nothing");
    gate.clock.0.store(1_060_000, Ordering::Relaxed);
    gate.proxy.pulse.beat();
    assert_eq!(line.ended().await, Ended::Access);
    assert!(renewed.ask(request(1, "tools/list", json!({}))).await["result"].is_object());
}

#[tokio::test]
async fn an_expired_token_is_noticed_with_the_next_message() {
    let gate = Gate::new(demo());
    let mut line = Line::open_as(&gate, "short", Manner::EachMessage);
    line.ask(modern(1, "tools/list", json!({}))).await;
    gate.clock.0.store(1_060_000, Ordering::Relaxed);
    line.say(modern(2, "tools/call", echo("x")));
    assert!(line.hear().await.is_none());
    assert_eq!(line.ended().await, Ended::Access);
    assert!(gate.trail.outcomes().is_empty(), "nothing was carried out");
}

#[tokio::test]
async fn a_conversation_ends_with_its_endpoint_and_with_its_age() {
    let gate = Gate::new(demo());
    let mut old = Line::open(&gate, Manner::EachMessage);
    old.initialize("2025-06-18", json!({})).await;
    let modern = Line::open(&gate, Manner::EachMessage);
    let age = i64::try_from(ProxyLimits::default().session_absolute.as_millis()).expect("an age");
    gate.clock.0.store(1_000_000 + age, Ordering::Relaxed);
    gate.proxy.pulse.beat();
    assert!(
        old.ask(request(1, "ping", json!({}))).await["result"].is_object(),
        "at the limit"
    );
    gate.clock.0.store(1_000_001 + age, Ordering::Relaxed);
    gate.proxy.pulse.beat();
    assert_eq!(old.ended().await, Ended::Age);
    let mut without = demo();
    without.endpoints[0] = profile("other", &["demo"]);
    gate.proxy.apply(without);
    gate.proxy.pulse.beat();
    assert_eq!(modern.ended().await, Ended::Gone);
}

#[tokio::test]
async fn the_gateway_stops_when_what_runs_has_ended() {
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let params = json!({"name": "countdown", "arguments": {"from": 2}, "_meta": {"progressToken": "t"}});
    line.say(modern(1, "tools/call", params));
    line.hear().await.expect("progress");
    gate.proxy.close_streams();
    let idle = Line::open(&gate, Manner::EachMessage);
    assert_eq!(idle.ended().await, Ended::Closing);
    assert!(line.answer(1).await["result"].is_object());
    assert!(line.hear().await.is_none());
    assert_eq!(line.ended().await, Ended::Closing);
}

#[tokio::test]
async fn p_08_what_breaks_the_framing_is_told_and_ends_the_connection() {
    use sallyport_core::fault::{Blame, Retry};
    let gate = Gate::new(demo());
    let mut line = Line::open(&gate, Manner::EachMessage);
    let fault = Fault::new(Blame::Client, Retry::Never, "read a message", "it is too long");
    line.to.send(Err(fault)).expect("a conversation");
    let told = line.hear().await.expect("an error");
    assert_eq!(told["error"]["code"], -32600);
    assert!(
        told["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("too long")),
        "{told}"
    );
    assert_eq!(line.ended().await, Ended::Unreadable);
}

/// A client that has stopped reading.
fn deaf(gate: &Gate) -> (mpsc::UnboundedSender<Result<Bytes, Fault>>, JoinHandle<Ended>) {
    let conversation = enter(gate, "alice", Manner::EachMessage).expect("let in");
    let (to, heard) = mpsc::unbounded_channel();
    let (said, _) = mpsc::unbounded_channel();
    let stuck = sink::unfold((), |(), _: Bytes| std::future::pending::<Result<(), Fault>>());
    let duplex = Duplex {
        outgoing: Box::pin(stuck),
        ..wire(heard, said)
    };
    (to, tokio::spawn(conversation.run(duplex)))
}

#[tokio::test(start_paused = true)]
async fn ss_06_who_takes_nothing_is_given_up_in_time() {
    let gate = Gate::new(demo());
    let (to, life) = deaf(&gate);
    let begun = tokio::time::Instant::now();
    to.send(Ok(request(1, "ping", json!({})).to_string().into()))
        .expect("sent");
    assert_eq!(life.await.expect("an end"), Ended::Slow);
    let waited = begun.elapsed();
    assert!(
        waited >= Duration::from_secs(30) && waited < Duration::from_secs(60),
        "{waited:?}"
    );
}

#[tokio::test]
async fn ss_06_what_waits_for_a_deaf_client_is_bounded() {
    let gate = Gate::new(demo());
    let (to, life) = deaf(&gate);
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
    to.send(Ok(request(1, "initialize", params).to_string().into()))
        .expect("sent");
    let message = Bytes::from(vec![b' '; MAX_QUEUED / 4]);
    let told = async {
        while !life.is_finished() {
            gate.proxy
                .sessions
                .each(|session| session.ears.outbox.send(message.clone()));
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, told).await.expect("an end in time");
    assert_eq!(life.await.expect("an end"), Ended::Slow);
}

#[tokio::test]
async fn what_nobody_can_come_back_to_is_not_kept_and_ends_with_the_process() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let gate = Gate::new(behind(&fake));
    let mut line = Line::open(&gate, Manner::EachMessage);
    line.initialize("2025-06-18", json!({})).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": COUNT, "arguments": {}}});
    let answer = line.ask(call).await;
    assert_eq!(answer["result"]["content"][0]["text"], "s2: 1");
    gate.proxy.keep_sessions().await;
    assert_eq!(gate.shelf.at_servers(), 0);
    gate.upstreams.shutdown().await;
    assert!(rooms.open().is_empty());
}
