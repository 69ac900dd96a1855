//! From a JSON-RPC message to its answer.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of a message that this server looks at.
#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Arguments<'a>>,
    #[serde(rename = "protocolVersion", borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "_meta", borrow, default)]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize, Default)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(default)]
    kib: Option<usize>,
    #[serde(default)]
    events: Option<u32>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(rename = "progressToken", borrow, default)]
    progress: Option<&'a RawValue>,
}

/// What to answer.
pub(crate) enum Outcome {
    /// 202 without a body: a notification or a response.
    Accepted,
    /// A message with this status.
    Message(u16, String),
    /// The answer to `initialize`: with a session.
    Session(String),
    /// So many progress notifications, then this message.
    Progress {
        token: String,
        events: u32,
        last: String,
    },
}

/// The lists of one endpoint, rendered when the server starts.
pub(crate) struct Lists {
    tools: String,
}

/// The legacy revisions among those that `server/discover` names.
pub(crate) const LEGACY: &str = r#""2025-06-18","2025-11-25","#;
const CAPABILITIES: &str = r#"{"tools":{}}"#;
const INFO: &str = r#"{"name":"sallyport-bench-upstream","version":"1"}"#;
const LINE: &str = "The quick brown fox jumps over the lazy dog, row 0123456789ABCD. ";

impl Lists {
    /// `count` tools, the four that do something among them.
    pub(crate) fn new(count: usize) -> Self {
        let schema = |properties: &str| format!(r#"{{"type":"object","properties":{{{properties}}}}}"#);
        let tool = |name: &str, about: &str, properties: &str| {
            format!(
                r#"{{"name":"{name}","description":"{about}","inputSchema":{}}}"#,
                schema(properties)
            )
        };
        let mut tools = vec![
            tool("echo", "Returns its text.", r#""text":{"type":"string"}"#),
            tool("big", "Returns kib KiB of text.", r#""kib":{"type":"integer"}"#),
            tool(
                "progress",
                "Sends events notifications.",
                r#""events":{"type":"integer"}"#,
            ),
        ];
        for number in tools.len()..count {
            let properties = r#""query":{"type":"string","description":"what to look for"},"limit":{"type":"integer","minimum":1,"maximum":100},"cursor":{"type":"string"}"#;
            let about =
                format!("Finds the records of kind {number} in the inventory and returns the newest first.");
            tools.push(tool(&format!("tool_{number:04}"), &about, properties));
        }
        Self {
            tools: format!("[{}]", tools.join(",")),
        }
    }

    /// Seven tools that no server of another name has.
    pub(crate) fn other(name: &str) -> Self {
        let own = |number: &str| format!(r#"{{"name":"{name}_{number}","inputSchema":{{"type":"object"}}}}"#);
        Self {
            tools: format!("[{}]", ["1", "2", "3", "4", "5", "6", "7"].map(own).join(",")),
        }
    }
}

fn result(id: &str, result: &str) -> Outcome {
    Outcome::Message(200, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn error(status: u16, id: &str, code: i32, text: &str) -> Outcome {
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{text}"}}}}"#);
    Outcome::Message(status, message)
}

/// Answers `body`; `modern` says that it came with the headers of 2026-07-28.
pub(crate) fn answer(body: &[u8], modern: bool, lists: &Lists) -> Outcome {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
        return error(400, "null", -32700, "parse error");
    };
    let (Some(id), Some(method)) = (message.id.map(RawValue::get), message.method.as_deref()) else {
        return Outcome::Accepted;
    };
    let params = message.params.unwrap_or_default();
    // What a modern result has besides: its type, and for lists how long they hold.
    let kind = if modern { r#","resultType":"complete""# } else { "" };
    let cache = if modern {
        r#","resultType":"complete","ttlMs":60000,"cacheScope":"public""#
    } else {
        ""
    };
    match method {
        "tools/call" => call(id, &params, kind),
        "tools/list" => result(id, &format!(r#"{{"tools":{}{cache}}}"#, lists.tools)),
        "initialize" => {
            let version = params.version.as_deref().unwrap_or("2025-11-25");
            Outcome::Session(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"{version}","capabilities":{CAPABILITIES},"serverInfo":{INFO}}}}}"#
            ))
        }
        "server/discover" => result(
            id,
            &format!(
                r#"{{"supportedVersions":[{LEGACY}"2026-07-28"],"capabilities":{CAPABILITIES},"_meta":{{"io.modelcontextprotocol/serverInfo":{INFO}}}{cache}}}"#
            ),
        ),
        "ping" => result(id, "{}"),
        _ => error(if modern { 404 } else { 200 }, id, -32601, "method not found"),
    }
}

fn call(id: &str, params: &Params<'_>, kind: &str) -> Outcome {
    let none = Arguments::default();
    let arguments = params.arguments.as_ref().unwrap_or(&none);
    let text =
        |text: &str| format!(r#"{{"content":[{{"type":"text","text":{text}}}],"isError":false{kind}}}"#);
    match params.name.as_deref().unwrap_or_default() {
        "echo" => result(id, &text(arguments.text.map_or("\"\"", RawValue::get))),
        "big" => {
            let size = arguments.kib.unwrap_or(1).min(65_536) * 1024;
            let mut quoted = String::with_capacity(size + LINE.len() + 2);
            quoted.push('"');
            while quoted.len() <= size {
                quoted.push_str(LINE);
            }
            quoted.push('"');
            result(id, &text(&quoted))
        }
        "progress" => {
            let token = params
                .meta
                .as_ref()
                .and_then(|meta| meta.progress)
                .map_or("0", RawValue::get);
            Outcome::Progress {
                token: token.to_owned(),
                events: arguments.events.unwrap_or(10).clamp(1, 100_000),
                last: format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#, text("\"done\"")),
            }
        }
        name if name.starts_with("tool_") => result(id, &text("\"ok\"")),
        _ => error(200, id, -32602, "unknown tool"),
    }
}

/// One event of a progress stream.
pub(crate) fn progress_event(token: &str, done: u32, total: u32) -> String {
    let mut event = String::with_capacity(160);
    event.push_str("event: message\ndata: ");
    progress_into(&mut event, token, done, total);
    event.push_str("\n\n");
    event
}

/// A progress notification.
pub(crate) fn progress_into(out: &mut String, token: &str, done: u32, total: u32) {
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":{done},\"total\":{total}}}}}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(outcome: Outcome) -> String {
        match outcome {
            Outcome::Message(_, text) | Outcome::Session(text) => text,
            Outcome::Accepted | Outcome::Progress { .. } => String::new(),
        }
    }

    #[test]
    fn an_id_comes_back_as_it_was() {
        let lists = Lists::new(10);
        let echo = br#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#;
        let answer = text(answer(echo, true, &lists));
        assert!(answer.contains(r#""id":"a\u0062""#), "{answer}");
        assert!(answer.contains(r#""resultType":"complete""#), "{answer}");
    }

    #[test]
    fn lists_have_the_length_that_was_asked_for() {
        for count in [10, 1000] {
            let list = text(answer(
                br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
                false,
                &Lists::new(count),
            ));
            let list: serde_json::Value = serde_json::from_str(&list).unwrap();
            assert_eq!(list["result"]["tools"].as_array().unwrap().len(), count);
        }
    }

    #[test]
    fn a_big_answer_is_at_least_as_big_as_asked_for() {
        let big = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"big","arguments":{"kib":100}}}"#;
        let size = text(answer(big, false, &Lists::new(10))).len();
        assert!((102_400..104_000).contains(&size), "{size}");
    }
}
