//! A mapping whose keys are names: servers by name, profiles by slug, variables.

use sallyport_core::{ProfileSlug, ServerName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::read::{Context, Read, twice};
use super::tree::{Node, Place, Value};

/// What can be the key of a [`Table`].
pub trait Key: Sized + PartialEq {
    /// What a key names, for messages.
    const KIND: &'static str;

    /// Checks and takes a key.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    fn parse(text: &str) -> Result<Self, String>;

    /// The key's text.
    fn text(&self) -> &str;
}

impl Key for ServerName {
    const KIND: &'static str = "server";
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Key for ProfileSlug {
    const KIND: &'static str = "profile";
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Key for String {
    const KIND: &'static str = "name";
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("the name is empty or holds a NUL character; give it a name".to_owned());
        }
        Ok(text.to_owned())
    }
    fn text(&self) -> &str {
        self
    }
}

/// One entry of a table.
#[derive(Clone, Debug)]
pub struct Row<K, V> {
    /// Where the key stands.
    pub place: Place,
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
}

/// Values by name, in the operator's order.
#[derive(Clone, Debug)]
pub struct Table<K, V>(pub Vec<Row<K, V>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|(a, b)| a.key == b.key && a.value == b.value)
    }
}

impl<K: Key, V> Table<K, V> {
    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = &Row<K, V>> {
        self.0.iter()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.0
            .iter()
            .find(|row| row.key.text() == key)
            .map(|row| &row.value)
    }
}

impl<K: Key, V: Read> Read for Table<K, V> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let kind = K::KIND;
            return cx.refuse(
                node,
                format!(
                    "found {}; write a mapping from each {kind} to its settings",
                    node.kind()
                ),
            );
        };
        let mut rows: Vec<Row<K, V>> = Vec::with_capacity(entries.len());
        for entry in entries {
            let value = V::read(&entry.node, cx);
            if let Some(first) = rows.iter().find(|row| row.key.text() == entry.key) {
                let message = twice(&entry.key, first.place.line);
                cx.problems.add(entry.place, message);
                continue;
            }
            match (K::parse(&entry.key), value) {
                (Ok(key), Some(value)) => rows.push(Row {
                    place: entry.place,
                    key,
                    value,
                }),
                (Err(message), _) => cx.problems.add(entry.place, message),
                (Ok(_), None) => {}
            }
        }
        Some(Self(rows))
    }
}

impl<K: Key, V: Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|row| (row.key.text(), &row.value)))
    }
}

impl<K, V: JsonSchema> JsonSchema for Table<K, V> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("TableOf{}", V::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<V>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}
