//! Servers over every transport, as clients of both eras meet them.

use std::time::{Duration, Instant};

use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::everything::{Era, Options};
use serde_json::json;

use crate::support::{Scene, names};

fn options(era: Era) -> Options {
    Options {
        era,
        token: Some("its-token".to_owned()),
        ..Options::default()
    }
}

/// One server over each transport that is not in every other test, of these eras.
async fn behind(transport: &str, era: Era) -> anyhow::Result<Server> {
    let (address, options) = ("127.0.0.1:0", options(era));
    match transport {
        "sse" => Server::start_sse(address, options).await,
        "ws" => Server::start_ws(address, options).await,
        _ => Server::start_tcp(address, options).await,
    }
}

fn configured(server: &Server) -> String {
    let url = server.url();
    format!(
        "servers:\n  everything:\n    url: \"{url}\"\n    headers: {{ Authorization: \"Bearer its-token\" }}\n"
    )
}

#[tokio::test]
async fn p_88_every_transport_is_found_and_spoken_by_clients_of_both_eras() {
    for (transport, era) in [
        ("sse", Era::Legacy),
        ("ws", Era::Legacy),
        ("ws", Era::Modern),
        ("tcp", Era::Legacy),
        ("tcp", Era::Modern),
    ] {
        let server = behind(transport, era).await.unwrap();
        let scene = Scene::with(&configured(&server), Vec::new()).await.unwrap();
        let mut modern = scene.modern(json!({}));
        let list = modern.request("tools/list", json!({})).await.unwrap();
        assert!(
            names(list.result().unwrap()).contains(&"echo"),
            "{transport} {era:?}"
        );
        let mut legacy = scene.legacy(json!({})).await.unwrap();
        for text in ["one", "two"] {
            let answer = modern.call("echo", json!({ "text": text })).await.unwrap();
            assert_eq!(answer.text().unwrap(), text, "{transport} {era:?}");
            let answer = legacy.call("echo", json!({ "text": text })).await.unwrap();
            assert_eq!(answer.text().unwrap(), text, "{transport} {era:?}");
        }
        let unknown = legacy.call("no such tool", json!({})).await.unwrap();
        assert_eq!(unknown.error_code().unwrap(), -32602, "{transport} {era:?}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_its_token_holds_up_nobody() {
    let server = behind("tcp", Era::Dual).await.unwrap();
    let more = configured(&server).replace("its-token", "another");
    let begin = Instant::now();
    let scene = Scene::with(&more, Vec::new()).await.unwrap();
    let mut client = scene.modern(json!({}));
    let list = client.request("tools/list", json!({})).await.unwrap();
    assert!(names(list.result().unwrap()).is_empty());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_transport_is_added_stored_and_shown() {
    let scene = Scene::demo().await.unwrap();
    for (name, url, transport) in [
        ("a", "http://127.0.0.1:9/sse", "sse"),
        ("b", "ws://127.0.0.1:9/ws", "ws"),
        ("c", "tcp://127.0.0.1:9", "tcp"),
        ("d", "https://127.0.0.1:9/mcp", "http"),
    ] {
        let added = ["add", name, url, "--transport", transport];
        scene.gateway.run(&added, "").await.unwrap();
        let shown = scene.gateway.run(&["get", name], "").await.unwrap();
        assert!(shown.contains(&format!("transport: {transport}")), "{shown}");
        let list = scene.gateway.run(&["list"], "").await.unwrap();
        let row = list.lines().find(|line| line.starts_with(name)).unwrap();
        let kind = row.split_whitespace().nth(1);
        assert_eq!(kind, Some(transport), "{list}");
    }
    let wrong = ["add", "e", "ws://127.0.0.1:9/ws", "--transport", "sse"];
    assert!(scene.gateway.run(&wrong, "").await.is_err());
}
