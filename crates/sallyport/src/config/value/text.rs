//! Text, and text that may be a credential.

use std::fmt;

use sallyport_core::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{shown_as_text, text_schema};
use crate::config::read::{Context, Read};
use crate::config::tree::Node;

/// A value that may be a credential: shown as the reference that it was written as, or not at all.
#[derive(Clone)]
pub struct Sensitive {
    /// The value.
    pub value: Secret<String>,
    /// What may be shown.
    shown: String,
}

/// What is shown in place of a secret.
pub const HIDDEN: &str = "[hidden]";

impl PartialEq for Sensitive {
    fn eq(&self, other: &Self) -> bool {
        self.value.matches(other.value.expose().as_bytes())
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Read for Sensitive {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        let scalar = cx.scalar(node, "text")?;
        // Text around a reference may itself be secret: only what is a reference and nothing else is shown.
        let whole =
            |s: &&String| s.starts_with("${") && s.find('}') == Some(s.len() - 1) && !s.contains(":-");
        let shown = scalar
            .reference
            .as_ref()
            .filter(whole)
            .map_or(HIDDEN, String::as_str)
            .to_owned();
        Some(Self {
            value: Secret::new(text),
            shown,
        })
    }
}

shown_as_text!(Sensitive);
text_schema!(Sensitive, ".*");

/// Text that is no secret by itself; if references brought parts of it in, it is shown as it was written.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub value: String,
    pub(super) written: Option<String>,
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            written: None,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written.as_ref().unwrap_or(&self.value))
    }
}

impl Read for Text {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let value = String::read(node, cx)?;
        let written = cx.scalar(node, "text")?.reference.clone();
        Some(Self { value, written })
    }
}

shown_as_text!(Text);

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
