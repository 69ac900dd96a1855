//! One client of any kind, with the words that all of them understand.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sallyport_testkit::http::{Connection, Events, Request};
use sallyport_testkit::mcp::{Endpoint, Exchange, Legacy, Modern};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What a client speaks, and over what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Streamable HTTP with a session, of this revision.
    Http(&'static str),
    /// 2026-07-28.
    HttpModern,
}

/// Every client of the matrix.
pub(super) const KINDS: [Kind; 4] = [
    Kind::Http("2025-03-26"),
    Kind::Http("2025-06-18"),
    Kind::Http("2025-11-25"),
    Kind::HttpModern,
];

impl Kind {
    /// Its revision.
    pub(super) fn revision(self) -> &'static str {
        match self {
            Self::Http(revision) => revision,
            Self::HttpModern => "2026-07-28",
        }
    }

    /// Whether its revision has no handshake.
    pub(super) fn is_modern(self) -> bool {
        self.revision() == "2026-07-28"
    }

    /// Whether its revision knows elicitation, which came with 2025-06-18.
    pub(super) fn knows_elicitation(self) -> bool {
        self.revision() >= "2025-06-18"
    }

    /// Its row in the grid.
    pub(super) fn label(self) -> String {
        format!("HTTP {}", self.revision())
    }
}

/// The way into the gateway for one server.
pub(super) struct Ways {
    /// The MCP endpoint of its profile.
    pub(super) endpoint: Endpoint,
    /// The same server with one process for everybody, where callers have their own: what happens in somebody's own
    /// process changes nobody's lists.
    pub(super) shared: Option<Box<Ways>>,
}

impl Ways {
    /// A client that has said hello, and can answer what the server may ask, if `answers`.
    pub(super) async fn client(&self, kind: Kind, answers: bool) -> anyhow::Result<Client> {
        let capabilities = match (answers, kind.knows_elicitation()) {
            (false, _) => json!({}),
            (true, true) => json!({ "elicitation": {} }),
            (true, false) => json!({ "sampling": {} }),
        };
        let over = match kind {
            Kind::Http(revision) => {
                let session = Legacy::open(self.endpoint.clone(), revision, capabilities).await?;
                ensure!(session.revision == revision, "negotiated {}", session.revision);
                Over::Http(session.answering(given))
            }
            Kind::HttpModern => Over::Modern(Modern::new(self.endpoint.clone(), capabilities)),
        };
        let endpoint = self.endpoint.clone();
        Ok(Client { kind, over, endpoint })
    }
}

enum Over {
    Http(Legacy),
    Modern(Modern),
}

/// A client that has said hello.
pub(super) struct Client {
    pub(super) kind: Kind,
    over: Over,
    endpoint: Endpoint,
}

/// What every client answers.
fn given(method: &str, _: &Value) -> Value {
    match method {
        "elicitation/create" => {
            json!({ "action": "accept", "content": { "username": "ada", "email": "ada@example.com" } })
        }
        "sampling/createMessage" => json!({
            "role": "assistant", "model": "none",
            "content": { "type": "text", "text": "said by ada@example.com" },
        }),
        _ => json!({ "code": -32601, "message": "not known here" }),
    }
}

impl Client {
    pub(super) async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        match &mut self.over {
            Over::Http(client) => client.request(method, params).await,
            Over::Modern(client) => client.request(method, params).await,
        }
    }

    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Exchange> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }

    /// Calls, and answers whatever is asked, in the way of the era.
    pub(super) async fn call_and_answer(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Exchange> {
        let first = self.call(tool, arguments.clone()).await?;
        let Some(asked) = first
            .answer
            .pointer("/result/inputRequests")
            .and_then(Value::as_object)
        else {
            ensure!(!first.asked.is_empty(), "nothing was asked: {first:?}");
            return Ok(first);
        };
        ensure!(self.kind.is_modern(), "a legacy client got {first:?}");
        let answers: serde_json::Map<_, _> = asked
            .iter()
            .map(|(key, question)| {
                let method = question.get("method").and_then(Value::as_str).unwrap_or_default();
                (key.clone(), given(method, &Value::Null))
            })
            .collect();
        let mut params = json!({ "name": tool, "arguments": arguments, "inputResponses": answers });
        if let (Some(params), Some(state)) = (
            params.as_object_mut(),
            first.answer.pointer("/result/requestState"),
        ) {
            params.insert("requestState".to_owned(), state.clone());
        }
        self.request("tools/call", params).await
    }

    /// Starts the tool `wait` and does not wait for it.
    pub(super) async fn start_waiting(&mut self) -> anyhow::Result<JoinHandle<()>> {
        let params = json!({ "name": "wait", "arguments": { "ms": 60_000 } });
        let request = match &mut self.over {
            Over::Http(client) => {
                let message =
                    json!({ "jsonrpc": "2.0", "id": "waiting", "method": "tools/call", "params": params });
                client
                    .with_session(Request::post(&self.endpoint.path))
                    .rpc(&message)
            }
            Over::Modern(client) => client.http(&client.message(77, "tools/call", params)),
        };
        let mut connection = Connection::open(self.endpoint.address, &self.endpoint.host).await?;
        Ok(tokio::spawn(async move {
            // Whatever comes: the connection lives as long as the task.
            let _ = connection.begin(&request).await;
            while let Ok(Some(_)) = connection.piece().await {}
        }))
    }

    /// Cancels it in the way of the revision.
    pub(super) async fn cancel(&mut self, running: &JoinHandle<()>) -> anyhow::Result<()> {
        match &mut self.over {
            Over::Modern(_) => {
                running.abort();
                Ok(())
            }
            Over::Http(client) => {
                let params = json!({ "requestId": "waiting" });
                let told = client.notify("notifications/cancelled", params).await?;
                told.expect(202).map(drop)
            }
        }
    }

    /// Opens what changes of the list of tools are heard on.
    pub(super) async fn listen(&mut self) -> anyhow::Result<Events> {
        match &mut self.over {
            Over::Http(client) => client.stream().await,
            Over::Modern(client) => {
                let mut events = client.listen(json!({ "toolsListChanged": true })).await?;
                let first = events.message().await?;
                let method = first.get("method").and_then(Value::as_str);
                ensure!(
                    method == Some("notifications/subscriptions/acknowledged"),
                    "{first}"
                );
                Ok(events)
            }
        }
    }

    /// How often the server counted `what`.
    pub(super) async fn counted(&mut self, what: &str) -> anyhow::Result<u64> {
        let counters = self.call("counters", json!({})).await?;
        let counters: Value = serde_json::from_str(counters.text()?)?;
        Ok(counters.get(what).and_then(Value::as_u64).unwrap_or(0))
    }

    /// Asks until the server counted `what` more than `before` times.
    pub(super) async fn until_counted(&mut self, what: &str, before: u64) -> anyhow::Result<()> {
        super::super::support::within(Duration::from_secs(10), async || {
            Ok(self.counted(what).await? > before)
        })
        .await
        .map(drop)
        .with_context(|| format!("`{what}` stays at {before}"))
    }
}
