//! Servers that hang, die and come back, beside one that works.

use std::time::{Duration, Instant};

use sallyport_testkit::everything::Era;
use sallyport_testkit::http::in_time;
use sallyport_testkit::mcp::{Legacy, Modern};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::census::Tree;
use crate::support::{Scene, names, server, servers, within};

/// What every server may take here to connect and to introduce itself, together.
const FIRST_CONTACT: Duration = Duration::from_secs(4);

/// What a list takes at most that waits for nobody.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Time for what has to start a program first, and perhaps to wait for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// Introduces itself, and is gone when it is asked for its tools.
const DIES: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "dies", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    elif message.get("method") == "tools/list":
        print('{"jsonrpc":"2.0","id":', end="", flush=True)
        sys.exit(1)
    elif "id" in message:
        error = {"code": -32601, "message": "unknown"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
"#;

fn entry(name: &str, command: &str, arguments: &[&str]) -> String {
    let limits = json!({ "connect": "2s", "handshake": "2s" });
    let server = json!({ "command": command, "args": arguments, "limits": limits });
    format!("  {name}: {server}\n")
}

/// Whether `/readyz` and the metrics say of a server that it is in contact.
async fn is_up(scene: &Scene, name: &str) -> anyhow::Result<bool> {
    let page = scene.gateway.admin_page("/readyz").await?.expect(200)?.json()?;
    let ready = page.get("servers").and_then(|servers| servers.get(name)) == Some(&json!("ready"));
    let metrics = scene.gateway.admin_page("/metrics").await?.text();
    let line = format!("mcp_gateway_server_up{{server=\"{name}\"}} {}", u8::from(ready));
    // The two are asked one after the other, so they may differ for a moment.
    Ok(ready && metrics.lines().any(|known| known == line))
}

/// The tools that both eras list, and how long the slower list took.
async fn lists(modern: &mut Modern, legacy: &mut Legacy) -> anyhow::Result<(Vec<String>, Duration)> {
    let mut slowest = Duration::ZERO;
    let mut begin = Instant::now();
    let mut both = Vec::new();
    for list in [
        modern.request("tools/list", json!({})).await?,
        legacy.request("tools/list", json!({})).await?,
    ] {
        slowest = slowest.max(begin.elapsed());
        begin = Instant::now();
        both.push(
            names(list.result()?)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
    }
    anyhow::ensure!(both.first() == both.last(), "the eras differ: {both:?}");
    Ok((both.pop().unwrap_or_default(), slowest))
}

async fn signal(processes: &[u32], name: &str) -> anyhow::Result<()> {
    for process in processes {
        let process = process.to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status().await?;
        anyhow::ensure!(sent.success(), "kill -s {name} {process} failed");
    }
    Ok(())
}

#[tokio::test]
async fn one_that_hangs_and_one_that_dies_hold_up_nobody() {
    let good = server(Era::Dual).await.unwrap();
    let more = [
        servers(&[("good", &good)]),
        entry("hangs", "/bin/sh", &["-c", "cat > /dev/null"]),
        entry("dies", "python3", &["-c", DIES]),
        entry("absent", "/bin/false", &[]),
    ]
    .concat();
    let scene = Scene::with(&more, vec![good]).await.unwrap();
    let mut modern = scene.modern(json!({}));
    // Whoever comes first waits for those that may still introduce themselves, and no longer.
    let begin = Instant::now();
    let mut legacy = scene.legacy(json!({})).await.unwrap();
    let (first, _) = lists(&mut modern, &mut legacy).await.unwrap();
    let took = begin.elapsed();
    eprintln!("the first lists took {took:?}");
    assert!(took < FIRST_CONTACT + AT_ONCE, "{took:?}");
    assert!(first.contains(&"echo".to_owned()), "{first:?}");
    let mut slowest = Duration::ZERO;
    let end = Instant::now() + FIRST_CONTACT;
    while Instant::now() < end {
        let (next, took) = lists(&mut modern, &mut legacy).await.unwrap();
        slowest = slowest.max(took);
        assert_eq!(next, first);
        let answer = modern.call("echo", json!({ "text": "x" })).await.unwrap();
        assert_eq!(answer.text().unwrap(), "x");
    }
    eprintln!("the slowest list after that took {slowest:?}");
    assert!(slowest < AT_ONCE, "{slowest:?}");
    within(PATIENCE, async || is_up(&scene, "good").await)
        .await
        .unwrap();
    let page = scene.gateway.admin_page("/readyz").await.unwrap().json().unwrap();
    for name in ["hangs", "dies", "absent"] {
        let status = page["servers"][name].as_str().unwrap_or_default();
        assert!(status.starts_with("failed: "), "{name}: {page}");
    }
}

#[tokio::test]
async fn one_that_died_stays_in_the_lists_fails_its_calls_soon_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    std::fs::write(&flag, "").unwrap();
    let good = server(Era::Dual).await.unwrap();
    let tree = Tree::only_while(&flag);
    let more = format!(
        "{}{}",
        servers(&[("good", &good)]),
        tree.server("mortal").unwrap()
    );
    let scene = Scene::with(&more, vec![good]).await.unwrap();
    let (mut modern, mut legacy) = (scene.modern(json!({})), scene.legacy(json!({})).await.unwrap());
    within(PATIENCE, async || is_up(&scene, "mortal").await)
        .await
        .unwrap();
    let (before, _) = lists(&mut modern, &mut legacy).await.unwrap();
    assert!(before.contains(&"mortal__echo".to_owned()), "{before:?}");

    std::fs::remove_file(&flag).unwrap();
    // A call that is running when its server dies ends with it.
    let died = modern.call("mortal__die", json!({})).await.unwrap();
    assert!(died.answer.get("error").is_some(), "{died:?}");
    let died = legacy.call("mortal__die", json!({})).await.unwrap();
    assert!(died.answer.get("error").is_some(), "{died:?}");
    // The gateway's own process of it too.
    signal(&tree.servers(), "KILL").await.unwrap();
    within(PATIENCE, async || Ok(!is_up(&scene, "mortal").await?))
        .await
        .unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let (after, took) = lists(&mut modern, &mut legacy).await.unwrap();
        assert_eq!(after, before, "the last good catalogue");
        assert!(took < AT_ONCE, "{took:?}");
        let begin = Instant::now();
        let refused = modern.call("mortal__echo", json!({ "text": "x" })).await.unwrap();
        assert!(refused.answer.get("error").is_some(), "{refused:?}");
        slowest = slowest.max(begin.elapsed());
        let answer = legacy.call("good__echo", json!({ "text": "x" })).await.unwrap();
        assert_eq!(answer.text().unwrap(), "x");
    }

    eprintln!("the slowest call of the dead one failed after {slowest:?}");
    // A call sits out a short wait before the next attempt to start the program.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");

    std::fs::write(&flag, "").unwrap();
    let back = within(PATIENCE, async || is_up(&scene, "mortal").await)
        .await
        .unwrap();
    eprintln!("it was back after {back:?}");
    let answer = modern
        .call("mortal__echo", json!({ "text": "again" }))
        .await
        .unwrap();
    assert_eq!(answer.text().unwrap(), "again");
    let answer = legacy
        .call("mortal__echo", json!({ "text": "again" }))
        .await
        .unwrap();
    assert_eq!(answer.text().unwrap(), "again");
}

#[tokio::test]
async fn one_that_stops_in_the_middle_holds_up_its_own_calls_only() {
    let (good, tree) = (server(Era::Dual).await.unwrap(), Tree::new());
    let more = format!(
        "{}{}",
        servers(&[("good", &good)]),
        tree.server("frozen").unwrap()
    );
    let scene = Scene::with(&more, vec![good]).await.unwrap();
    let (mut modern, mut legacy) = (scene.modern(json!({})), scene.legacy(json!({})).await.unwrap());
    legacy
        .call("frozen__echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    let (before, _) = lists(&mut modern, &mut legacy).await.unwrap();
    let mut stuck = scene.modern(json!({}));
    stuck
        .call("frozen__echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    let processes = tree.servers();
    signal(&processes, "STOP").await.unwrap();
    let call = tokio::spawn(async move { stuck.call("frozen__echo", json!({ "text": "late" })).await });
    for _ in 0..20 {
        let (now, took) = lists(&mut modern, &mut legacy).await.unwrap();
        assert_eq!(now, before);
        assert!(took < AT_ONCE, "{took:?}");
        for tool in ["good__echo", "good__test_simple_text"] {
            let begin = Instant::now();
            let answer = modern.call(tool, json!({ "text": "x" })).await.unwrap();
            assert!(answer.text().is_ok() && begin.elapsed() < AT_ONCE, "{answer:?}");
        }
    }
    assert!(!call.is_finished());
    signal(&processes, "CONT").await.unwrap();
    let answer = in_time("the late answer", async { call.await? }).await.unwrap();
    assert_eq!(
        answer.answer.pointer("/result/content/0/text"),
        Some(&Value::from("late"))
    );
}
