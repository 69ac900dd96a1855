//! A client of 2026-07-28: no session, every request says everything.

use serde_json::{Value, json};

use super::{Endpoint, Exchange, sort};
use crate::http::{Connection, Events, Request};

/// The revision.
const REVISION: &str = "2026-07-28";

/// A client.
pub struct Modern {
    endpoint: Endpoint,
    capabilities: Value,
    last_id: u64,
}

impl Modern {
    /// A client with these capabilities.
    #[must_use]
    pub fn new(endpoint: Endpoint, capabilities: Value) -> Self {
        Self {
            endpoint,
            capabilities,
            last_id: 0,
        }
    }

    /// The message of a request; members of `params._meta` are kept.
    #[must_use]
    pub fn message(&self, id: u64, method: &str, params: Value) -> Value {
        message(id, method, params, &self.capabilities)
    }

    /// The HTTP request of a message, with the headers that mirror it.
    #[must_use]
    pub fn http(&self, message: &Value) -> Request {
        let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
        let method = text("/method").unwrap_or_default();
        let mut request = self
            .endpoint
            .post()
            .header("MCP-Protocol-Version", REVISION)
            .header("Mcp-Method", method);
        let name = match method {
            "tools/call" | "prompts/get" => text("/params/name"),
            "resources/read" => text("/params/uri"),
            "tasks/get" | "tasks/update" | "tasks/cancel" => text("/params/taskId"),
            _ => None,
        };
        if let Some(name) = name {
            request = request.header("Mcp-Name", name);
        }
        request.rpc(message)
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// When there is none.
    pub async fn request(&mut self, method: &str, params: Value) -> anyhow::Result<Exchange> {
        self.last_id += 1;
        let message = self.message(self.last_id, method, params);
        let request = self.http(&message);
        self.exchange(&request, self.last_id).await
    }

    /// Sends a request that may be wrong and waits for the response to `id`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn exchange(&self, request: &Request, id: u64) -> anyhow::Result<Exchange> {
        let mut connection = Connection::open(self.endpoint.address, &self.endpoint.host).await?;
        let head = connection.begin(request).await?;
        let mut exchange = Exchange {
            status: head.status,
            ..Exchange::default()
        };
        if head.is_event_stream() {
            let mut events = connection.events();
            while !sort(&mut exchange, events.message().await?, id) {}
        } else {
            let mut body = Vec::new();
            while let Some(piece) = connection.piece().await? {
                body.extend_from_slice(&piece);
            }
            exchange.answer = serde_json::from_slice(&body).unwrap_or_default();
        }
        Ok(exchange)
    }

    /// `tools/call`.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Exchange> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
    }

    /// Calls again with the answers to an `input_required` result and its state.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn retry(
        &mut self,
        tool: &str,
        arguments: Value,
        before: &Exchange,
        answers: Value,
    ) -> anyhow::Result<Exchange> {
        let mut params = json!({ "name": tool, "arguments": arguments, "inputResponses": answers });
        if let (Some(params), Some(state)) = (
            params.as_object_mut(),
            before.answer.pointer("/result/requestState"),
        ) {
            params.insert("requestState".to_owned(), state.clone());
        }
        self.request("tools/call", params).await
    }

    /// Opens a `subscriptions/listen` stream; its first message is the acknowledgment.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn listen(&mut self, notifications: Value) -> anyhow::Result<Events> {
        self.last_id += 1;
        let message = self.message(
            self.last_id,
            "subscriptions/listen",
            json!({ "notifications": notifications }),
        );
        let mut connection = Connection::open(self.endpoint.address, &self.endpoint.host).await?;
        let head = connection.begin(&self.http(&message)).await?;
        anyhow::ensure!(
            head.status == 200 && head.is_event_stream(),
            "no stream: {head:?}"
        );
        Ok(connection.events())
    }
}

/// The message of a request of a client with these capabilities; members of `params._meta` are kept.
pub(super) fn message(id: u64, method: &str, params: Value, capabilities: &Value) -> Value {
    let mut params = if params.is_object() { params } else { json!({}) };
    let mut meta = params.get("_meta").cloned().unwrap_or_else(|| json!({}));
    for (key, value) in [
        ("io.modelcontextprotocol/protocolVersion", json!(REVISION)),
        (
            "io.modelcontextprotocol/clientInfo",
            json!({ "name": "testkit", "version": "1" }),
        ),
        ("io.modelcontextprotocol/clientCapabilities", capabilities.clone()),
    ] {
        if let Some(meta) = meta.as_object_mut() {
            meta.entry(key).or_insert(value);
        }
    }
    if let Some(params) = params.as_object_mut() {
        params.insert("_meta".to_owned(), meta);
    }
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}
