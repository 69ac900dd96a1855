//! Log levels and roots of legacy sessions, through whatever servers they are told of.

use tokio::sync::mpsc;

use super::fake::{Came, Fake, Goes, legacy, modern, result};
use super::*;
use crate::spec::ProcessPer;

/// Waits until a condition that nobody announces holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let looked = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looked)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
}

/// How a legacy server stands to `logging/setLevel`.
#[derive(Clone, Copy)]
enum Takes {
    /// It does what it says.
    It,
    /// It said that it logs, but it refuses.
    ItNot,
    /// It does not log and never said so.
    Nothing,
}

/// A legacy server with the tool `tool`.
async fn logging(tool: &'static str, takes: Takes) -> Fake {
    Fake::start(
        move |came: &Came| match (came.message["method"].as_str(), takes) {
            (Some("initialize"), Takes::Nothing) => result(
                came,
                json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"}}),
            ),
            (Some("logging/setLevel"), Takes::It) => result(came, json!({})),
            _ => legacy(came, &[tool]).unwrap_or_else(|| result(came, json!({"content": []}))),
        },
    )
    .await
}

/// The levels that a server was told, one after the other.
fn told(fake: &Fake) -> Vec<String> {
    let level = |came: &Came| {
        let level = came.message["params"]["level"].as_str();
        level.expect("a level").to_owned()
    };
    fake.came("logging/setLevel").iter().map(level).collect()
}

async fn set_level(gate: &Gate, session: &str, level: &str) {
    let ask = Ask::legacy(
        "alice",
        Some(session),
        "logging/setLevel",
        json!({"level": level}),
    );
    let answer = gate.send(ask).await.json().await;
    assert!(answer["result"].is_object(), "{answer}");
}

async fn call(gate: &Gate, session: &str, tool: &str) -> Vec<Value> {
    let ask = Ask::legacy("alice", Some(session), "tools/call", json!({"name": tool}));
    let mut answer = gate.send(ask).await;
    if !answer.is_events() {
        return vec![answer.json().await];
    }
    let mut said = Vec::new();
    while let Some(event) = answer.event().await {
        said.push(event);
    }
    said
}

async fn calls(gate: &Gate, session: &str, tool: &str) {
    let said = call(gate, session, tool).await;
    let last = said.last().expect("an answer");
    assert!(last["result"]["content"].is_array(), "{tool}: {last}");
}

#[tokio::test]
async fn p_93_a_level_is_told_to_servers_that_log_and_fails_no_call() {
    let loud = logging("loud", Takes::It).await;
    let stubborn = logging("stubborn", Takes::ItNot).await;
    let mute = logging("mute", Takes::Nothing).await;
    let fakes = [("loud", &loud), ("stubborn", &stubborn), ("mute", &mute)];
    let servers = fakes.map(|(name, fake)| http(name, fake.at, Protocol::Legacy));
    let gate = Gate::new(config(
        servers.into(),
        vec![profile("default", &["loud", "stubborn", "mute"])],
    ));
    let session = gate.session("alice", json!({})).await;
    set_level(&gate, &session, "warning").await;
    for _ in 0..2 {
        for (tool, _) in fakes {
            calls(&gate, &session, tool).await;
        }
    }
    assert_eq!(told(&loud), ["warning"]);
    assert_eq!(told(&stubborn), ["warning"], "not asked again");
    assert!(told(&mute).is_empty());
    // What is said outside of calls is not to wait for the next one.
    set_level(&gate, &session, "debug").await;
    eventually("the second level", || told(&loud).len() == 2).await;
    calls(&gate, &session, "loud").await;
    assert_eq!(told(&loud), ["warning", "debug"]);
}

#[tokio::test]
async fn p_104_a_level_outlives_the_servers_session() {
    let forgets = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let forgotten = Arc::clone(&forgets);
    let fake = Fake::start(move |came: &Came| {
        let method = came.message["method"].as_str();
        if method == Some("logging/setLevel") {
            return result(came, json!({}));
        }
        if method == Some("tools/call") && forgotten.swap(false, Ordering::Relaxed) {
            return Goes::Json(404, Value::Null);
        }
        legacy(came, &["t"]).unwrap_or_else(|| result(came, json!({"content": []})))
    })
    .await;
    let with = |fingerprint: u8| {
        let mut server = http("fake", fake.at, Protocol::Legacy);
        server.fingerprint = [fingerprint; 32];
        config(vec![server], vec![profile("default", &["fake"])])
    };
    let gate = Gate::new(with(1));
    let session = gate.session("alice", json!({})).await;
    set_level(&gate, &session, "error").await;
    calls(&gate, &session, "t").await;
    assert_eq!(told(&fake), ["error"]);
    forgets.store(true, Ordering::Relaxed);
    calls(&gate, &session, "t").await;
    assert_eq!(
        told(&fake),
        ["error"; 2],
        "told to the session that was opened anew"
    );
    gate.proxy.apply(with(2));
    calls(&gate, &session, "t").await;
    assert_eq!(
        told(&fake),
        ["error"; 3],
        "told to the server as it is now configured"
    );
}

#[tokio::test]
async fn p_104_a_legacy_clients_level_is_on_every_call_of_a_modern_server() {
    let fake = Fake::start(|came: &Came| {
        modern(came, &["t"]).unwrap_or_else(|| {
            let (events, stream) = mpsc::unbounded_channel();
            let level = &came.message["params"]["_meta"]["io.modelcontextprotocol/logLevel"];
            if level.is_string() {
                let _ = events.send(json!({"jsonrpc": "2.0", "method": "notifications/message",
                    "params": {"level": level, "data": "x"}}));
            }
            let _ = events.send(json!({"jsonrpc": "2.0", "id": came.message["id"],
                "result": {"resultType": "complete", "content": []}}));
            Goes::Events(stream)
        })
    })
    .await;
    let with = |fingerprint: u8| {
        let mut server = http("fake", fake.at, Protocol::Modern);
        server.fingerprint = [fingerprint; 32];
        config(vec![server], vec![profile("default", &["fake"])])
    };
    let gate = Gate::new(with(1));
    let session = gate.session("alice", json!({})).await;
    let other = gate.session("alice", json!({})).await;
    assert_eq!(call(&gate, &session, "t").await.len(), 1, "no log unasked");
    for (fingerprint, level) in [(1, "info"), (1, "alert"), (2, "alert")] {
        gate.proxy.apply(with(fingerprint));
        set_level(&gate, &session, level).await;
        let said = call(&gate, &session, "t").await;
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0]["method"], "notifications/message");
        assert_eq!(said[0]["params"]["level"], level);
        assert_eq!(call(&gate, &other, "t").await.len(), 1, "another session's level");
    }
}

/// A legacy server over stdio with the tool `t`, whose processes write down what they are told. A call is logged about at
/// `info`, if the process's level is no higher. It is asked something by nobody, but could be: each call has a process of
/// its own.
fn pooled(log: &std::path::Path) -> ServerSpec {
    let script = format!(
        r#"
answer() {{ printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$1"; }}
level=none
while IFS= read -r line; do
  id=${{line#*'"id":'}}; id=${{id%%,*}}
  case $line in
    *'"method":"initialize"'*)
      answer '{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}},"logging":{{}}}},"serverInfo":{{"name":"sh","version":"1"}}}}' ;;
    *'"method":"tools/list"'*) answer '{{"tools":[{{"name":"t","inputSchema":{{"type":"object"}}}}]}}' ;;
    *'"method":"logging/setLevel"'*) level=${{line#*'"level":"'}}; level=${{level%%'"'*}}
      printf '%s level %s\n' "$$" "$level" >> '{log}'; answer '{{}}' ;;
    *'"method":"notifications/roots/list_changed"'*) printf '%s roots\n' "$$" >> '{log}' ;;
    *'"method":"tools/call"'*)
      case $level in debug|info)
        printf '{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"x"}}}}\n' ;;
      esac
      answer '{{"content":[]}}' ;;
    *'"method":"server/discover"'*)
      printf '{{"jsonrpc":"2.0","id":%s,"error":{{"code":-32601,"message":"no"}}}}\n' "$id" ;;
  esac
done"#,
        log = log.display()
    );
    let transport = Transport::Stdio {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script],
        env: BTreeMap::new(),
        cwd: None,
    };
    let mut server = server("fake", transport);
    server.processes.per = ProcessPer::Principal;
    server
}

#[tokio::test]
async fn p_104_sessions_that_share_processes_keep_their_own_levels() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gate = Gate::new(config(vec![pooled(&log)], vec![profile("default", &["fake"])]));
    let can = json!({"elicitation": {}});
    let (quiet, curious) = (
        gate.session("alice", can.clone()).await,
        gate.session("alice", can).await,
    );
    set_level(&gate, &quiet, "error").await;
    set_level(&gate, &curious, "debug").await;
    for _ in 0..2 {
        assert_eq!(call(&gate, &quiet, "t").await.len(), 1);
        let said = call(&gate, &curious, "t").await;
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0]["params"]["level"], "info");
    }
    let told = std::fs::read_to_string(&log).expect("a log");
    let levels: Vec<_> = told
        .lines()
        .filter_map(|line| line.split(" level ").nth(1))
        .collect();
    assert_eq!(levels, ["error", "debug"], "never back to less");
}

#[tokio::test]
async fn changed_roots_are_told_to_every_process_that_may_have_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let gate = Gate::new(config(vec![pooled(&log)], vec![profile("default", &["fake"])]));
    let session = gate
        .session("alice", json!({"roots": {"listChanged": true}}))
        .await;
    calls(&gate, &session, "t").await;
    changed_roots(&gate, &session).await;
    let told = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the news", || told().contains("roots")).await;
    assert_eq!(told().lines().count(), 1, "{}", told());
}

async fn changed_roots(gate: &Gate, session: &str) {
    let body = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    let ask = Ask::post("alice", body.to_string()).with("mcp-session-id", session);
    assert_eq!(gate.send(ask).await.status, 202);
}

#[tokio::test]
async fn changed_roots_are_told_to_legacy_servers_of_the_session_only() {
    const NEWS: &str = "notifications/roots/list_changed";
    let old = logging("old", Takes::It).await;
    let new = Fake::start(|came: &Came| {
        modern(came, &["new"])
            .unwrap_or_else(|| result(came, json!({"resultType": "complete", "content": []})))
    })
    .await;
    let servers = vec![
        http("old", old.at, Protocol::Legacy),
        http("new", new.at, Protocol::Modern),
    ];
    let gate = Gate::new(config(servers, vec![profile("default", &["old", "new"])]));
    let can = json!({"roots": {"listChanged": true}});
    let session = gate.session("alice", can.clone()).await;
    let other = gate.session("alice", can).await;
    changed_roots(&gate, &session).await;
    assert!(old.came(NEWS).is_empty(), "nothing was asked there yet");
    for session in [&session, &other] {
        calls(&gate, session, "old").await;
        calls(&gate, session, "new").await;
    }
    let before = new.all();
    changed_roots(&gate, &session).await;
    eventually("the news", || !old.came(NEWS).is_empty()).await;
    assert_eq!(old.came(NEWS).len(), 1, "the other session's roots are its own");
    assert_eq!(new.all(), before, "modern servers ask anew each time");
}
