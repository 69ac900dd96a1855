//! The kinds of values that the file holds: durations, sizes, addresses, secrets, texts.

mod address;
mod quantity;
mod text;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::read::{Context, Read};
use super::tree::{Node, Place};

pub use address::{Address, FilePath, ServerUrl, WebUrl};
pub use quantity::{ByteSize, Period};
pub use text::{HIDDEN, Sensitive, Text};

/// A value and the place where it stands, for rules that look at several values.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Read> Read for Located<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        T::read(node, cx).map(|value| Self {
            place: node.place,
            value,
        })
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A schema for text of a certain form; a reference may stand in its place.
macro_rules! text_schema {
    ($name:ident, $pattern:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": concat!("^(", $pattern, "|.*\\$\\{.*)$") })
            }
        }
    };
}

macro_rules! shown_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

use {shown_as_text, text_schema};
