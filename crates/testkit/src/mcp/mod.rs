//! MCP clients that show everything that happened on the wire.

mod conversation;
mod legacy;
mod modern;
mod talk;

use std::net::SocketAddr;

use serde_json::Value;

pub use conversation::Conversation;
pub use legacy::Legacy;
pub use modern::Modern;
pub use talk::Talk;

/// Where a client goes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The socket.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path of the endpoint.
    pub path: String,
    /// The bearer token.
    pub token: Option<String>,
}

impl Endpoint {
    pub(crate) fn post(&self) -> crate::http::Request {
        let request = crate::http::Request::post(&self.path);
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }
}

/// What came back for one request.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The HTTP status.
    pub status: u16,
    /// The response message (`Null` when there was none).
    pub answer: Value,
    /// The notifications before it.
    pub notifications: Vec<Value>,
    /// The requests of the server before it.
    pub asked: Vec<Value>,
}

impl Exchange {
    /// The `result`.
    ///
    /// # Errors
    /// With the whole exchange when there is none.
    pub fn result(&self) -> anyhow::Result<&Value> {
        self.answer
            .get("result")
            .ok_or_else(|| anyhow::anyhow!("no result: {self:?}"))
    }

    /// The `error.code`.
    ///
    /// # Errors
    /// With the whole exchange when there is none.
    pub fn error_code(&self) -> anyhow::Result<i64> {
        let code = self.answer.pointer("/error/code").and_then(Value::as_i64);
        code.ok_or_else(|| anyhow::anyhow!("no error: {self:?}"))
    }

    /// The text of the first content block of a tool's result.
    ///
    /// # Errors
    /// With the whole exchange when there is none.
    pub fn text(&self) -> anyhow::Result<&str> {
        let text = self
            .answer
            .pointer("/result/content/0/text")
            .and_then(Value::as_str);
        text.ok_or_else(|| anyhow::anyhow!("no text: {self:?}"))
    }
}

/// Sorts one message of a stream: whether it is the response to `id`.
fn sort(exchange: &mut Exchange, message: Value, id: u64) -> bool {
    let is_request = message.get("method").is_some();
    if !is_request && message.get("id").and_then(Value::as_u64) == Some(id) {
        exchange.answer = message;
        return true;
    }
    if is_request && message.get("id").is_some() {
        exchange.asked.push(message);
    } else {
        exchange.notifications.push(message);
    }
    false
}
