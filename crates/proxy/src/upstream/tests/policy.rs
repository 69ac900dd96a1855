//! Whose process is whose, how many there are, and for how long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::PrincipalKey;

use super::support::{House, eventually, legacy, modern, principal, script};
use crate::exchange::ClientView;
use crate::spec::{ProcessPer, ServerSpec};
use crate::upstream::{Link, Upstream};

/// A server that keeps what it is told, counts its calls and tells its process; slow calls wait for a file.
fn keeper(per: ProcessPer, max: usize) -> ServerSpec {
    let on_call = r#"
      n=$((n+1))
      case $line in
        *'"hold"'*) : > "$PWD/held"; while [ ! -e "$PWD/go" ]; do sleep 0.05; done ;;
      esac
      case $line in *'"put"'*) kept=yes ;; esac
      text "$$ $n kept=$kept""#;
    let mut spec = script("n=0; kept=no", on_call);
    spec.processes.per = per;
    spec.processes.max = max;
    spec
}

async fn said(house: &House, link: &Arc<Link>, arguments: &str) -> (String, String) {
    let answer = house.call(link, "1", arguments).await.expect("an answer");
    let text = answer.split("text\":\"").nth(1).expect("text");
    let text = text.split('"').next().expect("its end");
    let (process, rest) = text.split_once(' ').expect("two words");
    (process.to_owned(), rest.to_owned())
}

async fn process_of(house: &House, upstream: &Arc<Upstream>, view: &ClientView) -> String {
    let link = house.link(upstream, view).await;
    said(house, &link, "{}").await.0
}

fn of(mut view: ClientView, owner: PrincipalKey) -> ClientView {
    view.principal = owner;
    view
}

#[tokio::test]
async fn is_09_what_one_principal_keeps_in_a_server_another_does_not_find() {
    let house = House::new();
    for (nth, per) in [ProcessPer::Auto, ProcessPer::Principal, ProcessPer::Session]
        .into_iter()
        .enumerate()
    {
        let mut spec = keeper(per, 8);
        spec.fingerprint = [u8::try_from(nth).expect("small"); 32];
        let upstream = house.with(spec).await;
        for view in [modern("{}"), legacy("a")] {
            let one = house.link(&upstream, &of(view.clone(), principal("one"))).await;
            let two = house.link(&upstream, &of(view, principal("two"))).await;
            let (first, kept) = said(&house, &one, r#"{"put":1}"#).await;
            assert!(kept.contains("kept=yes"));
            let (second, kept) = said(&house, &two, "{}").await;
            assert!(kept.contains("kept=no"), "{per:?}: {kept}");
            assert_ne!(first, second);
        }
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_100_the_operator_says_who_shares_a_process() {
    let house = House::new();
    let mut deaf = [legacy("a"), legacy("b")];
    for view in &mut deaf {
        // What cannot be asked anything needs no process of its own for its questions.
        view.capabilities = "{}".into();
    }
    let [a, b] = deaf;
    for (nth, (per, processes)) in [
        (ProcessPer::Auto, 2),
        (ProcessPer::Session, 2),
        (ProcessPer::Principal, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = keeper(per, 8);
        spec.fingerprint = [u8::try_from(nth).expect("small"); 32];
        let upstream = house.with(spec).await;
        let mut seen = BTreeSet::new();
        for view in [&a, &b, &a] {
            seen.insert(process_of(&house, &upstream, view).await);
        }
        assert_eq!(seen.len(), processes, "{per:?}");
        let other = of(a.clone(), principal("other"));
        assert!(
            seen.insert(process_of(&house, &upstream, &other).await),
            "{per:?}"
        );
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_101_those_who_can_be_asked_different_things_never_share() {
    let house = House::new();
    let upstream = house.with(keeper(ProcessPer::Principal, 8)).await;
    let mut seen = BTreeSet::new();
    for capabilities in ["{}", r#"{"elicitation":{}}"#, r#"{"roots":{}}"#] {
        let mut view = legacy(capabilities);
        view.capabilities = capabilities.into();
        assert!(
            seen.insert(process_of(&house, &upstream, &view).await),
            "{capabilities}"
        );
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_hundred_first_calls_start_one_process() {
    let house = House::new();
    for (nth, (shared, per, own)) in [
        (true, ProcessPer::Auto, 0),
        (false, ProcessPer::Principal, 1),
        (false, ProcessPer::Session, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = keeper(per, 8);
        spec.shared = shared;
        spec.limits.concurrency = 100;
        spec.fingerprint = [u8::try_from(nth).expect("small"); 32];
        let upstream = house.with(spec).await;
        let mut view = legacy("a");
        view.capabilities = "{}".into();
        let calls = (0..100).map(|_| async {
            let link = house.link(&upstream, &view).await;
            said(&house, &link, "{}").await.0
        });
        let processes: BTreeSet<_> = futures_util::future::join_all(calls).await.into_iter().collect();
        assert_eq!(processes.len(), 1, "shared: {shared}, {per:?}");
        // One more is the gateway's own, through which it asks for lists, unless all share it.
        assert_eq!(upstream.counters().spawns.get(), 1 + own);
    }
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_process_makes_room() {
    let house = House::new();
    let upstream = house.with(keeper(ProcessPer::Session, 2)).await;
    let [a, b, c] = ["a", "b", "c"].map(legacy);
    let first = process_of(&house, &upstream, &a).await;
    let second = process_of(&house, &upstream, &b).await;
    assert_eq!(
        process_of(&house, &upstream, &a).await,
        first,
        "at the cap both stay"
    );
    // One past it: `b` has been idle for longer.
    let third = process_of(&house, &upstream, &c).await;
    assert_eq!(process_of(&house, &upstream, &a).await, first);
    let again = process_of(&house, &upstream, &b).await;
    assert!(
        ![&first, &second, &third].contains(&&again),
        "it was started anew"
    );
    assert_eq!(upstream.counters().crashes.get(), 0, "nobody crashed");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn at_the_cap_a_call_is_refused_where_all_processes_are_in_use() {
    let house = House::new();
    let upstream = house.with(keeper(ProcessPer::Session, 1)).await;
    let [a, b] = [
        house.link(&upstream, &legacy("a")).await,
        house.link(&upstream, &legacy("b")).await,
    ];
    let mut held = Box::pin(house.call(&a, "1", r#"{"hold":1}"#));
    let running = || house.dir.path().join("held").exists();
    tokio::select! {
        outcome = &mut held => panic!("it is held: {outcome:?}"),
        () = eventually("the call", running) => {}
    }
    let refused = tokio::select! {
        outcome = &mut held => panic!("it is held: {outcome:?}"),
        refused = house.call(&b, "1", "{}") => refused.expect_err("no room"),
    };
    assert_eq!(refused.retry, sallyport_core::fault::Retry::Safe);
    assert!(refused.to_string().contains("max_processes"), "{refused}");
    std::fs::write(house.dir.path().join("go"), "").expect("written");
    held.await.expect("its own call goes on");
    house.call(&b, "2", "{}").await.expect("there is room again");
    assert_eq!(upstream.counters().spawns.get(), 3);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_142_processes_of_one_principal_at_its_share_and_one_past_it() {
    let house = House::new();
    let mut spec = keeper(ProcessPer::Session, 8);
    spec.processes.per_principal = 2;
    let upstream = house.with(spec).await;
    let [a, b, c] = ["a", "b", "c"].map(|session| of(legacy(session), principal("one")));
    let other = of(legacy("z"), principal("two"));
    let theirs = process_of(&house, &upstream, &other).await;
    let first = process_of(&house, &upstream, &a).await;
    let second = process_of(&house, &upstream, &b).await;
    assert_eq!(
        process_of(&house, &upstream, &a).await,
        first,
        "at its share both stay"
    );
    // One past it: its own `b` has been idle for longer than `a`, and theirs for longer than both.
    process_of(&house, &upstream, &c).await;
    assert_eq!(process_of(&house, &upstream, &a).await, first);
    assert_ne!(process_of(&house, &upstream, &b).await, second);
    assert_eq!(
        process_of(&house, &upstream, &other).await,
        theirs,
        "nobody else's ends"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_142_who_uses_its_share_is_refused_more_and_nobody_else_is() {
    let house = House::new();
    let mut spec = keeper(ProcessPer::Session, 8);
    spec.processes.per_principal = 1;
    let upstream = house.with(spec).await;
    let views = [
        of(legacy("a"), principal("one")),
        of(legacy("b"), principal("one")),
    ];
    let [a, b] = [
        house.link(&upstream, &views[0]).await,
        house.link(&upstream, &views[1]).await,
    ];
    let mut held = Box::pin(house.call(&a, "1", r#"{"hold":1}"#));
    tokio::select! {
        outcome = &mut held => panic!("it is held: {outcome:?}"),
        () = eventually("the call", || house.dir.path().join("held").exists()) => {}
    }
    let refused = tokio::select! {
        outcome = &mut held => panic!("it is held: {outcome:?}"),
        refused = house.call(&b, "1", "{}") => refused.expect_err("no room"),
    };
    assert_eq!(refused.retry, sallyport_core::fault::Retry::Safe);
    assert!(
        refused.to_string().contains("max_processes_per_principal"),
        "{refused}"
    );
    let other = of(legacy("z"), principal("two"));
    tokio::select! {
        outcome = &mut held => panic!("it is held: {outcome:?}"),
        process = process_of(&house, &upstream, &other) => assert!(!process.is_empty()),
    }
    std::fs::write(house.dir.path().join("go"), "").expect("written");
    held.await.expect("its own call goes on");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn capabilities_that_are_spelled_otherwise_are_no_others() {
    for per in [ProcessPer::Auto, ProcessPer::Principal] {
        let house = House::new();
        let upstream = house.with(keeper(per, 8)).await;
        let spawned = || upstream.counters().spawns.get();
        let before = spawned();
        let link = |capabilities: &str| {
            let mut view = modern("{}");
            view.capabilities = capabilities.to_owned().into();
            let (house, upstream) = (&house, &upstream);
            async move { house.link(upstream, &view).await }
        };
        let first = link(r#"{"elicitation":{"form":{},"url":{}},"x":1}"#).await;
        said(&house, &first, "{}").await;
        for spelling in 0..40 {
            let gap = " ".repeat(spelling);
            let text = format!(r#"{{"x":1,{gap}"elicit\u0061tion":{{"url":{{}},"form":{{}}}}}}"#);
            let again = link(&text).await;
            assert!(Arc::ptr_eq(&first, &again), "{text}");
            said(&house, &again, "{}").await;
        }
        assert_eq!(spawned(), before + 1, "{per:?}: one process for all");
        let other = link(r#"{"elicitation":{"form":{}},"x":1}"#).await;
        assert!(!Arc::ptr_eq(&first, &other), "p_101");
        house.upstreams.shutdown().await;
    }
}

#[tokio::test]
async fn p_95_a_process_that_nobody_uses_ends() {
    let house = House::new();
    let mut spec = keeper(ProcessPer::Session, 8);
    spec.processes.idle = Duration::from_millis(1500);
    let upstream = house.with(spec).await;
    let process = process_of(&house, &upstream, &legacy("a")).await;
    let alive = || std::path::Path::new(&format!("/proc/{process}")).exists();
    assert!(alive());
    eventually("its end, reaped", || !alive()).await;
    assert_ne!(process_of(&house, &upstream, &legacy("a")).await, process);
    house.upstreams.shutdown().await;
}
