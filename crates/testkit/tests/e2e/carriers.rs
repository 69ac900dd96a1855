//! The fixtures on the transports that carry whole messages, without a gateway.

use anyhow::ensure;
use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::everything::{Era, Options};
use sallyport_testkit::mcp::{Conversation, Endpoint, Talk};
use sallyport_testkit::process::program;
use serde_json::json;

fn endpoint(server: &Server, path: &str) -> Endpoint {
    Endpoint {
        address: server.address(),
        host: server.address().to_string(),
        path: path.to_owned(),
        token: None,
    }
}

/// A question, progress and a change, as a legacy client meets them.
async fn legacy(talk: Talk, revision: &str) -> anyhow::Result<()> {
    let client = Conversation::legacy(talk, revision, json!({ "elicitation": {} })).await?;
    let agreed = client.server.get("protocolVersion");
    ensure!(agreed == Some(&json!(revision)), "{:?}", client.server);
    let mut client = client.answering(
        |_, _| json!({ "action": "accept", "content": { "username": "ada", "email": "ada@example.com" } }),
    );
    let asked = client
        .call("test_elicitation", json!({ "message": "Who?" }))
        .await?;
    ensure!(asked.text()?.contains("ada@example.com"), "{asked:?}");
    let params = json!({ "name": "echo_progress", "arguments": { "text": "mine" }, "_meta": { "progressToken": "t" } });
    let told = client.request("tools/call", params).await?;
    ensure!(told.text()? == "mine", "{told:?}");
    let token = told
        .notifications
        .first()
        .and_then(|note| note.pointer("/params/progressToken"));
    ensure!(token == Some(&json!("t")), "{told:?}");
    client.call("test_trigger_tool_change", json!({})).await?;
    client.heard("notifications/tools/list_changed").await?;
    Ok(())
}

/// A question and a change, as a modern client meets them.
async fn modern(talk: Talk) -> anyhow::Result<()> {
    let mut client = Conversation::modern(talk, json!({ "elicitation": {} }));
    let asked = client
        .call("test_elicitation", json!({ "message": "Who?" }))
        .await?;
    let kind = asked.result()?.get("resultType");
    ensure!(kind == Some(&json!("input_required")), "{asked:?}");
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    client.begin("subscriptions/listen", listen).await?;
    client.heard("notifications/subscriptions/acknowledged").await?;
    client.call("test_trigger_tool_change", json!({})).await?;
    client.heard("notifications/tools/list_changed").await?;
    Ok(())
}

#[tokio::test]
async fn http_and_sse_of_2024_11_05() {
    let server = Server::start_sse("127.0.0.1:0", Options::default())
        .await
        .unwrap();
    legacy(Talk::sse(&endpoint(&server, "/sse")).await.unwrap(), "2024-11-05")
        .await
        .unwrap();
}

#[tokio::test]
async fn web_socket_in_both_eras() {
    let server = Server::start_ws("127.0.0.1:0", Options::default()).await.unwrap();
    let endpoint = endpoint(&server, "/mcp");
    legacy(Talk::ws(&endpoint).await.unwrap(), "2025-11-25")
        .await
        .unwrap();
    modern(Talk::ws(&endpoint).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn framed_tcp_in_both_eras_with_its_token_only() {
    let options = Options {
        token: Some("right".to_owned()),
        ..Options::default()
    };
    let server = Server::start_tcp("127.0.0.1:0", options).await.unwrap();
    let address = server.address();
    legacy(Talk::tcp(address, "right", 0).await.unwrap(), "2025-06-18")
        .await
        .unwrap();
    modern(Talk::tcp(address, "right", 0).await.unwrap())
        .await
        .unwrap();
    let mut refused = Talk::tcp(address, "wrong", 0).await.unwrap();
    let said = refused.receive().await.unwrap();
    assert_eq!(said["framed"], "another token is needed");
    assert!(refused.receive().await.is_err());
}

#[tokio::test]
async fn stdio_in_both_eras() {
    for era in [Era::Legacy, Era::Modern] {
        let mut command = tokio::process::Command::new(program("sallyport-everything").unwrap());
        let name = if era == Era::Legacy { "legacy" } else { "modern" };
        let talk = Talk::stdio(command.args(["--stdio", "--era", name])).unwrap();
        match era {
            Era::Legacy => legacy(talk, "2025-11-25").await.unwrap(),
            _ => modern(talk).await.unwrap(),
        }
    }
}
