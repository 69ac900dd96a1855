//! A client of either era over a connection that carries whole messages.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::legacy::{Responder, set};
use super::{Exchange, Talk, modern, sort};

/// A client.
pub struct Conversation {
    talk: Talk,
    /// What a modern client declares with each request; a legacy one has done so at the beginning.
    modern: Option<Value>,
    responder: Responder,
    /// The result of `initialize`.
    pub server: Value,
    last_id: u64,
    /// Notifications that belong to no request that was waited for.
    heard: VecDeque<Value>,
}

impl Conversation {
    /// A legacy client: initializes.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn legacy(talk: Talk, revision: &str, capabilities: Value) -> anyhow::Result<Self> {
        let mut this = Self::over(talk, None);
        let info = json!({ "name": "testkit", "version": "1" });
        let params = json!({ "protocolVersion": revision, "capabilities": capabilities, "clientInfo": info });
        let exchange = this.request("initialize", params).await?;
        this.server = exchange.result()?.clone();
        this.notify("notifications/initialized", json!({})).await?;
        Ok(this)
    }

    /// A client of 2026-07-28.
    #[must_use]
    pub fn modern(talk: Talk, capabilities: Value) -> Self {
        Self::over(talk, Some(capabilities))
    }

    fn over(talk: Talk, modern: Option<Value>) -> Self {
        Self {
            talk,
            modern,
            responder: Arc::new(|_, _| Value::Null),
            server: Value::Null,
            last_id: 0,
            heard: VecDeque::new(),
        }
    }

    /// As [`super::Legacy::answering`].
    #[must_use]
    pub fn answering(mut self, responder: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        self.responder = Arc::new(responder);
        self
    }

    /// The connection, after the handshake.
    #[must_use]
    pub fn into_talk(self) -> Talk {
        self.talk
    }

    /// Sends a request and returns its id.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn begin(&mut self, method: &str, params: Value) -> anyhow::Result<u64> {
        self.last_id += 1;
        let id = self.last_id;
        let message = match &self.modern {
            Some(capabilities) => modern::message(id, method, params, capabilities),
            None => json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
        };
        self.talk.send(message).await?;
        Ok(id)
    }

    /// Waits for the response to `id`, answering what the server asks meanwhile.
    ///
    /// # Errors
    /// When there is none.
    pub async fn finish(&mut self, id: u64) -> anyhow::Result<Exchange> {
        // There is no status here; 200 lets the same checks run over HTTP and over this.
        let mut exchange = Exchange {
            status: 200,
            ..Exchange::default()
        };
        loop {
            let message = self.talk.receive().await;
            let message = message.with_context(|| format!("the response to {id}: {exchange:?}"))?;
            let asks = message.get("method").is_some() && message.get("id").is_some();
            if asks {
                self.answer(&message).await?;
            }
            if sort(&mut exchange, message, id) {
                self.heard.extend(exchange.notifications.iter().cloned());
                return Ok(exchange);
            }
        }
    }

    async fn answer(&self, asked: &Value) -> anyhow::Result<()> {
        let method = asked.get("method").and_then(Value::as_str).unwrap_or_default();
        let answer = (self.responder)(method, asked.get("params").unwrap_or(&Value::Null));
        let member = if answer.get("code").is_some() {
            "error"
        } else {
            "result"
        };
        let mut message = json!({ "jsonrpc": "2.0", "id": asked.get("id") });
        set(&mut message, member, answer);
        self.talk.send(message).await
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// When there is none.
    pub async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        let id = self.begin(method, params).await?;
        self.finish(id).await
    }

    /// `tools/call`.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Exchange> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }

    /// Sends a notification.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn notify(&self, method: &str, params: Value) -> anyhow::Result<()> {
        self.talk
            .send(json!({ "jsonrpc": "2.0", "method": method, "params": params }))
            .await
    }

    /// The next notification of this method, also one that came while something else was waited for.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn heard(&mut self, method: &str) -> anyhow::Result<Value> {
        let fits = |message: &Value| message.get("method").and_then(Value::as_str) == Some(method);
        loop {
            while let Some(message) = self.heard.pop_front() {
                if fits(&message) {
                    return Ok(message);
                }
            }
            let message = self.talk.receive().await.context(method.to_owned())?;
            self.heard.push_back(message);
        }
    }
}
