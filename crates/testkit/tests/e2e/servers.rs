//! Several servers in one profile.

use std::time::{Duration, Instant};

use sallyport_testkit::everything::Era;
use sallyport_testkit::process::GatewayProcess;
use serde_json::json;

use crate::support::{Scene, names, server, servers, stdio};

#[tokio::test]
async fn names_collide_only_where_two_servers_have_them() {
    let (one, two) = (
        server(Era::Dual).await.unwrap(),
        server(Era::Legacy).await.unwrap(),
    );
    let more = servers(&[("one", &one), ("two", &two)]);
    let scene = Scene::with(&more, vec![one, two]).await.unwrap();
    let mut client = scene.modern(json!({}));
    let list = client.request("tools/list", json!({})).await.unwrap();
    let names = names(list.result().unwrap());
    assert!(
        names.contains(&"one__echo") && names.contains(&"two__echo"),
        "{names:?}"
    );
    assert!(!names.contains(&"echo"));
    for name in ["one__echo", "two__echo"] {
        let answer = client.call(name, json!({ "text": name })).await.unwrap();
        assert_eq!(answer.text().unwrap(), name);
    }
}

#[tokio::test]
async fn where_no_name_may_be_changed_two_servers_with_one_are_an_error_at_the_start() {
    let (one, two) = (
        server(Era::Dual).await.unwrap(),
        server(Era::Legacy).await.unwrap(),
    );
    let profiles = "profiles:\n  default: { servers: [one, two], naming: never }\n  alone: { servers: [one], naming: never }\n";
    let more = servers(&[("one", &one), ("two", &two)]) + profiles;
    let gateway = GatewayProcess::prepare(&more).unwrap();
    let output = gateway.command().unwrap().arg("serve").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for part in [
        "sallyport.yaml:9",
        "profile `default`",
        "`one` and `two` both have `echo` in tools/list",
        "write `naming: on-collision`",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(!said.contains("`alone`"), "{said}");
}

#[tokio::test]
async fn a_dead_server_does_not_stall_the_others() {
    let alive = server(Era::Dual).await.unwrap();
    // A port where nobody listens, and one where somebody listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut more = servers(&[("alive", &alive)]);
    more.push_str("  gone: { url: \"http://127.0.0.1:9/mcp\" }\n");
    more.push_str(&format!(
        "  silent: {{ url: \"http://{}/mcp\" }}\n",
        silent.local_addr().unwrap()
    ));
    let begin = Instant::now();
    let scene = Scene::with(&more, vec![alive]).await.unwrap();
    let mut client = scene.modern(json!({}));
    let answer = client.call("echo", json!({ "text": "alive" })).await.unwrap();
    assert_eq!(answer.text().unwrap(), "alive");
    let list = client.request("tools/list", json!({})).await.unwrap();
    assert!(names(list.result().unwrap()).contains(&"echo"));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_server_that_is_added_to_the_file_is_there_without_a_restart() {
    let scene = Scene::demo().await.unwrap();
    let mut session = scene.legacy(json!({})).await.unwrap();
    let mut stream = session.stream().await.unwrap();
    let process = scene.gateway.id();
    scene.gateway.configure(&stdio("dual").unwrap()).unwrap();
    // The session goes on, and hears of it.
    loop {
        let note = stream.message().await.unwrap();
        if note["method"] == "notifications/tools/list_changed" {
            let list = session.request("tools/list", json!({})).await.unwrap();
            if names(list.result().unwrap()).contains(&"test_simple_text") {
                break;
            }
        }
    }
    assert_eq!(scene.gateway.id(), process);
}

#[tokio::test]
async fn a_child_gets_a_small_environment() {
    let scene = Scene::stdio("dual").await.unwrap();
    let mut client = scene.modern(json!({}));
    let answer = client.call("environment", json!({})).await.unwrap();
    let names: Vec<String> = serde_json::from_str(answer.text().unwrap()).unwrap();
    for secret in [
        "SALLYPORT_MASTER_KEY",
        "CARGO_MANIFEST_DIR",
        "CARGO",
        "SSH_AUTH_SOCK",
    ] {
        assert!(!names.iter().any(|name| name == secret), "{names:?}");
    }
    assert!(names.iter().any(|name| name == "PATH"), "{names:?}");
}

#[tokio::test]
async fn a_child_that_dies_is_started_again() {
    let scene = Scene::stdio("dual").await.unwrap();
    let mut client = scene.modern(json!({}));
    let answer = client.call("die", json!({})).await.unwrap();
    assert!(answer.answer.get("error").is_some(), "{answer:?}");
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let answer = client.call("echo", json!({ "text": "again" })).await.unwrap();
        if answer.text().is_ok_and(|text| text == "again") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_changed_list_is_told_to_clients_of_both_eras() {
    for era in [Era::Legacy, Era::Modern, Era::Dual] {
        let scene = Scene::http(era).await.unwrap();
        let mut session = scene.legacy(json!({})).await.unwrap();
        let mut stream = session.stream().await.unwrap();
        let mut modern = scene.modern(json!({}));
        let mut listen = modern.listen(json!({ "toolsListChanged": true })).await.unwrap();
        let first = listen.message().await.unwrap();
        assert_eq!(
            first["method"], "notifications/subscriptions/acknowledged",
            "{era:?}"
        );
        modern
            .call("test_trigger_tool_change", json!({}))
            .await
            .unwrap()
            .text()
            .unwrap();
        for (name, events) in [("legacy", &mut stream), ("modern", &mut listen)] {
            let note = events
                .message()
                .await
                .unwrap_or_else(|error| panic!("{era:?} {name}: {error:#}"));
            assert_eq!(
                note["method"], "notifications/tools/list_changed",
                "{era:?} {name}"
            );
        }
        let list = session.request("tools/list", json!({})).await.unwrap();
        assert!(
            names(list.result().unwrap()).contains(&"test_dynamic_tool"),
            "{era:?}"
        );
    }
}

/// Which clients did not hear that the resource they had subscribed to has changed.
async fn deaf(era: Era) -> anyhow::Result<Vec<&'static str>> {
    let uri = "test://watched-resource";
    let scene = Scene::http(era).await?;
    let mut session = scene.legacy(json!({})).await?;
    let mut stream = session.stream().await?;
    session
        .request("resources/subscribe", json!({ "uri": uri }))
        .await?
        .result()?;
    let mut modern = scene.modern(json!({}));
    let mut listen = modern.listen(json!({ "resourceSubscriptions": [uri] })).await?;
    listen.message().await?;
    modern
        .call("test_trigger_resource_change", json!({}))
        .await?
        .text()?;
    let mut deaf = Vec::new();
    for (name, events) in [("legacy", &mut stream), ("modern", &mut listen)] {
        loop {
            let Ok(note) = events.message().await else {
                deaf.push(name);
                break;
            };
            if note.get("method") == Some(&json!("notifications/resources/updated")) {
                anyhow::ensure!(note.pointer("/params/uri") == Some(&json!(uri)), "{note}");
                break;
            }
        }
    }
    Ok(deaf)
}

#[tokio::test]
async fn p_102_a_subscribed_resource_is_told_to_clients_of_a_legacy_server() {
    assert_eq!(deaf(Era::Legacy).await.unwrap(), Vec::<&str>::new());
}

#[tokio::test]
async fn p_102_a_subscribed_resource_is_told_to_clients_of_a_modern_server() {
    assert_eq!(deaf(Era::Modern).await.unwrap(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_subscribed_resource_is_told_to_clients_of_a_server_of_both_eras() {
    assert_eq!(deaf(Era::Dual).await.unwrap(), Vec::<&str>::new());
}
