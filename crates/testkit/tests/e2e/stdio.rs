//! `serve --stdio`: the gateway as one client's own process.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::mcp::{Conversation, Talk};
use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Scene, counted, names, stdio};

/// Longer than a start and a stop take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The verb.
fn command(gateway: &GatewayProcess, more: &[&str]) -> anyhow::Result<Command> {
    let mut command = gateway.command()?;
    command
        .args(["serve", "--stdio"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

fn start(gateway: &GatewayProcess, more: &[&str]) -> anyhow::Result<Child> {
    Ok(command(gateway, more)?.spawn()?)
}

fn talk(gateway: &GatewayProcess) -> anyhow::Result<Talk> {
    Talk::stdio(command(gateway, &[])?.stderr(Stdio::null()))
}

/// Says everything at once, closes the input, and waits for the end.
async fn all_at_once(gateway: &GatewayProcess, more: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = start(gateway, more)?;
    let mut stdin = child.stdin.take().context("its input")?;
    let said = input.to_owned();
    // The program may end before it has heard everything.
    let saying = tokio::spawn(async move { stdin.write_all(said.as_bytes()).await });
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await??;
    let _ = saying.await?;
    Ok(output)
}

/// The lines of an output, each of which has to be a message.
fn messages(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| {
            let message: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(message["jsonrpc"], "2.0", "p_09: {line}");
            message
        })
        .collect()
}

fn initialize() -> Value {
    json!({ "jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } })
}

fn lines(messages: &[Value]) -> String {
    messages.iter().map(|message| format!("{message}\n")).collect()
}

/// List, call, progress, question, cancel, and of a modern client that it can listen. `server` is the era of the server.
async fn everything(client: &mut Conversation, is_modern: bool, server: &str) {
    let list = client.request("tools/list", json!({})).await.unwrap();
    assert!(names(list.result().unwrap()).contains(&"echo"), "{list:?}");
    let said = client.call("echo", json!({ "text": "a\nb" })).await.unwrap();
    assert_eq!(said.text().unwrap(), "a\nb");
    let params =
        json!({ "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": 7 } });
    let told = client.request("tools/call", params).await.unwrap();
    let progress: Vec<_> = told
        .notifications
        .iter()
        .filter(|n| n["method"] == "notifications/progress")
        .collect();
    assert_eq!(progress.len(), 3, "{told:?}");
    assert!(
        progress.iter().all(|n| n["params"]["progressToken"] == 7),
        "p_63 {told:?}"
    );
    let asked = client
        .call("test_elicitation", json!({ "message": "Who?" }))
        .await
        .unwrap();
    if is_modern {
        assert_eq!(
            asked.result().unwrap()["resultType"],
            "input_required",
            "{asked:?}"
        );
        let listen = json!({ "notifications": { "toolsListChanged": true } });
        client.begin("subscriptions/listen", listen).await.unwrap();
        client
            .heard("notifications/subscriptions/acknowledged")
            .await
            .unwrap();
    } else {
        assert!(asked.text().unwrap().contains("action=accept"), "{asked:?}");
    }
    if is_modern && server == "legacy" {
        // Each call of a client that may be asked has a process of its own: there is no counting across them.
        return;
    }
    let waiting = client
        .begin("tools/call", json!({ "name": "wait", "arguments": {} }))
        .await
        .unwrap();
    counted(client, "wait").await.unwrap();
    let cancelled = json!({ "requestId": waiting });
    client.notify("notifications/cancelled", cancelled).await.unwrap();
    counted(client, "cancelled").await.unwrap();
}

#[tokio::test]
async fn a_session_over_standard_input_and_output() {
    for era in ["legacy", "modern"] {
        let gateway = GatewayProcess::prepare(&stdio(era).unwrap()).unwrap();
        let talk = talk(&gateway).unwrap();
        let client = Conversation::legacy(talk, "2025-11-25", json!({ "elicitation": {} }))
            .await
            .unwrap();
        let mut client = client.answering(|method, _| {
            assert_eq!(method, "elicitation/create");
            json!({ "action": "accept", "content": { "username": "ada", "email": "a@b.c" } })
        });
        assert_eq!(client.server["serverInfo"]["name"], "sallyport");
        everything(&mut client, false, era).await;
    }
}

#[tokio::test]
async fn modern_requests_over_standard_input_and_output() {
    for era in ["legacy", "modern"] {
        let gateway = GatewayProcess::prepare(&stdio(era).unwrap()).unwrap();
        let mut client = Conversation::modern(talk(&gateway).unwrap(), json!({ "elicitation": {} }));
        let known = client.request("server/discover", json!({})).await.unwrap();
        assert!(
            known.result().unwrap()["supportedVersions"].is_array(),
            "{known:?}"
        );
        everything(&mut client, true, era).await;
        let refused = client
            .request("initialize", json!({ "protocolVersion": "2025-11-25" }))
            .await
            .unwrap();
        assert_eq!(refused.error_code().unwrap(), -32600, "{refused:?}");
    }
}

#[tokio::test]
async fn p_09_p_04_nothing_but_messages_and_at_the_end_of_the_input_the_end() {
    let gateway = GatewayProcess::prepare("").unwrap();
    let input = lines(&[
        initialize(),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/unheard_of" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "countdown", "arguments": { "from": 2 } } }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
            "name": "echo", "arguments": { "text": "a\r\nb" } } }),
    ]);
    let output = all_at_once(&gateway, &[], &input).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut ids: Vec<_> = messages(&output)
        .iter()
        .map(|message| message["id"].to_string())
        .collect();
    ids.sort();
    assert_eq!(ids, ["\"i\"", "1", "2", "3"]);
    assert!(!output.stderr.is_empty(), "the log is on standard error");
}

#[tokio::test]
async fn p_08_a_line_past_the_limit_is_an_error_and_the_end() {
    let gateway = GatewayProcess::prepare("limits: { request_bytes: 64KiB }\n").unwrap();
    let echo = |length: usize| {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "echo", "arguments": { "text": "" } } });
        let text = "x".repeat(length - call.to_string().len());
        call.to_string()
            .replace(r#""text":"""#, &format!(r#""text":"{text}""#))
            + "\n"
    };
    for (length, ids) in [(64 << 10, 2), ((64 << 10) + 1, 1)] {
        let input = lines(&[initialize()]) + &echo(length);
        let output = all_at_once(&gateway, &[], &input).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let messages = messages(&output);
        let answered = messages.iter().filter(|message| message.get("id").is_some());
        assert_eq!(answered.count(), ids, "{length}: {messages:?}");
        if ids == 1 {
            let last = messages.last().unwrap();
            assert_eq!(
                (last.get("id"), &last["error"]["code"]),
                (None, &json!(-32600)),
                "{last}"
            );
        }
    }
}

#[tokio::test]
async fn it_listens_nowhere_and_shares_the_data_directory_with_a_running_gateway() {
    let scene = Scene::demo().await.unwrap();
    let mut over_http = scene.modern(json!({}));
    let mut clients = Vec::new();
    for _ in 0..2 {
        // The ports of the configuration are taken: whoever listened would fail.
        let talk = talk(&scene.gateway).unwrap();
        clients.push(Conversation::legacy(talk, "2025-06-18", json!({})).await.unwrap());
    }
    for text in ["one", "two", "three"] {
        for client in &mut clients {
            let said = client.call("echo", json!({ "text": text })).await.unwrap();
            assert_eq!(said.text().unwrap(), text);
        }
        let said = over_http.call("echo", json!({ "text": text })).await.unwrap();
        assert_eq!(said.text().unwrap(), text);
    }
    // What is not on the disk yet is there soon: the trail gathers for a moment.
    let written = async {
        loop {
            let trail = scene
                .gateway
                .run(&["-o", "json", "audit", "tail"], "")
                .await
                .unwrap();
            let is_call = |line: &str| line.contains("tool_call") && line.contains("\"operator\"");
            if trail.lines().any(is_call) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, written)
        .await
        .expect("the calls are recorded");
    drop(clients);
    scene.gateway.run(&["audit", "verify"], "").await.unwrap();
}

#[tokio::test]
async fn the_operator_is_admitted_everywhere_but_to_what_the_lists_leave_out() {
    let more = "profiles:\n  default: { servers: [\"*\"], users: { allow: [nobody] }, tools: { allow: [\"e*\"] } }\n";
    let gateway = GatewayProcess::prepare(more).unwrap();
    let mut client = Conversation::modern(talk(&gateway).unwrap(), json!({}));
    let list = client.request("tools/list", json!({})).await.unwrap();
    assert_eq!(names(list.result().unwrap()), ["echo"]);
    let refused = client.call("add", json!({ "a": 1, "b": 1 })).await.unwrap();
    assert_eq!(refused.error_code().unwrap(), -32602);
    let output = all_at_once(&gateway, &["--profile", "other"], "").await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("other"),
        "{output:?}"
    );
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn it_listens_where_it_is_asked_to_and_stops_on_sigterm() {
    let gateway = GatewayProcess::prepare("").unwrap();
    let address = gateway.address().to_string();
    let mut child = start(&gateway, &["--listen", &address]).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    stdin.write_all(lines(&[initialize()]).as_bytes()).await.unwrap();
    let opened = stdout.next_line().await.unwrap().unwrap();
    assert!(opened.contains("2025-11-25"), "{opened}");
    let request = sallyport_testkit::http::Request::post("/mcp").rpc(&initialize());
    let mut connection = gateway.connect().await.unwrap();
    assert_eq!(
        connection.ask(&request).await.unwrap().status(),
        401,
        "others need a token"
    );
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .await
            .unwrap()
            .success()
    );
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(stdout.next_line().await.unwrap(), None);
}
