//! Server-sent events, as they come.

use serde_json::Value;

use super::{Connection, in_time};

/// One event (WHATWG HTML §9.2.6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; `message` when there is none.
    pub event: String,
    /// The `data` lines, joined.
    pub data: String,
    /// The `id` field.
    pub id: Option<String>,
    /// The `retry` field, in milliseconds.
    pub retry: Option<u64>,
}

impl Event {
    /// The data as JSON; `Null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }
}

/// The events of a body.
pub struct Events {
    connection: Connection,
    text: String,
}

impl Events {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            text: String::new(),
        }
    }

    /// The next event, comments left out; `None` when the stream ends.
    ///
    /// # Errors
    /// When the connection breaks or nothing comes in time.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                if let Some(event) = event(&block) {
                    return Ok(Some(event));
                }
            }
            match self.connection.piece().await? {
                Some(piece) => self
                    .text
                    .push_str(&String::from_utf8_lossy(&piece).replace("\r\n", "\n")),
                None => return Ok(None),
            }
        }
    }

    /// The next event with data.
    ///
    /// # Errors
    /// When the stream ends before, or has nothing but comments for too long.
    pub async fn message(&mut self) -> anyhow::Result<Value> {
        in_time("the next message of a stream", async {
            loop {
                match self.next().await? {
                    Some(event) if event.data.is_empty() => {}
                    Some(event) => return Ok(event.json()),
                    None => anyhow::bail!("the stream ended without a message"),
                }
            }
        })
        .await
    }

    /// The connection below, after the end of the stream.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

fn event(block: &str) -> Option<Event> {
    let mut event = Event {
        event: "message".to_owned(),
        ..Event::default()
    };
    let mut any = false;
    let mut data: Vec<&str> = Vec::new();
    for line in block
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(':'))
    {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        any = true;
        match field {
            "event" => value.clone_into(&mut event.event),
            "data" => data.push(value),
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = value.parse().ok(),
            _ => {}
        }
    }
    event.data = data.join("\n");
    any.then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_an_event() {
        let parsed = event("id: 7\nretry: 500\ndata: {\"a\":\ndata: 1}\n\n").unwrap();
        assert_eq!(parsed.json(), serde_json::json!({ "a": 1 }));
        assert_eq!(
            (parsed.id.as_deref(), parsed.retry, parsed.event.as_str()),
            (Some("7"), Some(500), "message")
        );
        assert_eq!(event(": a comment\n\n"), None);
    }
}
