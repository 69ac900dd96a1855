//! The wanted end of the gateway.

use std::time::{Duration, Instant};

use sallyport_testkit::http::in_time;
use sallyport_testkit::mcp::Exchange;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::census::{GONE, STOPPED, Tree};
use crate::support::{Scene, within};

/// Time for what is sure to happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway before a tree of processes, and a call that runs for `ms`.
async fn with_a_running_call(ms: u64) -> anyhow::Result<(Scene, Tree, JoinHandle<anyhow::Result<Exchange>>)> {
    let tree = Tree::new();
    let scene = Scene::with(&format!("servers:\n{}", tree.server("tree")?), Vec::new()).await?;
    let mut session = scene.legacy(json!({})).await?;
    session.call("echo", json!({ "text": "x" })).await?.text()?;
    let call = tokio::spawn(async move { session.call("wait", json!({ "ms": ms })).await });
    within(PATIENCE, async || started(&scene, "wait").await).await?;
    Ok((scene, tree, call))
}

/// Whether a call of `tool` is in the trail.
async fn started(scene: &Scene, tool: &str) -> anyhow::Result<bool> {
    let tail = scene
        .gateway
        .run(&["-o", "json", "audit", "tail", "-n", "10"], "")
        .await?;
    let mut lines = tail
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is =
        |line: &Value, member: &str, text: &str| line.pointer(member).and_then(Value::as_str) == Some(text);
    Ok(lines.any(|line| is(&line, "/event/action", "tool_call") && is(&line, "/event/target", tool)))
}

async fn stopping(scene: &Scene) -> anyhow::Result<()> {
    within(
        PATIENCE,
        async || Ok(scene.gateway.admin("/readyz").await? == 503),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn asked_to_stop_it_lets_running_calls_end_and_leaves_no_process() {
    let (mut scene, tree, call) = with_a_running_call(3000).await.unwrap();
    scene.gateway.signal("TERM").await.unwrap();
    stopping(&scene).await.unwrap();
    assert!(!call.is_finished() && !tree.servers().is_empty());
    assert!(scene.gateway.connect().await.is_err(), "no new connections");
    let answer = in_time("the call", async { call.await? }).await.unwrap();
    let answered = Instant::now();
    assert_eq!(answer.text().unwrap(), "waited");
    assert_eq!(scene.gateway.ended().await.unwrap(), Some(0));
    let took = answered.elapsed();
    tree.gone(Instant::now()).await.unwrap();
    eprintln!("stopped {took:?} after the last answer");
    assert!(scene.gateway.log().contains("stopped"), "{}", scene.gateway.log());
}

#[tokio::test]
async fn killed_while_it_stops_it_leaves_no_process() {
    let tree = Tree::deaf();
    let more = format!("servers:\n{}", tree.server("tree").unwrap());
    let mut scene = Scene::with(&more, Vec::new()).await.unwrap();
    scene.gateway.signal("TERM").await.unwrap();
    stopping(&scene).await.unwrap();
    let begin = Instant::now();
    scene.gateway.kill().await.unwrap();
    tree.gone(begin).await.unwrap();
}

#[tokio::test]
async fn a_second_signal_stops_at_once_and_leaves_no_process_either() {
    for second in ["TERM", "INT"] {
        let (mut scene, tree, call) = with_a_running_call(60_000).await.unwrap();
        scene.gateway.signal("TERM").await.unwrap();
        stopping(&scene).await.unwrap();
        assert!(!call.is_finished());
        let begin = Instant::now();
        scene.gateway.signal(second).await.unwrap();
        assert_eq!(scene.gateway.ended().await.unwrap(), Some(1));
        let took = begin.elapsed();
        assert!(took < GONE, "{took:?}");
        let gone = tree.gone(begin).await.unwrap();
        eprintln!("stopped at once after {took:?}, nothing left after {gone:?}");
        assert!(in_time("the call", async { call.await? }).await.is_err());
    }
}

#[tokio::test]
async fn an_idle_gateway_stops_soon() {
    let took = stops_idle(&Tree::new()).await.unwrap();
    eprintln!("stopped after {took:?}");
    assert!(took < STOPPED, "{took:?}");
}

#[tokio::test]
async fn st_09_servers_that_do_not_listen_are_killed_with_everything_they_started() {
    let took = stops_idle(&Tree::deaf()).await.unwrap();
    eprintln!("stopped after {took:?}");
    assert!(took < STOPPED, "{took:?}");
}

/// How long a gateway takes to stop that serves an open stream and no call.
async fn stops_idle(tree: &Tree) -> anyhow::Result<Duration> {
    let more = format!("servers:\n{}", tree.server("tree")?);
    let mut scene = Scene::with(&more, Vec::new()).await?;
    let mut session = scene.legacy(json!({})).await?;
    session.call("echo", json!({ "text": "x" })).await?.text()?;
    let mut stream = session.stream().await?;
    let begin = Instant::now();
    anyhow::ensure!(scene.gateway.stop().await? == Some(0), "it stopped badly");
    let took = begin.elapsed();
    let left = tree.census();
    let log = scene.gateway.log();
    anyhow::ensure!(
        left.is_empty(),
        "children go before the gateway does: {left:?} after {took:?}\n{log}"
    );
    while let Ok(Some(_)) = stream.next().await {}
    Ok(took)
}
