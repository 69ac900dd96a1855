//! Sessions at servers that outlive the process.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use serde_json::json;

use super::fake::{Came, Fake, Goes, legacy, result};
use super::levels::eventually;
use super::*;
use crate::sync::lock;

/// What the session's calls before this one have left at the server.
pub(super) const COUNT: &str = "count";

/// A server with sessions `s1`, `s2`, …, each of which counts its calls.
#[derive(Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<BTreeMap<String, u32>>>, Arc<AtomicU64>);

impl Rooms {
    pub(super) async fn start(&self) -> Fake {
        self.start_with(|_| None).await
    }

    /// The same, but for what `otherwise` answers.
    async fn start_with(&self, otherwise: impl Fn(&Came) -> Option<Goes> + Send + Sync + 'static) -> Fake {
        let rooms = self.clone();
        Fake::start(move |came| otherwise(came).unwrap_or_else(|| rooms.answer(came))).await
    }

    fn answer(&self, came: &Came) -> Goes {
        let method = came.message["method"].as_str();
        if method == Some("initialize") {
            let id = format!("s{}", self.1.fetch_add(1, Ordering::Relaxed) + 1);
            lock(&self.0).insert(id.clone(), 0);
            let hello = json!({"protocolVersion": "2025-06-18", "serverInfo": {"name": "rooms", "version": "1"},
                "capabilities": {"tools": {}, "logging": {}, "resources": {"subscribe": true}}});
            return Goes::Session(
                id,
                json!({"jsonrpc": "2.0", "id": came.message["id"], "result": hello}),
            );
        }
        let id = came.header("mcp-session-id").unwrap_or_default().to_owned();
        let mut rooms = lock(&self.0);
        let Some(count) = rooms.get_mut(&id) else {
            return Goes::Json(404, Value::Null);
        };
        match method {
            Some("tools/call") => {
                *count += 1;
                let text = format!("{id}: {count}");
                result(came, json!({"content": [{"type": "text", "text": text}]}))
            }
            Some("ping" | "logging/setLevel" | "resources/subscribe") => result(came, json!({})),
            Some("resources/list") => {
                let listed = ["test:a", "test:b"].map(|uri| json!({"uri": uri, "name": uri}));
                result(came, json!({"resources": listed}))
            }
            Some("resources/templates/list") => result(came, json!({"resourceTemplates": []})),
            Some("resources/unsubscribe") => result(came, json!({})),
            None => {
                rooms.remove(&id);
                Goes::Nothing
            }
            Some(_) => legacy(came, &[COUNT]).expect("no call"),
        }
    }

    /// The sessions that are open.
    pub(super) fn open(&self) -> Vec<String> {
        lock(&self.0).keys().cloned().collect()
    }

    /// Forgets all sessions.
    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }
}

pub(super) fn behind(fake: &Fake) -> ProxyConfig {
    let server = http("rooms", fake.at, Protocol::Auto);
    config(vec![server], vec![profile("default", &["rooms"])])
}

/// What the call's session answers.
pub(super) async fn count(gate: &Gate, session: &str) -> String {
    let ask = Ask::legacy(
        "alice",
        Some(session),
        "tools/call",
        json!({"name": COUNT, "arguments": {}}),
    );
    let answer = gate.send(ask).await.json().await;
    let text = answer["result"]["content"][0]["text"].as_str();
    text.map_or_else(|| answer.to_string(), str::to_owned)
}

/// A gateway before the server, and a session in which one call has been made there.
async fn begun(fake: &Fake) -> (Gate, String) {
    let gate = Gate::new(behind(fake));
    let session = gate.session("alice", json!({})).await;
    assert_eq!(count(&gate, &session).await, "s2: 1");
    (gate, session)
}

/// A stop in good order, and the next process.
pub(super) async fn restart(gate: Gate, config: ProxyConfig) -> Gate {
    gate.proxy.close_streams();
    gate.proxy.keep_sessions().await;
    gate.upstreams.shutdown().await;
    gate.again(config, 1000)
}

#[tokio::test]
async fn r25_a_session_at_a_server_is_gone_on_with_after_a_restart() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let gate = Gate::new(behind(&fake));
    let (one, other) = (
        gate.session("alice", json!({})).await,
        gate.session("alice", json!({})).await,
    );
    assert_eq!(count(&gate, &one).await, "s2: 1");
    assert_eq!(count(&gate, &other).await, "s3: 1");
    let mut gate = restart(gate, behind(&fake)).await;
    assert_eq!(rooms.open(), ["s2", "s3"], "the gateway's own has ended");
    for nth in 2..4 {
        assert_eq!(count(&gate, &other).await, format!("s3: {nth}"));
        assert_eq!(count(&gate, &one).await, format!("s2: {nth}"));
        gate = restart(gate, behind(&fake)).await;
    }
    let opened = fake.came("initialize");
    let theirs = opened
        .iter()
        .filter(|came| came.message["params"]["clientInfo"]["name"] == "test");
    assert_eq!(theirs.count(), 2, "each has opened its own once");
}

#[tokio::test]
async fn r25_a_session_at_a_server_is_gone_on_with_after_a_crash() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, session) = begun(&fake).await;
    gate.proxy.sessions.look(&ProxyLimits::default()).await;
    let next = gate.again(behind(&fake), 1000);
    assert_eq!(count(&next, &session).await, "s2: 2");
}

#[tokio::test]
async fn p_90_what_the_server_has_forgotten_is_opened_anew_and_called_once() {
    // As the specification has it, as SDKs do, and as nobody should.
    let refusal = |code: i64| json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": "no valid session"}});
    for (status, body) in [
        (404, Value::Null),
        (400, refusal(-32000)),
        (500, refusal(-32603)),
        (200, refusal(-32001)),
    ] {
        let rooms = Rooms::default();
        let known = rooms.clone();
        let fake = rooms
            .start_with(move |came| {
                let id = came.header("mcp-session-id")?;
                (!known.open().iter().any(|open| open == id)).then(|| Goes::Json(status, body.clone()))
            })
            .await;
        let (gate, session) = begun(&fake).await;
        let gate = restart(gate, behind(&fake)).await;
        rooms.forget();
        eventually("contact", || gate.upstreams.fleet().servers[&name("rooms")].fresh).await;
        rooms.forget();
        assert_eq!(count(&gate, &session).await, "s4: 1", "{status}");
        assert_eq!(fake.came("tools/call").len(), 2, "{status}");
        let gate = restart(gate, behind(&fake)).await;
        assert_eq!(
            count(&gate, &session).await,
            "s4: 2",
            "{status}: the new one is kept"
        );
    }
}

#[tokio::test]
async fn p_80_a_session_that_has_come_back_ends_at_the_server_too() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, session) = begun(&fake).await;
    let gate = restart(gate, behind(&fake)).await;
    assert_eq!(count(&gate, &session).await, "s2: 2");
    assert_eq!(gate.shelf.at_servers(), 1);
    let end = Ask::bare("DELETE")
        .with("authorization", "Bearer alice")
        .with("mcp-session-id", &session);
    assert_eq!(gate.send(end).await.status, 204);
    eventually("the end at the server", || rooms.open() == ["s3"]).await;
    assert_eq!(gate.shelf.at_servers(), 0);
}

#[tokio::test]
async fn a_server_that_knows_no_ping_knows_its_session_all_the_same() {
    let rooms = Rooms::default();
    let fake = rooms
        .start_with(|came| {
            let error = json!({"code": -32601, "message": "Method not found"});
            let message = json!({"jsonrpc": "2.0", "id": came.message["id"], "error": error});
            (came.message["method"] == "ping").then_some(Goes::Json(200, message))
        })
        .await;
    let (gate, session) = begun(&fake).await;
    let gate = restart(gate, behind(&fake)).await;
    assert_eq!(count(&gate, &session).await, "s2: 2");
}

#[tokio::test]
async fn is_02_a_session_is_gone_on_with_at_the_same_server_only() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, session) = begun(&fake).await;
    let mut changed = behind(&fake);
    changed.servers[0].fingerprint = [99; 32];
    let gate = restart(gate, changed).await;
    assert_eq!(count(&gate, &session).await, "s4: 1", "configured otherwise");
    assert_eq!(fake.came("ping").len(), 0, "it was not even shown the other's id");
}

#[tokio::test]
async fn what_the_server_said_of_itself_is_known_after_a_restart() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, session) = begun(&fake).await;
    let gate = restart(gate, behind(&fake)).await;
    let level = Ask::legacy(
        "alice",
        Some(&session),
        "logging/setLevel",
        json!({"level": "warning"}),
    );
    assert_eq!(gate.send(level).await.status, 200);
    assert_eq!(count(&gate, &session).await, "s2: 2");
    let told = fake.came("logging/setLevel");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].header("mcp-session-id"), Some("s2"));
}

#[tokio::test]
async fn what_cannot_be_written_is_written_later() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, _session) = begun(&fake).await;
    gate.shelf.break_it(true);
    gate.proxy.keep_sessions().await;
    gate.shelf.break_it(false);
    assert_eq!(gate.shelf.at_servers(), 0);
    gate.proxy.keep_sessions().await;
    assert_eq!(gate.shelf.at_servers(), 1);
}

#[tokio::test]
async fn a_session_at_a_server_that_is_removed_is_ended_and_forgotten() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, _session) = begun(&fake).await;
    gate.proxy.keep_sessions().await;
    assert_eq!(gate.shelf.at_servers(), 1);
    gate.proxy
        .apply(config(Vec::new(), vec![profile("default", &[])]));
    eventually("the end of all", || rooms.open().is_empty()).await;
    gate.proxy.keep_sessions().await;
    assert_eq!(gate.shelf.at_servers(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_loses_no_session() {
    let rooms = Rooms::default();
    let fake = rooms.start().await;
    let (gate, session) = begun(&fake).await;
    let gate = restart(gate, behind(&fake)).await;
    eventually("contact", || gate.upstreams.fleet().servers[&name("rooms")].fresh).await;
    let at = fake.at;
    fake.stop().await;
    let failed = count(&gate, &session).await;
    assert!(failed.contains("error"), "{failed}");
    let (back, answers) = (rooms.clone(), rooms.clone());
    let _fake = Fake::start_at(at, move |came| answers.answer(came)).await;
    let called = async {
        while count(&gate, &session).await != "s2: 2" {
            tokio::task::yield_now().await;
        }
    };
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, called)
        .await
        .expect("the same session");
    assert!(back.open().contains(&"s2".to_owned()));
}
