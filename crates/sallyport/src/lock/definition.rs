//! What a tool is approved by: its definition in one form, whatever order and spacing a server writes it in, and a hash of it.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use sallyport_proxy::spec::{ServerSpec, Transport};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as Derived, Serialize};
use serde_json::{Map, Number, Value};

/// A tool's definition: everything that a server says of it (name, title, texts, schemas, annotations, icons). Of `_meta`,
/// which servers fill with what changes by itself, only the interface of MCP Apps.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Definition {
    /// Its members, sorted.
    pub(crate) text: Value,
    /// The SHA-256 of that, in hex.
    pub(crate) sha256: String,
}

impl Definition {
    /// That of a raw tool object.
    #[must_use]
    pub(crate) fn of(raw: &[u8]) -> Self {
        let text = match serde_json::from_slice::<Once>(raw) {
            Ok(Once(Value::Object(members))) => Value::Object(without_meta(members)),
            // With a member that stands twice, readers differ in what it says: then only the same bytes are the same.
            _ => Value::String(String::from_utf8_lossy(raw).into_owned()),
        };
        let sha256 = hash(&text);
        Self { text, sha256 }
    }
}

fn without_meta(mut members: Map<String, Value>) -> Map<String, Value> {
    let meta = members.remove("_meta");
    if let Some(ui) = meta.as_ref().and_then(|meta| meta.get("ui")) {
        members.insert("_meta".to_owned(), serde_json::json!({ "ui": ui }));
    }
    members
}

/// The SHA-256 of a definition in hex. Its members are sorted.
#[must_use]
pub(crate) fn hash(definition: &Value) -> String {
    hex(definition.to_string().as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            use fmt::Write as _;
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Where a server is: another place is another server, whatever its name.
#[derive(Clone, PartialEq, Eq, Debug, Derived, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// For people: the URL without what may be secret in it, or the program.
    pub(crate) reached: String,
    /// The SHA-256 of the whole URL, or of program, arguments and directory, in hex. Headers and variables, which hold
    /// credentials and change with them, are not part of it.
    pub(crate) sha256: String,
}

impl Identity {
    /// That of a configured server.
    #[must_use]
    pub(crate) fn of(server: &ServerSpec) -> Self {
        match &server.transport {
            Transport::Http { url, .. } | Transport::WebSocket { url, .. } | Transport::Tcp { url, .. } => {
                let mut plain = url.clone();
                plain.set_query(None);
                plain.set_fragment(None);
                // There is no other place for them in such a URL.
                let _ = plain.set_username("");
                let _ = plain.set_password(None);
                Self {
                    reached: plain.into(),
                    sha256: hex(url.as_str().as_bytes()),
                }
            }
            Transport::Stdio {
                command, args, cwd, ..
            } => {
                let parts = serde_json::json!([command, args, cwd]);
                Self {
                    reached: command.clone(),
                    sha256: hex(parts.to_string().as_bytes()),
                }
            }
            Transport::Demo => Self {
                reached: "built in".to_owned(),
                sha256: hex(b"demo"),
            },
        }
    }
}

/// JSON in which no member stands twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no member stands twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, Once(value))) = map.next_entry::<String, Once>()? {
            if members.insert(key, value).is_some() {
                return Err(de::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(raw: &str) -> String {
        Definition::of(raw.as_bytes()).sha256
    }

    #[test]
    fn td_01_every_part_of_a_definition_counts_and_its_form_does_not() {
        let tool = r#"{"name":"a","description":"d","inputSchema":{"type":"object","properties":{"x":{"type":"string","default":1}}},"annotations":{"readOnlyHint":true}}"#;
        let same = r#"{ "annotations": {"readOnlyHint": true}, "inputSchema": {"properties": {"x": {"default": 1, "type": "\u0073tring"}}, "type": "object"},
            "_meta": {"fetched": 7}, "description": "d", "name": "a" }"#;
        assert_eq!(sha(tool), sha(same));
        for (from, to) in [
            (r#""d""#, r#""D""#),
            (r#""string""#, r#""number""#),
            ("true", "false"),
            (r#""default":1"#, r#""default":1.5"#),
            (r#""name":"a""#, r#""name":"a","title":"t""#),
            (r#""name":"a""#, r#""name":"a","outputSchema":{}"#),
            (r#""name":"a""#, r#""name":"a","icons":[]"#),
            (
                r#""name":"a""#,
                r#""name":"a","_meta":{"ui":{"resourceUri":"ui://x"}}"#,
            ),
            (r#""type":"object""#, r#""type":"object","type":"object""#),
        ] {
            assert_ne!(sha(tool), sha(&tool.replace(from, to)), "{to}");
        }
    }

    #[test]
    fn jr_01_a_member_that_stands_twice_is_never_the_same_as_one() {
        let once = r#"{"name":"a","inputSchema":{"description":"good"}}"#;
        let twice = r#"{"name":"a","inputSchema":{"description":"evil","description":"good"}}"#;
        assert_ne!(sha(once), sha(twice));
        assert_eq!(sha(twice), sha(twice));
    }
}
