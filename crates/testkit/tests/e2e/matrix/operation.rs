//! What every client does with every server.

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::client::{Client, Kind, Ways};

/// An operation, its letter in the grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Call,
    Progress,
    Cancel,
    Question,
    Change,
    Error,
}

pub(super) const OPERATIONS: [Operation; 6] = [
    Operation::Call,
    Operation::Progress,
    Operation::Cancel,
    Operation::Question,
    Operation::Change,
    Operation::Error,
];

impl Operation {
    /// Its letter in the grid.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Call => 'c',
            Self::Progress => 'p',
            Self::Cancel => 'x',
            Self::Question => 'q',
            Self::Change => 'l',
            Self::Error => 'e',
        }
    }
}

/// Does all operations; what failed, with the reason.
pub(super) async fn all(ways: &Ways, kind: Kind) -> Vec<(Operation, String)> {
    let mut failed = Vec::new();
    let mut plain = ways.client(kind, false).await;
    for operation in OPERATIONS {
        let done = match (&mut plain, operation) {
            (Err(error), _) => Err(anyhow::anyhow!("{error:#}")),
            (Ok(client), Operation::Call) => call(client).await,
            (Ok(client), Operation::Progress) => progress(client).await,
            (Ok(client), Operation::Cancel) => cancel(client).await,
            (Ok(_), Operation::Question) => question(ways, kind).await,
            (Ok(client), Operation::Change) => match &ways.shared {
                Some(shared) => match shared.client(kind, false).await {
                    Ok(mut client) => change(&mut client).await,
                    Err(error) => Err(error),
                },
                None => change(client).await,
            },
            (Ok(client), Operation::Error) => error(client).await,
        };
        if let Err(error) = done {
            failed.push((operation, format!("{error:#}")));
        }
    }
    failed
}

async fn call(client: &mut Client) -> anyhow::Result<()> {
    let text = format!("{:?} \u{2014} \u{1f6aa}", client.kind);
    let answer = client.call("echo", json!({ "text": text })).await?;
    ensure!(answer.text()? == text, "{answer:?}");
    let modern = answer.result()?.get("resultType").and_then(Value::as_str);
    let expected = client.kind.is_modern().then_some("complete");
    ensure!(modern == expected, "resultType {modern:?}");
    Ok(())
}

async fn progress(client: &mut Client) -> anyhow::Result<()> {
    let params = json!({
        "name": "test_tool_with_progress", "arguments": {},
        "_meta": { "progressToken": "the same everywhere" },
    });
    let answer = client.request("tools/call", params).await?;
    answer.result()?;
    let told = answer.notifications.iter().filter_map(|note| {
        (note.get("method")?.as_str()? == "notifications/progress").then_some(())?;
        ensure_token(note).ok()?;
        note.pointer("/params/progress")?.as_f64()
    });
    let told: Vec<_> = told.collect();
    ensure!(told == [0.0, 50.0, 100.0], "{told:?} of {answer:?}");
    Ok(())
}

fn ensure_token(note: &Value) -> anyhow::Result<()> {
    let token = note.pointer("/params/progressToken");
    ensure!(token == Some(&json!("the same everywhere")), "{note}");
    Ok(())
}

async fn cancel(client: &mut Client) -> anyhow::Result<()> {
    let (running, cancelled) = (client.counted("wait").await?, client.counted("cancelled").await?);
    let call = client.start_waiting().await?;
    client.until_counted("wait", running).await?;
    client.cancel(&call).await?;
    client.until_counted("cancelled", cancelled).await
}

/// Elicitation; sampling for revisions that do not know elicitation.
async fn question(ways: &Ways, kind: Kind) -> anyhow::Result<()> {
    let mut client = ways.client(kind, true).await?;
    let answer = if kind.knows_elicitation() {
        let arguments = json!({ "message": "Who are you?" });
        client.call_and_answer("test_elicitation", arguments).await?
    } else {
        let arguments = json!({ "prompt": "Who are you?" });
        client.call_and_answer("test_sampling", arguments).await?
    };
    ensure!(answer.text()?.contains("ada@example.com"), "{answer:?}");
    Ok(())
}

/// A change is heard, and seen in the list.
async fn change(client: &mut Client) -> anyhow::Result<()> {
    let before = has_dynamic_tool(client).await?;
    let mut ear = client.listen().await?;
    client
        .call("test_trigger_tool_change", json!({}))
        .await?
        .result()?;
    client.hear(&mut ear).await?;
    super::super::support::within(std::time::Duration::from_secs(10), async || {
        Ok(has_dynamic_tool(client).await? != before)
    })
    .await
    .map(drop)
}

async fn has_dynamic_tool(client: &mut Client) -> anyhow::Result<bool> {
    let list = client.request("tools/list", json!({})).await?;
    Ok(super::super::support::names(list.result()?).contains(&"test_dynamic_tool"))
}

async fn error(client: &mut Client) -> anyhow::Result<()> {
    let unknown = client.call("no_such_tool", json!({})).await?.error_code()?;
    ensure!(unknown == -32602, "an unknown tool is {unknown}");
    let failed = client.call("test_error_handling", json!({})).await?;
    ensure!(
        failed.result()?.get("isError") == Some(&json!(true)),
        "{failed:?}"
    );
    let params = json!({ "uri": "test://nothing" });
    let missing = client.request("resources/read", params).await?.error_code()?;
    match (client.kind.is_modern(), missing) {
        (true, -32602) | (false, -32002 | -32602) => Ok(()),
        _ => bail!("a missing resource is {missing}"),
    }
}
