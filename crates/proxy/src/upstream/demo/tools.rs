//! The demo server's tools.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use sallyport_core::Timestamp;
use sallyport_mcp::{Era, error};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Refusal, complete};
use crate::exchange::{Message, Reply};
use crate::upstream::link::Kept;
use sallyport_mcp::method::Method;

/// The longest text that `echo` takes, in bytes.
const ECHO: usize = 64 << 10;

/// The most steps of `countdown`.
const STEPS: u64 = 20;

/// The time of one step.
const STEP: Duration = Duration::from_millis(200);

pub(super) fn list() -> Value {
    let hints = json!({ "readOnlyHint": true, "openWorldHint": false });
    json!([
        {
            "name": "echo",
            "title": "Echo",
            "description": "Says back what it is told.",
            "inputSchema": {
                "type": "object",
                "properties": { "text": { "type": "string", "description": "What to say" } },
                "required": ["text"],
            },
            "annotations": hints,
        },
        {
            "name": "add",
            "title": "Add",
            "description": "Adds two numbers.",
            "inputSchema": {
                "type": "object",
                "properties": { "a": { "type": "number" }, "b": { "type": "number" } },
                "required": ["a", "b"],
            },
            "outputSchema": {
                "type": "object",
                "properties": { "sum": { "type": "number" } },
                "required": ["sum"],
            },
            "annotations": hints,
        },
        {
            "name": "time",
            "title": "Time",
            "description": "Tells the time of the gateway's clock, in UTC.",
            "inputSchema": { "type": "object", "properties": {} },
            "annotations": hints,
        },
        {
            "name": "countdown",
            "title": "Countdown",
            "description": "Counts down, five steps in a second, and reports its progress.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "from": { "type": "integer", "minimum": 1, "maximum": STEPS, "default": 5 },
                },
            },
            "annotations": hints,
        },
    ])
}

/// Calls a tool; wrong arguments are its failure, to be mended by whoever called (2025-11-25, Tools, Error Handling).
pub(super) fn call(name: &str, arguments: &Value, now: Timestamp) -> Result<Value, Refusal> {
    Ok(match name {
        "echo" => match arguments.get("text").and_then(Value::as_str) {
            Some(said) if said.len() <= ECHO => text(said),
            Some(_) => failure("`text` is longer than 64 KiB"),
            None => failure("`text` must be a string"),
        },
        "add" => {
            let number = |key: &str| arguments.get(key).and_then(Value::as_f64);
            match (number("a"), number("b")) {
                (Some(a), Some(b)) => sum(a + b),
                _ => failure("`a` and `b` must be numbers"),
            }
        }
        "time" => text(&utc(now)),
        "countdown" => failure("`from` must be an integer from 1 to 20"),
        _ => {
            return Err(Refusal::Params(format!(
                "there is no tool `{}`",
                name.escape_debug()
            )));
        }
    })
}

fn sum(sum: f64) -> Value {
    let shown = if sum.fract() == 0.0 && sum.abs() < 1e15 {
        json!(sum as i64)
    } else {
        json!(sum)
    };
    let mut result = text(&shown.to_string());
    if let Some(members) = result.as_object_mut() {
        members.insert("structuredContent".to_owned(), json!({ "sum": shown }));
    }
    result
}

fn utc(now: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp(now.as_secs())
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

fn failure(why: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": why }], "isError": true })
}

/// How many steps a call of `countdown` asks for, if it is one and well formed.
pub(super) fn countdown(params: &Value) -> Option<u64> {
    if params.get("name")?.as_str()? != "countdown" {
        return None;
    }
    let from = match params
        .get("arguments")
        .and_then(|arguments| arguments.get("from"))
    {
        None => 5,
        Some(from) => from.as_u64()?,
    };
    (1..=STEPS).contains(&from).then_some(from)
}

/// Counts down; with a token, each step is reported.
pub(super) fn count_down(era: Era, id: Bytes, token: Option<Bytes>, steps: u64, kept: Kept) -> Reply {
    let state = Some((0u64, id, token, kept));
    let messages = stream::unfold(state, move |state| async move {
        let (mut step, id, token, kept) = state?;
        while step < steps {
            tokio::time::sleep(STEP).await;
            step += 1;
            if let Some(raw) = &token {
                let message = Message::Notification(progress(raw, step, steps));
                return Some((Ok(message), Some((step, id, token, kept))));
            }
        }
        let mut result = text("Lift-off!");
        complete(era, Method::ToolsCall, &mut result);
        let answer = error::result(&id, result.to_string().as_bytes());
        Some((Ok(Message::Terminal(answer)), None))
    });
    Reply::Stream(Box::pin(messages))
}

fn progress(token: &[u8], step: u64, steps: u64) -> Bytes {
    let mut params = b"{\"progressToken\":".to_vec();
    params.extend_from_slice(token);
    let left = steps - step;
    params.extend_from_slice(
        format!(",\"progress\":{step},\"total\":{steps},\"message\":\"{left}\"}}").as_bytes(),
    );
    error::notification(Method::Progress.as_str(), Some(&params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, arguments: Value) -> (String, bool) {
        let result = call(name, &arguments, Timestamp::from_secs(1_700_000_000))
            .ok()
            .expect("a tool");
        let text = result
            .pointer("/content/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        (text.to_owned(), result.get("isError").is_some())
    }

    #[test]
    fn tools_do_what_they_say() {
        for (name, arguments, expected) in [
            ("echo", json!({ "text": "hi" }), ("hi", false)),
            ("add", json!({ "a": 2, "b": 3 }), ("5", false)),
            ("add", json!({ "a": 0.5, "b": 0.25 }), ("0.75", false)),
            ("time", json!({}), ("2023-11-14T22:13:20Z", false)),
            ("echo", json!({}), ("`text` must be a string", true)),
            ("add", json!({ "a": "2" }), ("`a` and `b` must be numbers", true)),
        ] {
            assert_eq!(
                said(name, arguments),
                (expected.0.to_owned(), expected.1),
                "{name}"
            );
        }
        assert!(!said("echo", json!({ "text": "x".repeat(ECHO) })).1);
        assert!(said("echo", json!({ "text": "x".repeat(ECHO + 1) })).1);
    }

    #[test]
    fn a_countdown_has_its_bounds() {
        let ask = |from: Value| countdown(&json!({ "name": "countdown", "arguments": { "from": from } }));
        assert_eq!(ask(json!(20)), Some(20));
        assert_eq!(countdown(&json!({ "name": "countdown" })), Some(5));
        for wrong in [json!(0), json!(21), json!(-1), json!(1.5), json!("5")] {
            assert_eq!(ask(wrong.clone()), None, "{wrong}");
        }
    }
}
