//! What is in force, with secrets hidden, and the JSON Schema of the file.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;

use super::load::Config;
use super::root::Root;
use super::tree::{Node, Scalar, Value};
use super::value::{FilePath, Located, WebUrl};

impl Config {
    /// Everything that is in force, defaults included, as JSON in the order of the documentation; secrets are hidden.
    ///
    /// # Errors
    /// A value that cannot be written as JSON; none of ours is.
    pub fn shown(&self) -> serde_json::Result<String> {
        let mut root = self.root.clone();
        root.data_dir = Some(FilePath(self.data_dir.clone()));
        if root.public_url.is_none() {
            let place = root.listen.place;
            let url = WebUrl::parse(&format!("http://{}", root.listen.value));
            root.public_url = url.ok().map(|value| Located { place, value });
        }
        serde_json::to_string(&root)
    }
}

/// The JSON Schema (2020-12) of the file, from the types that read it.
#[must_use]
pub fn schema() -> serde_json::Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Root>();
    let mut schema = schema.to_value();
    if let Some(properties) = schema
        .get_mut("properties")
        .and_then(serde_json::Value::as_object_mut)
        && let Some(servers) = properties.get("servers").cloned()
    {
        properties.insert("mcpServers".to_owned(), servers);
        properties.insert("$schema".to_owned(), serde_json::json!({ "type": "string" }));
    }
    schema
}

/// A JSON text as YAML, in the same order.
#[must_use]
pub fn yaml(json: &str) -> String {
    let mut out = String::new();
    if let Ok(node) = Node::parse(json) {
        write_node(&mut out, &node, 0);
    }
    out
}

/// The same, without the keys that hold nothing.
#[must_use]
pub fn yaml_of_what_is_set(json: &str) -> String {
    let mut out = String::new();
    if let Ok(mut node) = Node::parse(json) {
        if let Value::Map(entries) = &mut node.value {
            entries.retain(|entry| !entry.node.is_blank());
        }
        write_node(&mut out, &node, 0);
    }
    out
}

fn write_node(out: &mut String, node: &Node, indent: usize) {
    let pad = "  ".repeat(indent);
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let _ = write!(out, "{pad}{}:", scalar_text(&entry.key, false));
                write_value(out, &entry.node, indent + 1);
            }
        }
        Value::List(items) => {
            for item in items {
                let _ = write!(out, "{pad}-");
                write_value(out, item, indent + 1);
            }
        }
        Value::Scalar(Scalar { text, plain, .. }) => {
            let _ = writeln!(out, "{pad}{}", scalar_text(text, *plain));
        }
    }
}

fn write_value(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Value::List(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Scalar(Scalar { text, plain, .. }) => {
            let _ = writeln!(out, " {}", scalar_text(text, *plain));
        }
        Value::Map(_) | Value::List(_) => {
            out.push('\n');
            write_node(out, node, indent);
        }
    }
}

/// A text in the plainest form that is read back as the same text.
fn scalar_text(text: &str, plain: bool) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'))
        && text.split("://").all(|part| part.chars().all(bare))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off"
        );
    if plain || word {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}
