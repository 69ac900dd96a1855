//! The client before the gateway: it calls, answers questions as a person would, and opens the pages that it is sent to.

use sallyport_testkit::http::{Connection, Request};
use sallyport_testkit::mcp::{Endpoint, Exchange, Legacy, Modern};
use serde_json::{Map, Value, json};

use crate::person::Person;
use crate::plan::filled;

/// Visits and questions of one call, at most.
const MAX_ROUNDS: usize = 4;

/// A client of either era.
pub(crate) enum Client {
    /// With `initialize` and a session.
    Legacy(Legacy),
    /// Of 2026-07-28.
    Modern(Modern),
}

impl Client {
    pub(crate) async fn open(endpoint: Endpoint, is_modern: bool) -> anyhow::Result<Self> {
        let capabilities = json!({ "elicitation": { "form": {}, "url": {} } });
        if is_modern {
            return Ok(Self::Modern(Modern::new(endpoint, capabilities)));
        }
        let client = Legacy::open(endpoint.clone(), "2025-11-25", capabilities).await?;
        listen(&client, endpoint).await?;
        Ok(Self::Legacy(client.answering(|_, params| answer(params))))
    }

    async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        match self {
            Self::Legacy(client) => client.request(method, params).await,
            Self::Modern(client) => client.request(method, params).await,
        }
    }

    async fn list(&mut self, method: &str, member: &str) -> anyhow::Result<Vec<Value>> {
        let listed = self.request(method, json!({})).await?;
        let listed = listed.answer.pointer(&format!("/result/{member}"));
        Ok(listed.and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// The tools that the gateway shows.
    pub(crate) async fn tools(&mut self) -> anyhow::Result<Vec<Value>> {
        self.list("tools/list", "tools").await
    }

    /// Calls a tool until it has an answer.
    pub(crate) async fn call(
        &mut self,
        person: &mut Person,
        tool: &str,
        arguments: &Value,
    ) -> anyhow::Result<()> {
        let plain = json!({ "name": tool, "arguments": arguments });
        let mut params = plain.clone();
        for _ in 0..MAX_ROUNDS {
            let exchange = self.request("tools/call", params).await?;
            if let Some(page) = page(&exchange.answer) {
                person.connect(page).await?;
                params = plain.clone();
            } else if let Some(questions) = exchange.answer.pointer("/result/inputRequests") {
                params = with_answers(&plain, questions, exchange.answer.pointer("/result/requestState"));
            } else {
                let failed = exchange.answer.pointer("/result/isError") == Some(&Value::Bool(true));
                anyhow::ensure!(!failed && exchange.result().is_ok(), "{tool}: {exchange:?}");
                return Ok(());
            }
        }
        anyhow::bail!("{tool} is not done after {MAX_ROUNDS} rounds")
    }

    /// Reads every resource and gets every prompt.
    pub(crate) async fn read_everything(&mut self) -> anyhow::Result<()> {
        for (list, member, method, key) in [
            ("resources/list", "resources", "resources/read", "uri"),
            ("prompts/list", "prompts", "prompts/get", "name"),
        ] {
            for entry in self.list(list, member).await? {
                let exchange = self.request(method, json!({ key: entry.get(key) })).await?;
                anyhow::ensure!(exchange.result().is_ok(), "{entry}: {exchange:?}");
            }
        }
        Ok(())
    }
}

/// Answers what the server asks on the session's own stream.
async fn listen(client: &Legacy, endpoint: Endpoint) -> anyhow::Result<()> {
    let mut events = client.stream().await?;
    let post = client.with_session(Request::post(&endpoint.path));
    tokio::spawn(async move {
        while let Ok(message) = events.message().await {
            let Some(id) = message.get("id").filter(|_| message.get("method").is_some()) else {
                continue;
            };
            let result = answer(message.get("params").unwrap_or(&Value::Null));
            let response = post
                .clone()
                .rpc(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
            if let Ok(mut connection) = Connection::open(endpoint.address, &endpoint.host).await {
                // Whoever asked finds out for themselves that no answer came.
                let _ = connection.ask(&response).await;
            }
        }
    });
    Ok(())
}

/// The page that the answer sends the person to, in the words of either era.
fn page(answer: &Value) -> Option<&str> {
    let legacy = answer.pointer("/error/data/elicitations/0/url");
    let questions = answer.pointer("/result/inputRequests").and_then(Value::as_object);
    let modern = || {
        questions?
            .values()
            .find_map(|question| question.pointer("/params/url"))
    };
    legacy.or_else(modern)?.as_str()
}

fn with_answers(plain: &Value, questions: &Value, state: Option<&Value>) -> Value {
    let questions = questions.as_object().into_iter().flatten();
    let answers: Map<String, Value> = questions
        .map(|(key, question)| {
            (
                key.clone(),
                answer(question.get("params").unwrap_or(&Value::Null)),
            )
        })
        .collect();
    let mut params = plain.clone();
    if let Some(params) = params.as_object_mut() {
        params.insert("inputResponses".to_owned(), answers.into());
        params.extend(state.map(|state| ("requestState".to_owned(), state.clone())));
    }
    params
}

/// Accepts a question and leaves everything as it is proposed.
fn answer(question: &Value) -> Value {
    let schema = question.get("requestedSchema").unwrap_or(&Value::Null);
    json!({ "action": "accept", "content": filled(schema) })
}
