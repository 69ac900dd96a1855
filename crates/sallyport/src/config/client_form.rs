//! The configuration that MCP clients write, `{"mcpServers": {…}}`, brought into our own form. Only here are keys
//! accepted that have no meaning for a gateway.

use super::problem::{Collector, quoted};
use super::tree::{Entry, Node, Place, Value};

/// The keys of a client's entry that mean the same here.
const KEPT: &[&str] = &["command", "args", "env", "cwd", "url", "headers"];
/// Other names that clients have for `url`.
const URL_NAMES: &[&str] = &["httpUrl", "serverUrl"];
/// What clients call HTTP+SSE, which is told apart from Streamable HTTP only where it is said.
const SSE: &str = "sse";
/// What clients call the other transports, which the command or the scheme of the URL says as well.
const TYPES: &[&str] = &[
    "stdio",
    "local",
    "http",
    "streamable-http",
    "streamableHttp",
    "streamable_http",
    "remote",
    "ws",
    "websocket",
];

/// Whether the file is what a client writes: `mcpServers` and nothing else of ours.
#[must_use]
pub fn is_client_form(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else {
        return false;
    };
    let mut keys = entries
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|key| *key != "$schema");
    keys.next() == Some("mcpServers") && keys.next().is_none()
}

/// Brings every entry into our form; entries with `disabled: true` are left out.
pub fn adapt(root: &mut Node, problems: &mut Collector, notes: &mut Vec<String>) {
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    entries.retain(|entry| entry.key == "mcpServers");
    for entry in entries {
        "servers".clone_into(&mut entry.key);
        let Value::Map(servers) = &mut entry.node.value else {
            continue;
        };
        servers.retain(|server| {
            let off = is_off(&server.node);
            if off {
                notes.push(format!("server `{}` is disabled in the file", server.key));
            }
            !off
        });
        for server in servers {
            adapt_name(server, notes);
            adapt_server(server, problems);
        }
    }
}

fn is_off(server: &Node) -> bool {
    member(server, "disabled") == Some("true") || member(server, "enabled") == Some("false")
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    match &entries.iter().find(|entry| entry.key == key)?.node.value {
        Value::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

/// Clients take any text as a name; ours become path segments and prefixes.
fn adapt_name(server: &mut Entry, notes: &mut Vec<String>) {
    let mut name = String::new();
    for c in server.key.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            c
        } else {
            '-'
        };
        let doubled = matches!(c, '-' | '_') && name.ends_with(c);
        if !doubled {
            name.push(c);
        }
    }
    let trimmed = name.trim_matches(['-', '_', '.']);
    let cut = trimmed
        .get(..trimmed.len().min(32))
        .unwrap_or(trimmed)
        .trim_end_matches(['-', '_', '.']);
    if !cut.is_empty() && cut != server.key {
        notes.push(format!(
            "server `{}` is called `{cut}` here",
            super::read::shown(&server.key)
        ));
        server.key = cut.to_owned();
    }
}

fn adapt_server(server: &mut Entry, problems: &mut Collector) {
    let Value::Map(fields) = &mut server.node.value else {
        return;
    };
    for field in fields.iter_mut() {
        if URL_NAMES.contains(&field.key.as_str()) {
            "url".clone_into(&mut field.key);
        } else if matches!(field.key.as_str(), "type" | "transport") {
            "transport".clone_into(&mut field.key);
            check_type(field, problems);
        }
    }
    let (mut url, mut transport): (Option<Place>, Option<Place>) = (None, None);
    fields.retain(|field| match field.key.as_str() {
        "url" => url.replace(field.place).is_none(),
        "transport" => is_sse(field) && transport.replace(field.place).is_none(),
        key => KEPT.contains(&key),
    });
}

fn is_sse(field: &Entry) -> bool {
    matches!(&field.node.value, Value::Scalar(scalar) if scalar.text == SSE)
}

fn check_type(field: &Entry, problems: &mut Collector) {
    let Value::Scalar(scalar) = &field.node.value else {
        return;
    };
    let kind = scalar.text.as_str();
    if kind != SSE && !TYPES.contains(&kind) {
        problems.add(
            field.node.place,
            format!(
                "`{}` is not supported here; write {}",
                super::read::shown(kind),
                quoted(&["stdio", "http", "sse"])
            ),
        );
    }
}
