//! The end of the gateway, wanted and not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Scene;

/// The processes below `process`, however deep.
fn descendants(process: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut next = vec![process];
    while let Some(parent) = next.pop() {
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children
                .split_whitespace()
                .filter_map(|child| child.parse::<u32>().ok());
            for child in children {
                all.push(child);
                next.push(child);
            }
        }
    }
    all
}

fn lives(process: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = state.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
    state == Some(false)
}

async fn all_gone(processes: &[u32], within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if !processes.iter().any(|process| lives(*process)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn killed_under_load_it_leaves_no_child_and_loses_nothing_that_it_acknowledged() {
    let mut scene = Scene::stdio("legacy").await.unwrap();
    let tokens = scene.gateway.log_in("ada", "default").await.unwrap();
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let endpoint = scene.gateway.endpoint("default", &tokens.access);
        load.spawn(async move {
            let mut client = sallyport_testkit::mcp::Modern::new(endpoint, json!({}));
            let mut answered = 0;
            while client
                .call("echo", json!({ "text": "x" }))
                .await
                .is_ok_and(|answer| answer.text().is_ok())
            {
                answered += 1;
            }
            answered
        });
    }
    let mut client = scene.modern(json!({}));
    for _ in 0..20 {
        client
            .call("echo", json!({ "text": "x" }))
            .await
            .unwrap()
            .text()
            .unwrap();
    }
    let children = descendants(scene.gateway.id().unwrap());
    assert!(!children.is_empty());
    scene.gateway.kill().await.unwrap();
    assert!(
        all_gone(&children, Duration::from_secs(2)).await,
        "{children:?} are left"
    );
    let answered: u64 = load.join_all().await.into_iter().sum();
    assert!(answered > 0);

    let begin = Instant::now();
    scene.gateway.serve().await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let mut client =
        sallyport_testkit::mcp::Modern::new(scene.gateway.endpoint("default", &tokens.access), json!({}));
    client
        .request("tools/list", json!({}))
        .await
        .unwrap()
        .result()
        .unwrap();
    // The trail is whole, and has the log-in that was acknowledged.
    scene.gateway.run(&["audit", "verify"], "").await.unwrap();
    let trail = scene
        .gateway
        .run(&["-o", "json", "audit", "export"], "")
        .await
        .unwrap();
    assert!(trail.contains("token"), "{trail}");
}

#[tokio::test]
async fn asked_to_stop_it_stops_with_its_children() {
    let mut scene = Scene::stdio("dual").await.unwrap();
    let mut client = scene.modern(json!({}));
    client
        .call("echo", json!({ "text": "x" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    let children = descendants(scene.gateway.id().unwrap());
    assert_eq!(scene.gateway.stop().await.unwrap(), Some(0));
    assert!(
        all_gone(&children, Duration::from_secs(2)).await,
        "{children:?} are left"
    );
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let mut scene = Scene::demo().await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    session
        .call("echo", json!({ "text": "before" }))
        .await
        .unwrap()
        .text()
        .unwrap();
    scene.gateway.kill().await.unwrap();
    scene.gateway.serve().await.unwrap();
    let answer = session.call("echo", json!({ "text": "after" })).await.unwrap();
    assert_eq!(answer.text().unwrap(), "after");
}
