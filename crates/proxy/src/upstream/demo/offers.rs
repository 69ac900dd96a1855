//! The demo server's resources, its prompt, and what completes its arguments.

use serde_json::{Value, json};

use super::Refusal;

/// How to use the server, for models.
pub(super) const INSTRUCTIONS: &str = "A small server to try Sallyport with: `echo`, `add`, `time` and `countdown`, a \
    welcome to read, and a prompt that explains a topic.";

/// The one resource.
pub(super) const WELCOME: &str = "demo://welcome";

/// What the template's URIs begin with.
const GREETING: &str = "demo://greeting/";

/// What is proposed for the prompt's topic.
const TOPICS: [&str; 5] = ["OAuth", "PKCE", "MCP", "a sally port", "tamper-evident logs"];

/// What is proposed for the template's name.
const NAMES: [&str; 4] = ["Ada", "Alan", "Grace", "Tim"];

/// The longest name that is greeted, in bytes.
const LONGEST: usize = 200;

pub(super) fn resources() -> Value {
    json!([{
        "uri": WELCOME,
        "name": "welcome",
        "title": "Welcome",
        "description": "What this is, and what to do next.",
        "mimeType": "text/markdown",
    }])
}

pub(super) fn templates() -> Value {
    json!([{
        "uriTemplate": "demo://greeting/{name}",
        "name": "greeting",
        "title": "A greeting",
        "description": "Greets whomever you name.",
        "mimeType": "text/plain",
    }])
}

/// Reads a resource.
pub(super) fn read(uri: &str) -> Result<Value, Refusal> {
    let contents =
        |mime: &str, text: String| json!({ "contents": [{ "uri": uri, "mimeType": mime, "text": text }] });
    if uri == WELCOME {
        return Ok(contents("text/markdown", welcome()));
    }
    let name = uri.strip_prefix(GREETING).map(unescape);
    match name {
        Some(name) if !name.is_empty() && name.len() <= LONGEST => {
            Ok(contents("text/plain", format!("Hello, {name}!")))
        }
        _ => Err(Refusal::Resource(uri.to_owned())),
    }
}

/// Undoes percent-encoding (RFC 3986 §2.1); what is no encoding stays.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| *first == b'%' && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = byte.and_then(|_| more.get(2..)).unwrap_or(more);
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn welcome() -> String {
    "# Welcome to Sallyport\n\n\
     You reached this text through the gateway: your client logged in, got a token for this endpoint only, and its call \
     was allowed, recorded and passed on.\n\n\
     Next: `sallyport add NAME URL` or `sallyport add NAME -- COMMAND ARGS` puts a server of your own behind it.\n"
        .to_owned()
}

pub(super) fn prompts() -> Value {
    json!([{
        "name": "explain",
        "title": "Explain a topic",
        "description": "Asks for a short explanation.",
        "arguments": [
            { "name": "topic", "description": "What to explain", "required": true },
            { "name": "audience", "description": "For whom", "required": false },
        ],
    }])
}

/// Fetches a prompt.
pub(super) fn prompt(name: &str, arguments: &Value) -> Result<Value, Refusal> {
    if name != "explain" {
        return Err(Refusal::Params(format!(
            "there is no prompt `{}`",
            name.escape_debug()
        )));
    }
    let argument = |key: &str| arguments.get(key).and_then(Value::as_str);
    let topic = argument("topic").ok_or_else(|| Refusal::Params("`topic` is missing".to_owned()))?;
    let audience = argument("audience").unwrap_or("somebody who hears of it for the first time");
    let text = format!("Explain {topic} in three sentences to {audience}.");
    Ok(json!({
        "description": "A short explanation",
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }],
    }))
}

/// Completes an argument: of the prompt's topic and the template's name.
pub(super) fn complete(params: &Value) -> Value {
    let text = |pointer: &str| {
        params
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (begun, argument) = (text("/argument/value"), text("/argument/name"));
    let known: &[&str] = match (text("/ref/type"), argument) {
        ("ref/prompt", "topic") if text("/ref/name") == "explain" => &TOPICS,
        ("ref/resource", "name") if text("/ref/uri") == "demo://greeting/{name}" => &NAMES,
        _ => &[],
    };
    let begun = begun.to_lowercase();
    let values: Vec<_> = known
        .iter()
        .filter(|value| value.to_lowercase().starts_with(&begun))
        .collect();
    json!({ "completion": { "values": values, "total": values.len(), "hasMore": false } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_read_by_name() {
        let text = |uri: &str| {
            read(uri)
                .ok()?
                .pointer("/contents/0/text")?
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(text("demo://greeting/Ada").as_deref(), Some("Hello, Ada!"));
        assert_eq!(
            text("demo://greeting/J%C3%BCrgen%20M%zz").as_deref(),
            Some("Hello, Jürgen M%zz!")
        );
        assert!(text(&format!("{GREETING}{}", "x".repeat(LONGEST))).is_some());
        assert!(text(&format!("{GREETING}{}", "x".repeat(LONGEST + 1))).is_none());
        assert!(text(GREETING).is_none());
    }

    #[test]
    fn arguments_are_completed_by_their_beginning() {
        let ask = |reference: Value, name: &str, value: &str| {
            let params = json!({ "ref": reference, "argument": { "name": name, "value": value } });
            complete(&params).pointer("/completion/values").cloned()
        };
        let explain = json!({ "type": "ref/prompt", "name": "explain" });
        assert_eq!(ask(explain.clone(), "topic", "p"), Some(json!(["PKCE"])));
        assert_eq!(ask(explain, "audience", ""), Some(json!([])));
        let greeting = json!({ "type": "ref/resource", "uri": "demo://greeting/{name}" });
        assert_eq!(ask(greeting, "name", "A"), Some(json!(["Ada", "Alan"])));
    }
}
