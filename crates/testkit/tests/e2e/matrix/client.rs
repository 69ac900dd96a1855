//! One client of any kind, with the words that all of them understand.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use sallyport_testkit::http::{Connection, Request};
use sallyport_testkit::mcp::{Conversation, Endpoint, Exchange, Legacy, Modern, Talk};
use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// What a client speaks, and over what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// Streamable HTTP with a session, of this revision.
    Http(&'static str),
    /// 2026-07-28.
    HttpModern,
    /// Standard streams of a gateway of its own.
    Stdio(Era),
    /// WebSocket.
    WebSocket(Era),
    /// Framed TCP.
    Tcp(Era),
}

/// Which handshake a conversation begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Era {
    Legacy,
    Modern,
}

/// Every client of the matrix.
pub(super) const KINDS: [Kind; 11] = [
    Kind::Sse,
    Kind::Http("2025-03-26"),
    Kind::Http("2025-06-18"),
    Kind::Http("2025-11-25"),
    Kind::HttpModern,
    Kind::WebSocket(Era::Legacy),
    Kind::WebSocket(Era::Modern),
    Kind::Tcp(Era::Legacy),
    Kind::Tcp(Era::Modern),
    // Last: their gateways change the lists of servers that the common gateway looks at too, and a change that is undone
    // before it has looked is none.
    Kind::Stdio(Era::Legacy),
    Kind::Stdio(Era::Modern),
];

impl Kind {
    /// Its revision.
    pub(super) fn revision(self) -> &'static str {
        match self {
            Self::Sse => "2024-11-05",
            Self::Http(revision) => revision,
            Self::Stdio(Era::Legacy) | Self::WebSocket(Era::Legacy) | Self::Tcp(Era::Legacy) => "2025-11-25",
            _ => "2026-07-28",
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
        let carrier = match self {
            Self::Sse => "HTTP+SSE",
            Self::Http(_) | Self::HttpModern => "HTTP",
            Self::Stdio(_) => "stdio",
            Self::WebSocket(_) => "WebSocket",
            Self::Tcp(_) => "TCP",
        };
        format!("{carrier} {}", self.revision())
    }
}

/// Ways into the gateway for one server.
pub(super) struct Ways {
    /// The MCP endpoint of its profile.
    pub(super) endpoint: Endpoint,
    /// The framed TCP listener.
    pub(super) tcp: SocketAddr,
    /// The configuration of a gateway with the server alone, which serves its standard streams.
    pub(super) alone: String,
    /// The same server with one process for everybody, where callers have their own: what happens in somebody's own
    /// process changes nobody's lists.
    pub(super) shared: Option<Box<Ways>>,
}

impl Ways {
    fn below(&self, path: &str) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        endpoint.path = format!("{}{path}", endpoint.path);
        endpoint
    }

    /// The connection, and the gateway at its other end where that is one of its own.
    async fn talk(&self, kind: Kind) -> anyhow::Result<(Talk, Option<GatewayProcess>)> {
        match kind {
            Kind::Sse => return Ok((Talk::sse(&self.below("/sse")).await?, None)),
            Kind::WebSocket(_) => return Ok((Talk::ws(&self.below("/ws")).await?, None)),
            Kind::Tcp(_) => {
                let token = self.endpoint.token.as_deref().unwrap_or_default();
                let now = now()?;
                return Ok((Talk::tcp(self.tcp, token, now).await?, None));
            }
            _ => {}
        }
        let gateway = GatewayProcess::prepare(&self.alone)?;
        let mut command = gateway.command()?;
        command.args(["serve", "--stdio"]).stderr(Stdio::null());
        Ok((Talk::stdio(&mut command)?, Some(gateway)))
    }

    /// A client that has said hello, and can answer what the server may ask, if `answers`.
    pub(super) async fn client(&self, kind: Kind, answers: bool) -> anyhow::Result<Client> {
        let capabilities = match (answers, kind.knows_elicitation()) {
            (false, _) => json!({}),
            (true, true) => json!({ "elicitation": {} }),
            (true, false) => json!({ "sampling": {} }),
        };
        let mut gateway = None;
        let over = match kind {
            Kind::Http(revision) => {
                let session = Legacy::open(self.endpoint.clone(), revision, capabilities).await?;
                ensure!(session.revision == revision, "negotiated {}", session.revision);
                Over::Http(session.answering(given))
            }
            Kind::HttpModern => Over::Modern(Modern::new(self.endpoint.clone(), capabilities)),
            _ => {
                let (talk, own) = self.talk(kind).await?;
                gateway = own;
                let conversation = if kind.is_modern() {
                    Conversation::modern(talk, capabilities)
                } else {
                    Conversation::legacy(talk, kind.revision(), capabilities).await?
                };
                Over::Talk(Box::new(conversation.answering(given)))
            }
        };
        let endpoint = self.endpoint.clone();
        Ok(Client {
            kind,
            over,
            endpoint,
            _gateway: gateway,
        })
    }
}

enum Over {
    Http(Legacy),
    Modern(Modern),
    Talk(Box<Conversation>),
}

/// A client that has said hello.
pub(super) struct Client {
    pub(super) kind: Kind,
    over: Over,
    endpoint: Endpoint,
    _gateway: Option<GatewayProcess>,
}

/// The time that the AUTH frame of framed TCP bears.
#[expect(
    clippy::disallowed_methods,
    reason = "the gateway of this test has the clock of the machine"
)]
fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
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

/// A call that runs in the background.
pub(super) enum Running {
    /// On a connection of its own.
    Task(JoinHandle<()>),
    /// Among others, by its id.
    Id(u64),
}

/// A stream on which changes are heard.
pub(super) enum Ear {
    Events(Box<sallyport_testkit::http::Events>),
    /// On the connection of the client itself.
    Same,
}

impl Client {
    pub(super) async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        match &mut self.over {
            Over::Http(client) => client.request(method, params).await,
            Over::Modern(client) => client.request(method, params).await,
            Over::Talk(client) => client.request(method, params).await,
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
    pub(super) async fn start_waiting(&mut self) -> anyhow::Result<Running> {
        let params = json!({ "name": "wait", "arguments": { "ms": 60_000 } });
        let request = match &mut self.over {
            Over::Talk(client) => return Ok(Running::Id(client.begin("tools/call", params).await?)),
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
        Ok(Running::Task(tokio::spawn(async move {
            // Whatever comes: the connection lives as long as the task.
            let _ = connection.begin(&request).await;
            while let Ok(Some(_)) = connection.piece().await {}
        })))
    }

    /// Cancels it in the way of the revision.
    pub(super) async fn cancel(&mut self, running: &Running) -> anyhow::Result<()> {
        match (&mut self.over, running) {
            (Over::Modern(_), Running::Task(task)) => {
                task.abort();
                Ok(())
            }
            (Over::Http(client), _) => {
                let params = json!({ "requestId": "waiting" });
                client
                    .notify("notifications/cancelled", params)
                    .await?
                    .expect(202)
                    .map(drop)
            }
            (Over::Talk(client), Running::Id(id)) => {
                let params = json!({ "requestId": id });
                client.notify("notifications/cancelled", params).await
            }
            _ => anyhow::bail!("another kind of call"),
        }
    }

    /// Opens what changes of the list of tools are heard on.
    pub(super) async fn listen(&mut self) -> anyhow::Result<Ear> {
        let filter = json!({ "toolsListChanged": true });
        let acknowledged = "notifications/subscriptions/acknowledged";
        match &mut self.over {
            Over::Http(client) => Ok(Ear::Events(Box::new(client.stream().await?))),
            Over::Modern(client) => {
                let mut events = client.listen(filter).await?;
                let first = events.message().await?;
                let method = first.get("method").and_then(Value::as_str);
                ensure!(method == Some(acknowledged), "{first}");
                Ok(Ear::Events(Box::new(events)))
            }
            Over::Talk(client) => {
                if self.kind.is_modern() {
                    let params = json!({ "notifications": filter });
                    client.begin("subscriptions/listen", params).await?;
                    client.heard(acknowledged).await?;
                }
                Ok(Ear::Same)
            }
        }
    }

    /// Waits until a change of the list of tools is heard.
    pub(super) async fn hear(&mut self, ear: &mut Ear) -> anyhow::Result<()> {
        let wanted = "notifications/tools/list_changed";
        match (ear, &mut self.over) {
            (Ear::Events(events), _) => loop {
                let message = events.message().await?;
                if message.get("method").and_then(Value::as_str) == Some(wanted) {
                    return Ok(());
                }
            },
            (Ear::Same, Over::Talk(client)) => client.heard(wanted).await.map(drop),
            _ => anyhow::bail!("another kind of client"),
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
