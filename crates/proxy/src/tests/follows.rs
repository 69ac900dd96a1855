//! Subscriptions to resources: what servers refuse, and what becomes of them when a server is replaced.

use std::sync::Mutex;

use tokio::sync::mpsc;

use super::bridge::gate_to;
use super::eras::talking;
use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::levels::eventually;
use super::*;
use crate::sync::lock;

fn subscribe(session: &str, uri: &str) -> Ask {
    Ask::legacy("alice", Some(session), "resources/subscribe", json!({"uri": uri}))
}

/// What a server with the resources `test:a` and `test:b` says of them; `subscribes` is whether it tells of changes.
fn resources(came: &Came, subscribes: bool) -> Option<Goes> {
    let capabilities = json!({"tools": {}, "resources": {"subscribe": subscribes}});
    let mut said = match came.message["method"].as_str()? {
        "initialize" => {
            json!({"protocolVersion": "2025-06-18", "serverInfo": {"name": "fake", "version": "1"},
            "capabilities": capabilities})
        }
        "server/discover" => json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities}),
        "resources/list" => {
            json!({"resources": [{"uri": "test:a", "name": "a"}, {"uri": "test:b", "name": "b"}]})
        }
        "resources/templates/list" => json!({"resourceTemplates": []}),
        _ => return None,
    };
    if came.head.contains("2026-07-28") {
        said["resultType"] = json!("complete");
        said["ttlMs"] = json!(60000);
        said["cacheScope"] = json!("private");
    }
    Some(result(came, said))
}

fn refused(came: &Came, code: i32) -> Goes {
    let error = json!({"code": code, "message": "not this one"});
    let message = json!({"jsonrpc": "2.0", "id": came.message["id"], "error": error});
    Goes::Json(200, message)
}

#[tokio::test]
async fn p_102_a_refused_subscription_is_refused_to_the_client() {
    for (code, told) in [(-32002, -32002), (-32099, -32099), (-32601, -32601)] {
        let fake = Fake::start(move |came: &Came| {
            if came.message["method"] == "resources/subscribe" && came.message["params"]["uri"] == "test:b" {
                return refused(came, code);
            }
            if came.message["method"] == "resources/subscribe" {
                return result(came, json!({}));
            }
            resources(came, true)
                .or_else(|| legacy(came, &[]))
                .unwrap_or(Goes::Nothing)
        })
        .await;
        let gate = gate_to(&fake, Protocol::Legacy).await;
        let session = gate.session("alice", json!({})).await;
        assert_eq!(gate.send(subscribe(&session, "test:b")).await.code().await, told);
        let taken = gate.send(subscribe(&session, "test:a")).await.json().await;
        assert!(taken["result"].is_object(), "{taken}");
    }
}

#[tokio::test]
async fn p_93_a_server_that_tells_of_no_changes_is_not_asked_to() {
    let fake = Fake::start(move |came: &Came| {
        resources(came, false)
            .or_else(|| legacy(came, &[]))
            .unwrap_or(Goes::Nothing)
    })
    .await;
    let gate = gate_to(&fake, Protocol::Legacy).await;
    let session = gate.session("alice", json!({})).await;
    let code = gate.send(subscribe(&session, "test:a")).await.code().await;
    assert_eq!(code, -32602);
    assert!(fake.came("resources/subscribe").is_empty());
}

/// A modern server that acknowledges `test:a` only, and keeps its streams open.
async fn choosy() -> Fake {
    let open = Mutex::new(Vec::new());
    Fake::start(move |came: &Came| {
        if came.message["method"] == "subscriptions/listen" {
            let (events, stream) = mpsc::unbounded_channel();
            let asked = &came.message["params"]["notifications"]["resourceSubscriptions"];
            let taken: Vec<_> = asked
                .as_array()
                .into_iter()
                .flatten()
                .filter(|uri| **uri == "test:a")
                .collect();
            let meta = json!({"io.modelcontextprotocol/subscriptionId": came.message["id"]});
            let _ = events.send(
                json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"notifications": {"resourceSubscriptions": taken}, "_meta": meta}}),
            );
            lock(&open).push(events);
            return Goes::Events(stream);
        }
        resources(came, true)
            .or_else(|| modern(came, &[]))
            .unwrap_or(Goes::Nothing)
    })
    .await
}

#[tokio::test]
async fn p_102_a_resource_that_a_modern_server_does_not_accept_is_refused() {
    let fake = choosy().await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({})).await;
    let taken = gate.send(subscribe(&session, "test:a")).await.json().await;
    assert!(taken["result"].is_object(), "{taken}");
    assert_eq!(
        gate.send(subscribe(&session, "test:b")).await.code().await,
        -32602
    );
    let again = gate.send(subscribe(&session, "test:a")).await.json().await;
    assert!(again["result"].is_object(), "{again}");
}

#[tokio::test]
async fn p_102_a_modern_server_that_refuses_a_whole_stream_is_heard_in_its_own_words() {
    for (code, told) in [(-32602, -32602), (-32099, -32099), (-32601, -32601)] {
        let fake = Fake::start(move |came: &Came| {
            if came.message["method"] == "subscriptions/listen" {
                return refused(came, code);
            }
            resources(came, true)
                .or_else(|| modern(came, &[]))
                .unwrap_or(Goes::Nothing)
        })
        .await;
        let gate = gate_to(&fake, Protocol::Modern).await;
        let session = gate.session("alice", json!({})).await;
        let answer = gate.send(subscribe(&session, "test:a")).await.json().await;
        assert_eq!(answer["error"], json!({"code": told, "message": "not this one"}));
    }
}

fn with(fake: &Fake, protocol: Protocol, fingerprint: u8) -> ProxyConfig {
    let mut server = http("fake", fake.at, protocol);
    server.fingerprint = [fingerprint; 32];
    config(vec![server], vec![profile("default", &["fake"])])
}

#[tokio::test]
async fn p_61_a_subscription_goes_on_at_the_server_as_it_is_now_configured() {
    let (old, new) = (talking().await, choosy().await);
    for (fake, protocol, method) in [
        (&old, Protocol::Legacy, "resources/subscribe"),
        (&new, Protocol::Modern, "subscriptions/listen"),
    ] {
        let gate = Gate::new(with(fake, protocol, 1));
        let session = gate.session("alice", json!({})).await;
        let mut stream = gate.send(Ask::get("alice", &session)).await;
        let taken = gate.send(subscribe(&session, "test:a")).await.json().await;
        assert!(taken["result"].is_object(), "{taken}");
        assert_eq!(fake.came(method).len(), 1);
        gate.proxy.apply(with(fake, protocol, 2));
        let told = loop {
            let told = stream.event().await.expect("news");
            if told["method"] == "notifications/resources/updated" {
                break told;
            }
        };
        assert_eq!(told["params"]["uri"], "test:a", "it may have changed meanwhile");
        assert_eq!(fake.came(method).len(), 2);
        // And again, until the client wants it no more.
        let params = json!({"uri": "test:a"});
        let ask = Ask::legacy("alice", Some(&session), "resources/unsubscribe", params);
        gate.send(ask).await;
        gate.proxy.apply(with(fake, protocol, 3));
        let list = Ask::legacy("alice", Some(&session), "resources/list", json!({}));
        gate.send(list).await.json().await;
        assert_eq!(fake.came(method).len(), 2);
    }
}

#[tokio::test]
async fn p_60_a_stream_about_a_server_that_is_replaced_ends_in_order() {
    let fake = talking().await;
    let gate = Gate::new(with(&fake, Protocol::Legacy, 1));
    let listen = || {
        let filter = json!({"notifications": {"resourceSubscriptions": ["test:a"]}});
        gate.send(Ask::modern("alice", "subscriptions/listen", filter))
    };
    let lists = json!({"notifications": {"toolsListChanged": true}});
    let mut other = gate
        .send(Ask::modern("alice", "subscriptions/listen", lists))
        .await;
    other.event().await.expect("the acknowledgement");
    let mut stream = listen().await;
    stream.event().await.expect("the acknowledgement");
    gate.proxy.apply(with(&fake, Protocol::Legacy, 2));
    let last = stream.last().await;
    assert_eq!(last["id"], "m1", "{last}");
    let meta = &last["result"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/subscriptionId"], "m1");
    let mut again = listen().await;
    let first = again.event().await.expect("the acknowledgement");
    let accepted = json!({"resourceSubscriptions": ["test:a"]});
    assert_eq!(first["params"]["notifications"], accepted);
    gate.proxy
        .apply(config(Vec::new(), vec![profile("default", &[])]));
    let told = other.event().await.expect("news of lists");
    assert_eq!(
        told["method"], "notifications/tools/list_changed",
        "this one went on"
    );
}

#[tokio::test]
async fn p_102_a_session_has_one_stream_for_all_that_it_follows_at_a_modern_server() {
    let fake = Fake::start({
        let open = Mutex::new(Vec::new());
        move |came: &Came| {
            if came.message["method"] == "subscriptions/listen" {
                let (events, stream) = mpsc::unbounded_channel();
                let meta = json!({"io.modelcontextprotocol/subscriptionId": came.message["id"]});
                let _ = events.send(
                    json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                    "params": {"notifications": came.message["params"]["notifications"], "_meta": meta}}),
                );
                lock(&open).push(events);
                return Goes::Events(stream);
            }
            resources(came, true)
                .or_else(|| modern(came, &[]))
                .unwrap_or(Goes::Nothing)
        }
    })
    .await;
    let gate = gate_to(&fake, Protocol::Modern).await;
    let session = gate.session("alice", json!({})).await;
    let filters = || -> Vec<Value> {
        let listens = fake.came("subscriptions/listen");
        let filter = |came: &Came| came.message["params"]["notifications"]["resourceSubscriptions"].clone();
        listens.iter().map(filter).collect()
    };
    let (both, _) = tokio::join!(
        gate.send(subscribe(&session, "test:b")),
        gate.send(subscribe(&session, "test:a"))
    );
    assert!(both.json().await["result"].is_object());
    gate.send(subscribe(&session, "test:a")).await.json().await;
    let asked = filters();
    assert!(asked.len() <= 2, "{asked:?}");
    assert_eq!(asked.last(), Some(&json!(["test:a", "test:b"])), "{asked:?}");
    let leave = |uri: &str| {
        let ask = Ask::legacy(
            "alice",
            Some(&session),
            "resources/unsubscribe",
            json!({"uri": uri}),
        );
        gate.send(ask)
    };
    leave("test:a").await;
    eventually("a narrower stream", || {
        filters().last() == Some(&json!(["test:b"]))
    })
    .await;
}
