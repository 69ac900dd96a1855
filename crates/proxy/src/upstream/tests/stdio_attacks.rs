//! Children that misbehave (security catalogue, group ST).

use std::time::Duration;

use sallyport_core::audit::{Action, Outcome};

use super::support::{House, eventually, legacy, quick, script, stdio, tool_call};
use crate::spec::ServerSpec;
use crate::upstream::Status;

/// Processes that have this text in their command line, and whether any of ours is a zombie.
fn census(marker: &str) -> (usize, usize) {
    let own = std::process::id().to_string();
    let (mut alive, mut zombies) = (0, 0);
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        if !entry
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
        {
            continue;
        }
        let environ = read("environ");
        alive += usize::from(memchr::memmem::find(&environ, marker.as_bytes()).is_some());
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, parent) = (fields.next(), fields.next());
        zombies += usize::from(state == Some("Z") && parent == Some(own.as_str()));
    }
    (alive, zombies)
}

fn marked(mut spec: ServerSpec, marker: &str) -> ServerSpec {
    if let crate::spec::Transport::Stdio { env, .. } = &mut spec.transport {
        env.insert("MARKER".to_owned(), marker.into());
    }
    spec
}

#[tokio::test]
async fn st_01_shell_metacharacters_are_text() {
    let house = House::new();
    let pwned = house.dir.path().join("pwned");
    let evil = format!(
        ";touch {p}; $(touch {p}) `touch {p}`\ntouch {p}",
        p = pwned.display()
    );
    // An argument, an environment value and a working directory; the program only waits.
    let mut spec = stdio("sh", &["-c", "read -r line", &evil]);
    if let crate::spec::Transport::Stdio { env, .. } = &mut spec.transport {
        env.insert("EVIL".to_owned(), evil.as_str().into());
    }
    house.with(spec).await;
    let mut spec = stdio(&format!("sh -c 'touch {}'", pwned.display()), &[]);
    spec.fingerprint = [2; 32];
    let upstream = house.with(spec).await;
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    house.upstreams.shutdown().await;
    assert!(!pwned.exists());
}

#[tokio::test]
async fn st_04_nothing_of_the_gateways_environment_leaks() {
    let house = House::new();
    let on_call = r#"all=$(env | cut -d= -f1 | sort | tr '\n' ' '); text "$all""#;
    let upstream = house.with(script("", on_call)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let answer = house.call(&link, "1", "{}").await.expect("an answer");
    for leaked in ["SALLYPORT", "DATABASE", "CARGO", "RUST"] {
        assert!(!answer.contains(leaked), "{answer}");
    }
    assert!(
        answer.contains("CONFIGURED") && answer.contains("PATH"),
        "{answer}"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn st_05_a_child_inherits_three_descriptors() {
    let house = House::new();
    let on_call = r#"open=; for fd in 0 1 2 3 4 5 6 7 8 9 12 15 20 30; do [ -e "/proc/$$/fd/$fd" ] && open="$open$fd,"; done; text "$open""#;
    let upstream = house.with(script("", on_call)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let answer = house.call(&link, "1", "{}").await.expect("an answer");
    assert!(answer.contains("\"0,1,2,\""), "{answer}");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn st_06_no_zombies_and_no_grandchildren() {
    let house = House::new();
    let marker = format!("st06-{}", std::process::id());
    // Each server leaves a grandchild behind that ignores the end of its input and SIGTERM.
    let first = "(trap '' TERM; sleep 1000) & (sleep 1000 </dev/null >/dev/null 2>&1) &";
    for cycle in 0..8 {
        let mut spec = marked(script(first, "exit 1"), &marker);
        spec.fingerprint = [cycle; 32];
        let upstream = house.with(spec).await;
        assert_eq!(upstream.state().status, Status::Ready);
        if cycle % 2 == 0 {
            let link = house.link(&upstream, &legacy("a")).await;
            assert!(
                house.call(&link, "1", "{}").await.is_err(),
                "the child ends instead of answering"
            );
        }
    }
    house.upstreams.shutdown().await;
    eventually("the end of all children", || census(&marker) == (0, 0)).await;
}

#[tokio::test]
async fn p_95_a_child_is_asked_to_end_by_its_input_then_by_a_signal_then_killed() {
    let house = House::new();
    let marker = format!("p95-{}", std::process::id());
    let ends = house.dir.path().join("ends");
    let stubborn = r#"trap 'echo term >> "$PWD/ends"' TERM; while read -r line; do :; done; echo eof >> "$PWD/ends"
        while :; do sleep 0.05; done"#;
    let mut spec = marked(stdio("sh", &["-c", stubborn]), &marker);
    spec.limits = quick();
    // It never introduces itself, and is given up.
    house.with(spec).await;
    house.upstreams.shutdown().await;
    eventually("the end of all children, reaped", || census(&marker) == (0, 0)).await;
    let ends = std::fs::read_to_string(ends).expect("what it noticed");
    let mut lines: Vec<_> = ends.lines().collect();
    lines.dedup();
    assert_eq!(lines.first(), Some(&"eof"), "{ends}");
    assert!(lines.contains(&"term"), "{ends}");
}

#[tokio::test]
async fn st_07_a_flood_without_line_end_ends_the_child_at_the_bound() {
    let house = House::new();
    let mut spec = script("", "exec tr '\\0' x </dev/zero");
    spec.limits.message_bytes = 1 << 20;
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let fault = house.call(&link, "1", "{}").await.expect_err("no answer");
    assert!(fault.to_string().contains("the process ended"), "{fault}");
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn st_07_floods_of_lines_are_slowed_and_given_up() {
    let house = House::new();
    let on_call = r#"if [ -z "$noisy" ]; then noisy=1; yes noise >&2 & text hi; else exec yes; fi"#;
    let upstream = house.with(script("", on_call)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    house
        .call(&link, "1", "{}")
        .await
        .expect("an answer, whatever the noise");
    let suppressed = || upstream.counters().stderr_suppressed.get();
    eventually("the thinning of the log", || suppressed() > 1000).await;
    assert!(house.call(&link, "2", "{}").await.is_err());
    assert!(upstream.counters().garbage.get() <= 101);
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn st_08_garbage_is_skipped_and_never_passed_on() {
    let house = House::new();
    let noise = r#"i=0; while [ $i -lt 100 ]; do say '{"half'; i=$((i+1)); done; text clean"#;
    let upstream = house.with(script("say 'Server started!'", noise)).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let answer = house.call(&link, "1", "{}").await.expect("an answer");
    assert!(answer.contains("clean") && !answer.contains("half"));
    assert_eq!(
        upstream.counters().garbage.get(),
        102,
        "a hundred, and a greeting of each process"
    );

    let mut spec = script(
        "",
        r#"i=0; while [ $i -lt 101 ]; do say 'log line'; i=$((i+1)); done; text late"#,
    );
    spec.fingerprint = [2; 32];
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &legacy("a")).await;
    assert!(
        house.call(&link, "1", "{}").await.is_err(),
        "one past the limit: given up"
    );
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn st_09_a_child_that_hangs_is_ended_by_force() {
    let house = House::new();
    let marker = format!("st09-{}", std::process::id());
    let mut spec = marked(script("trap '' TERM", "while :; do sleep 1; done"), &marker);
    spec.limits = quick();
    let upstream = house.with(spec).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let fault = house.call(&link, "1", "{}").await.expect_err("no answer");
    assert!(fault.to_string().contains("silent"), "{fault}");
    assert!(census(&marker).0 > 0);
    house.upstreams.shutdown().await;
    eventually("the end of all children", || census(&marker).0 == 0).await;
}

#[tokio::test(start_paused = true)]
async fn st_10_a_crash_loop_is_damped() {
    let house = House::new();
    house.upstreams.apply(vec![stdio("sh", &["-c", "exit 1"])]);
    let upstream = house.upstreams.get(&super::support::name()).expect("applied");
    // Time runs as fast as nothing happens: the children are real and may take their time, so the clock tells only that
    // there are not too many of them.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let spawns = upstream.counters().spawns.get();
    assert!(spawns <= 100, "{spawns} starts in ten minutes");
    let again = async {
        while upstream.counters().spawns.get() < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let month = Duration::from_secs(30 * 24 * 3600);
    tokio::time::timeout(month, again)
        .await
        .expect("it is tried again and again");
    assert!(matches!(upstream.state().status, Status::Failed { .. }));
    let link = upstream
        .link(&house.worker, &legacy("a"), house.ear.clone())
        .await;
    assert!(link.is_err() || house.call(&link.expect("checked"), "1", "{}").await.is_err());
    house.upstreams.shutdown().await;
}

#[tokio::test]
async fn p_141_every_start_is_recorded_and_ends_in_the_trail() {
    let house = House::new();
    house.with(stdio("no-such-program", &["--token=canary"])).await;
    let mut spec = script("", "text hi");
    spec.fingerprint = [2; 32];
    house.with(spec).await;
    house.upstreams.shutdown().await;
    let events = house.trail.0.lock().expect("no panic").clone();
    let outcome = |outcome| events.iter().filter(|e| e.outcome == outcome).count();
    assert!(
        events
            .iter()
            .all(|e| e.action == Action::ProcessSpawn && e.server.is_some())
    );
    assert!(outcome(Outcome::Failed) >= 1 && outcome(Outcome::Ok) >= 1);
    assert_eq!(
        outcome(Outcome::Started),
        outcome(Outcome::Failed) + outcome(Outcome::Ok)
    );
    assert!(
        !format!("{events:?}").contains("canary"),
        "arguments may be secrets"
    );
}

#[tokio::test]
async fn a_call_survives_the_restart_of_nothing() {
    let house = House::new();
    let upstream = house.with(script("", "exit 3")).await;
    let link = house.link(&upstream, &legacy("a")).await;
    let fault = house.call(&link, "1", "{}").await.expect_err("it ends");
    assert_eq!(
        fault.retry,
        sallyport_core::fault::Retry::Never,
        "it may have run"
    );
    let _ = link.call(&house.worker, tool_call("2", "{}")).await;
    assert!(upstream.counters().crashes.get() >= 1);
    house.upstreams.shutdown().await;
}
