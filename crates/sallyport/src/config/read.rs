//! From the tree to types: every type says how it is read, and goes on after a problem, so that one run finds all.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::expand::Sources;
use super::problem::{Collector, suggestion};
use super::tree::{Node, Place, Scalar, Value};

/// What reading needs besides the node.
pub struct Context<'a> {
    /// Where problems go.
    pub problems: &'a mut Collector,
    /// The environment, for paths.
    pub sources: &'a Sources,
}

/// A type that can be read from a node. `None` means that a problem was noted.
pub trait Read: Sized {
    /// Reads the node.
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self>;
}

impl Context<'_> {
    /// Notes a problem at the node.
    pub fn refuse<T>(&mut self, node: &Node, message: impl Into<String>) -> Option<T> {
        self.problems.add(node.place, message);
        None
    }

    /// The node as a single value; `wanted` and an example go into the message.
    pub fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n Scalar> {
        match &node.value {
            Value::Scalar(scalar) if scalar.unresolved => None,
            Value::Scalar(scalar) if !node.is_null() => Some(scalar),
            _ => self.refuse(node, format!("found {}; write {wanted}", node.kind())),
        }
    }

    /// The node's entries, each key once and among the `known`.
    pub fn fields<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            return self.refuse(
                node,
                format!(
                    "found {}; write a mapping with {}",
                    node.kind(),
                    super::problem::quoted(known)
                ),
            );
        };
        let mut fields: Vec<(&str, Place, &Node)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let first = fields
                .iter()
                .find(|(key, ..)| *key == entry.key)
                .map(|(_, place, _)| place.line);
            if let Some(line) = first {
                self.problems.add(entry.place, twice(&entry.key, line));
            } else if known.contains(&entry.key.as_str()) {
                fields.push((&entry.key, entry.place, &entry.node));
            } else {
                let key = shown(&entry.key);
                self.problems.add(
                    entry.place,
                    format!("unknown key `{key}`; {}", suggestion(&entry.key, known)),
                );
            }
        }
        Some(Fields(fields))
    }
}

/// The message for a key that stands twice in one mapping.
#[must_use]
pub fn twice(key: &str, first: usize) -> String {
    format!(
        "`{}` is here twice, first in line {first}; remove one",
        shown(key)
    )
}

/// A text of the file as it may be shown in a message: one line, not endless.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    shown
}

/// The entries of one mapping.
pub struct Fields<'n>(Vec<(&'n str, Place, &'n Node)>);

impl<'n> Fields<'n> {
    /// Whether the key is there with a value, be it a right one or not.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| !node.is_null())
    }

    /// The node of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.0
            .iter()
            .find(|(name, ..)| *name == key)
            .map(|(.., node)| *node)
    }

    /// Reads a key's value; where it is absent, nothing, or wrong (which is noted), it is the default.
    pub fn take<T: Read>(&self, key: &str, cx: &mut Context<'_>, default: T) -> T {
        match self.get(key) {
            Some(node) if !node.is_null() => T::read(node, cx).unwrap_or(default),
            _ => default,
        }
    }

    /// As [`Fields::take`], and the value has to lie in the range.
    pub fn take_within<T: Read + Ord + Display>(
        &self,
        key: &str,
        cx: &mut Context<'_>,
        default: T,
        range: &RangeInclusive<T>,
    ) -> T {
        let Some(node) = self.get(key).filter(|node| !node.is_null()) else {
            return default;
        };
        match T::read(node, cx) {
            Some(value) if range.contains(&value) => value,
            Some(value) => {
                let (low, high) = (range.start(), range.end());
                cx.problems.add(
                    node.place,
                    format!("`{key}` is {value}; it must be between {low} and {high}"),
                );
                default
            }
            None => default,
        }
    }
}

impl<T: Read> Read for Option<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if node.is_null() {
            Some(None)
        } else {
            T::read(node, cx).map(Some)
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return cx.refuse(
                node,
                format!("found {}; write a list: `[…]`, or one `- …` a line", node.kind()),
            );
        };
        Some(items.iter().filter_map(|item| T::read(item, cx)).collect())
    }
}

impl Read for bool {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let scalar = cx.scalar(node, "`true` or `false`")?;
        match scalar.text.as_str() {
            "true" if scalar.loose() => Some(true),
            "false" if scalar.loose() => Some(false),
            text => {
                let mend = match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" | "1" => "`true`",
                    "false" | "no" | "off" | "n" | "0" => "`false`",
                    _ => "`true` or `false`",
                };
                cx.refuse(
                    node,
                    format!("`{}` is neither true nor false; write {mend}", scalar.shown()),
                )
            }
        }
    }
}

impl Read for usize {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let scalar = cx.scalar(node, "a whole number")?;
        match scalar.text.parse() {
            Ok(number) if scalar.loose() => Some(number),
            Ok(number) => cx.refuse(
                node,
                format!("`\"{number}\"` is text; write the number without quotes"),
            ),
            Err(_) => cx.refuse(
                node,
                format!("`{}` is not a whole number; write digits only", scalar.shown()),
            ),
        }
    }
}

impl Read for String {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let scalar = cx.scalar(node, "text")?;
        if scalar.text.contains('\0') {
            return cx.refuse(node, "the text holds a NUL character; remove it");
        }
        Some(scalar.text.clone())
    }
}

impl Scalar {
    /// The text as a message may show it: as it was written, never what a reference brought in.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(self.reference.as_ref().unwrap_or(&self.text))
    }

    /// Whether the text may stand for something other than text: it was written without quotes, or came from a
    /// reference.
    #[must_use]
    pub fn loose(&self) -> bool {
        self.plain || self.reference.is_some()
    }
}

/// Defines a section of the file: a struct whose fields are the keys, each with its default and, where it is a number,
/// its range. The struct's schema and the reader come from the same lines. A function may look at the whole afterwards.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident {
            $( $(#[$doc:meta])* $field:ident : $type:ty = $default:expr $(, within $range:expr)? ; )*
        }
        $(checked by $check:path;)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Debug, serde::Serialize, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields, default)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::read::Read for $name {
            fn read(
                node: &$crate::config::tree::Node,
                cx: &mut $crate::config::read::Context<'_>,
            ) -> Option<Self> {
                let fields = cx.fields(node, &[$( stringify!($field) ),*])?;
                let default = Self::default();
                let section = Self { $( $field: section!(@take fields, cx, default, $field $(, $range)?), )* };
                $( $check(&section, node.place, &fields, cx.problems); )?
                Some(section)
            }
        }
    };
    (@take $fields:ident, $cx:ident, $default:ident, $field:ident) => {
        $fields.take(stringify!($field), $cx, $default.$field)
    };
    (@take $fields:ident, $cx:ident, $default:ident, $field:ident, $range:expr) => {
        $fields.take_within(stringify!($field), $cx, $default.$field, &($range))
    };
}

/// Defines a value that is one of a few words.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
        pub enum $name {
            $( $(#[$doc])* #[serde(rename = $word)] $variant, )*
        }

        impl $crate::config::read::Read for $name {
            fn read(
                node: &$crate::config::tree::Node,
                cx: &mut $crate::config::read::Context<'_>,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$( $word ),*];
                let scalar = cx.scalar(node, &format!("one of {}", $crate::config::problem::quoted(WORDS)))?;
                match scalar.text.as_str() {
                    $( $word => Some(Self::$variant), )*
                    _ => {
                        let other = scalar.shown();
                        cx.refuse(node, format!("`{other}` is not known here; write {}", $crate::config::problem::quoted(WORDS)))
                    }
                }
            }
        }
    };
}

pub(crate) use {choice, section};
