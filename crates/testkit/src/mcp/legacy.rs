//! A client of the revisions with `initialize` and sessions.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Endpoint, Exchange, sort};
use crate::http::{Answer, Connection, Events, Request};

/// Answers a request of the server: `(method, params)`.
pub(super) type Responder = Arc<dyn Fn(&str, &Value) -> Value + Send + Sync>;

/// A session.
pub struct Legacy {
    endpoint: Endpoint,
    /// The negotiated revision.
    pub revision: String,
    /// The `Mcp-Session-Id`; empty when the server gave none.
    pub session: String,
    /// The result of `initialize`.
    pub server: Value,
    last_id: u64,
    responder: Responder,
}

impl Legacy {
    /// Initializes a session.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn open(endpoint: Endpoint, revision: &str, capabilities: Value) -> anyhow::Result<Self> {
        let mut this = Self {
            endpoint,
            revision: String::new(),
            session: String::new(),
            server: Value::Null,
            last_id: 0,
            responder: Arc::new(|_, _| Value::Null),
        };
        let info = json!({ "name": "testkit", "version": "1" });
        let params = json!({ "protocolVersion": revision, "capabilities": capabilities, "clientInfo": info });
        let (exchange, session) = this.exchange("initialize", params).await?;
        this.server = exchange.result()?.clone();
        this.session = session.unwrap_or_default();
        let agreed = this.server.get("protocolVersion").and_then(Value::as_str);
        agreed.context("protocolVersion")?.clone_into(&mut this.revision);
        this.notify("notifications/initialized", Value::Null)
            .await?
            .expect(202)?;
        Ok(this)
    }

    /// From now on requests of the server are answered by `responder(method, params)`: the `result`, or with a member
    /// `code` the `error`.
    #[must_use]
    pub fn answering(mut self, responder: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        self.responder = Arc::new(responder);
        self
    }

    /// A request to the endpoint with everything that a session's requests carry.
    #[must_use]
    pub fn with_session(&self, request: Request) -> Request {
        let mut request = request;
        if let Some(token) = &self.endpoint.token {
            request = request.bearer(token);
        }
        if !self.revision.is_empty() {
            request = request.header("MCP-Protocol-Version", &self.revision);
        }
        if !self.session.is_empty() {
            request = request.header("Mcp-Session-Id", &self.session);
        }
        request
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(self.endpoint.address, &self.endpoint.host).await
    }

    /// Posts one message and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, message: &Value) -> anyhow::Result<Answer> {
        let request = self.with_session(Request::post(&self.endpoint.path)).rpc(message);
        self.connect().await?.ask(&request).await
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn notify(&self, method: &str, params: Value) -> anyhow::Result<Answer> {
        let mut message = json!({ "jsonrpc": "2.0", "method": method });
        if !params.is_null() {
            set(&mut message, "params", params);
        }
        self.post(&message).await
    }

    /// Sends a request, answers what the server asks meanwhile, and waits for the response.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        Ok(self.exchange(method, params).await?.0)
    }

    /// `tools/call`.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Exchange> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }

    async fn exchange(&mut self, method: &str, params: Value) -> anyhow::Result<(Exchange, Option<String>)> {
        self.last_id += 1;
        let id = self.last_id;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = self
            .with_session(Request::post(&self.endpoint.path))
            .rpc(&message);
        let mut connection = self.connect().await?;
        let head = connection.begin(&request).await?;
        let session = head.header("mcp-session-id").map(str::to_owned);
        let mut exchange = Exchange {
            status: head.status,
            ..Exchange::default()
        };
        if head.is_event_stream() {
            let mut events = connection.events();
            loop {
                let message = events
                    .message()
                    .await
                    .with_context(|| format!("{method}: {exchange:?}"))?;
                if sort(&mut exchange, message, id) {
                    break;
                }
                self.answer_last(&mut exchange).await?;
            }
        } else {
            let mut body = Vec::new();
            while let Some(piece) = connection.piece().await? {
                body.extend_from_slice(&piece);
            }
            exchange.answer = serde_json::from_slice(&body).unwrap_or_default();
        }
        Ok((exchange, session))
    }

    /// Answers the newest request of the server, if it has not been answered yet.
    async fn answer_last(&self, exchange: &mut Exchange) -> anyhow::Result<()> {
        let Some(asked) = exchange
            .asked
            .last_mut()
            .filter(|asked| asked.get("answered").is_none())
        else {
            return Ok(());
        };
        let method = asked.get("method").and_then(Value::as_str).unwrap_or_default();
        let answer = (self.responder)(method, asked.get("params").unwrap_or(&Value::Null));
        let member = if answer.get("code").is_some() {
            "error"
        } else {
            "result"
        };
        let mut message = json!({ "jsonrpc": "2.0", "id": asked.get("id") });
        set(&mut message, member, answer);
        set(asked, "answered", Value::Bool(true));
        self.post(&message).await?.expect(202).map(drop)
    }

    /// Opens the stream for messages that belong to no request.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn stream(&self) -> anyhow::Result<Events> {
        let request = Request::get(&self.endpoint.path).header("Accept", "text/event-stream");
        let mut connection = self.connect().await?;
        let head = connection.begin(&self.with_session(request)).await?;
        anyhow::ensure!(
            head.status == 200 && head.is_event_stream(),
            "no stream: {head:?}"
        );
        Ok(connection.events())
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn delete(&self) -> anyhow::Result<Answer> {
        let request = self.with_session(Request::new("DELETE", &self.endpoint.path));
        self.connect().await?.ask(&request).await
    }
}

/// Puts a member into an object.
pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
