//! Servers that come, change and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::fake::{Fake, TEXT, json, legacy_manners, modern_manners, result, status};
use super::support::{House, http, legacy, modern, name, script, tool_call};
use crate::spec::{ServerSpec, Transport};
use crate::upstream::{Status, Upstreams};
use sallyport_core::ServerName;

fn named(name: &str, spec: ServerSpec) -> ServerSpec {
    ServerSpec {
        name: ServerName::parse(name).expect("a name"),
        ..spec
    }
}

#[tokio::test]
async fn untouched_servers_notice_nothing_of_a_reload() {
    let house = House::new();
    let kept = script("", "text kept");
    let upstream = house.with(kept.clone()).await;
    let link = house.link(&upstream, &legacy("a")).await;
    house.call(&link, "1", "{}").await.expect("an answer");
    let spawns = upstream.counters().spawns.get();
    let other = named("other", script("", "text other"));
    house.upstreams.apply(vec![kept.clone(), other.clone()]);
    let mut changed = other;
    changed.fingerprint = [9; 32];
    house.upstreams.apply(vec![changed, kept]);
    let same = house.upstreams.get(&name()).expect("still there");
    assert!(Arc::ptr_eq(&upstream, &same));
    assert_eq!(upstream.state().status, Status::Ready);
    house.call(&link, "2", "{}").await.expect("the same process");
    assert_eq!(upstream.counters().spawns.get(), spawns);
    house.upstreams.apply(Vec::new());
    assert!(house.upstreams.get(&name()).is_none());
    assert!(house.upstreams.watch().borrow().servers.is_empty());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_reload_that_comes_after_the_end_starts_nothing() {
    let house = House::new();
    let kept = script("", "text kept");
    house.with(kept.clone()).await;
    house.upstreams.shutdown().await;
    house.upstreams.apply(vec![kept]);
    assert!(house.upstreams.all().is_empty());
}

#[tokio::test]
async fn a_removed_server_takes_no_more_calls() {
    let house = House::new();
    let upstream = house.with(script("", "text hi")).await;
    house.upstreams.apply(Vec::new());
    let refused = upstream
        .link(&house.worker, &legacy("a"), house.ear.clone())
        .await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn p_110_the_last_good_catalogue_of_a_dead_server_is_kept_and_marked() {
    static DEAD: AtomicBool = AtomicBool::new(false);
    let fake = Fake::start(|seen| {
        if DEAD.load(Ordering::SeqCst) {
            return status("503 Service Unavailable");
        }
        modern_manners(&seen).unwrap_or_else(|| json(&result(&seen, TEXT)))
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    let good = upstream.state().catalogue.clone();
    DEAD.store(true, Ordering::SeqCst);
    upstream.ground.changes.add(super::super::changes::Changed::LISTS);
    let state = house
        .state(|state| matches!(state.status, Status::Failed { .. }))
        .await;
    assert!(!state.fresh && Arc::ptr_eq(&state.catalogue, &good));
    assert!(state.speaks.modern, "its clients go on trying in its era");
    DEAD.store(false, Ordering::SeqCst);
    let state = house.state(|state| state.status == Status::Ready).await;
    assert!(
        state.fresh && Arc::ptr_eq(&state.catalogue, &good),
        "nothing has changed for clients"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_71_endless_lists_are_cut() {
    let pages = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&pages);
    let fake = Fake::start(move |seen| match seen.method().as_str() {
        "tools/list" => {
            let page = asked.fetch_add(1, Ordering::SeqCst);
            json(&result(
                &seen,
                &format!(r#"{{"tools":[{{"name":"t{page}","inputSchema":{{"type":"object"}}}}],"nextCursor":"c{page}"}}"#),
            ))
        }
        _ => legacy_manners(&seen).unwrap_or_else(|| status("500 Oops")),
    })
    .await;
    let house = House::new();
    let upstream = house.with(http(fake.port)).await;
    assert_eq!(upstream.state().status, Status::Ready);
    assert_eq!(pages.load(Ordering::SeqCst), 64);
    assert_eq!(upstream.state().catalogue.tools.len(), 64);
    let cursors: Vec<_> = fake
        .calls("tools/list")
        .iter()
        .map(|seen| seen.json()["params"]["cursor"].clone())
        .collect();
    assert_eq!(
        (&cursors[0], &cursors[1]),
        (&serde_json::Value::Null, &serde_json::json!("c0"))
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn the_demo_server_answers_in_both_eras() {
    let house = House::new();
    let spec = ServerSpec {
        transport: Transport::Demo,
        ..http(1)
    };
    let upstream = house.with(spec).await;
    assert_eq!(upstream.state().catalogue.tools.len(), 4);
    for (view, is_modern) in [(legacy("a"), false), (modern("{}"), true)] {
        let link = house.link(&upstream, &view).await;
        assert_eq!(link.era(), view.revision.era());
        let mut call = tool_call("\"e\"", "{}");
        call.params = r#"{"name":"echo","arguments":{"text":"hello"}}"#.into();
        let reply = link.call(&house.worker, call).await.expect("an answer");
        let answer = super::support::last(reply).await.expect("whole");
        assert!(answer.contains("hello") && answer.contains("\"id\":\"e\""));
        assert_eq!(answer.contains("resultType"), is_modern);
    }
    let link = house.link(&upstream, &legacy("a")).await;
    let mut call = super::support::with_token("1", "\"t\"");
    call.params = r#"{"name":"countdown","arguments":{"from":2},"_meta":{"progressToken":"t"}}"#.into();
    let reply = link.call(&house.worker, call).await.expect("an answer");
    let (before, answer) = super::support::all(reply).await.expect("to the end");
    assert_eq!((before.len(), answer.contains("Lift-off")), (2, true));
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn an_unusable_configuration_is_said_and_harms_nobody() {
    let house = House::new();
    let mut bad = named("bad", http(1));
    if let Transport::Http { headers, .. } = &mut bad.transport {
        headers.push(("Mcp-Session-Id".to_owned(), "stolen".into()));
    }
    let good = script("", "text fine");
    house.upstreams.apply(vec![bad.clone(), good]);
    let upstreams: &Upstreams = &house.upstreams;
    let mut fleet = upstreams.watch();
    let settled = fleet.wait_for(|fleet| {
        fleet
            .servers
            .values()
            .all(|state| state.status != Status::Connecting)
    });
    let fleet = settled.await.expect("watched").clone();
    assert_eq!(fleet.servers[&name()].status, Status::Ready);
    let Status::Failed { reason } = &fleet.servers[&bad.name].status else {
        panic!("it cannot be used")
    };
    assert!(
        reason.contains("Mcp-Session-Id") && !reason.contains("stolen"),
        "{reason}"
    );
    house.upstreams.shutdown().await;
}
