//! The configuration file as a tree in which every node knows where it stands, so that every problem can be reported
//! at once and each at its place.
//!
//! Scalars stay text: what they mean is decided by who reads them, so `no` and `1.10` are never anything but what was
//! written.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

/// Where something stands in the file: line and column, both counted from 1, in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The first character of the file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A value of the file.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file; a key may be there twice.
    Map(Vec<Entry>),
}

/// A single value as text.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The text, after quotes and escapes and, later, references.
    pub text: String,
    /// Whether it was written without quotes, so that it may be a number, a truth value or nothing.
    pub plain: bool,
    /// The text before its references were replaced, if it had any.
    pub reference: Option<String>,
    /// Whether a reference could not be replaced; that was noted, and nothing else about the value should be.
    pub unresolved: bool,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub place: Place,
    /// The key.
    pub key: String,
    /// The value.
    pub node: Node,
}

/// Why a text is no tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
}

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;
/// The most nodes that a file may have, those that aliases repeat counted each time (a file of a few lines could
/// otherwise stand for billions).
const MAX_NODES: usize = 100_000;

impl Node {
    /// Reads a YAML (or JSON) text. An empty text is an empty mapping.
    ///
    /// # Errors
    /// [`Malformed`] for the first place at which the text is no YAML, and for a second document, a tag, a key that is
    /// not text, too deep nesting or too many nodes.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let blank;
        // JSON may be indented with tabs, which YAML does not take; a tab inside a JSON string is escaped.
        let text = if text.trim_start().starts_with('{') && text.contains('\t') {
            blank = text.replace('\t', " ");
            blank.as_str()
        } else {
            text
        };
        Builder::default().run(text)
    }

    /// An empty mapping at the start of the file.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            place: Place::START,
            value: Value::Map(Vec::new()),
        }
    }

    /// Whether nothing was written: an empty value, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(s) if s.plain && s.reference.is_none() && matches!(s.text.as_str(), "" | "~" | "null"))
    }

    /// Whether it is nothing or an empty collection.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match &self.value {
            Value::Scalar(_) => self.is_null(),
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }

    /// What kind of value it is, in words for a message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(_) if self.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.node.size()).sum::<usize>(),
        }
    }
}

/// A collection that is being read.
struct Open {
    place: Place,
    anchor: usize,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(Place, String)>),
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn run(mut self, text: &str) -> Result<Node, Malformed> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| Malformed {
                place: Place {
                    line: error.marker().line(),
                    column: error.marker().col() + 1,
                },
                what: error.info(),
            })?;
            let place = Place {
                line: span.start.line(),
                column: span.start.col() + 1,
            };
            self.event(event, place)?;
        }
        Ok(match self.root {
            Some(node) if !node.is_null() => node,
            _ => Node::empty(),
        })
    }

    fn event(&mut self, event: Event<'_>, place: Place) -> Result<(), Malformed> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fail(
                        place,
                        "a second document begins here; one file holds one configuration",
                    );
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                no_tag(tag.as_deref(), place)?;
                self.count(1, place)?;
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    reference: None,
                    unresolved: false,
                };
                self.finish(
                    Node {
                        place,
                        value: Value::Scalar(scalar),
                    },
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                no_tag(tag.as_deref(), place)?;
                self.open(place, anchor, Parts::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                no_tag(tag.as_deref(), place)?;
                self.open(place, anchor, Parts::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(mut node) = self.anchors.get(&anchor).cloned() else {
                    return fail(place, "this alias stands inside what it names");
                };
                self.count(node.size(), place)?;
                node.place = place;
                self.finish(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, place: Place, anchor: usize, parts: Parts) -> Result<(), Malformed> {
        if self.stack.len() >= MAX_DEPTH {
            return fail(place, format!("nested more than {MAX_DEPTH} deep"));
        }
        self.count(1, place)?;
        self.stack.push(Open { place, anchor, parts });
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Malformed> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return fail(place, format!("more than {MAX_NODES} values"));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let value = match open.parts {
            Parts::List(items) => Value::List(items),
            Parts::Map(entries, _) => Value::Map(entries),
        };
        self.finish(
            Node {
                place: open.place,
                value,
            },
            open.anchor,
        )
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.parts) {
            None => self.root = Some(node),
            Some(Parts::List(items)) => items.push(node),
            Some(Parts::Map(entries, key)) => match key.take() {
                Some((place, key)) => entries.push(Entry { place, key, node }),
                None => {
                    let Value::Scalar(scalar) = node.value else {
                        return fail(node.place, "a key must be text");
                    };
                    *key = Some((node.place, scalar.text));
                }
            },
        }
        Ok(())
    }
}

fn no_tag(tag: Option<&Tag>, place: Place) -> Result<(), Malformed> {
    match tag {
        None => Ok(()),
        Some(_) => fail(place, "tags (`!…`) have no meaning here; remove it"),
    }
}

fn fail<T>(place: Place, what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed {
        place,
        what: what.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("a: {}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn depth_at_the_limit_and_past_it() {
        // The outer mapping is one level.
        assert!(Node::parse(&nested(MAX_DEPTH - 1)).is_ok());
        let past = Node::parse(&nested(MAX_DEPTH)).expect_err("too deep");
        assert_eq!(past.what, "nested more than 64 deep");
    }

    #[test]
    fn cf_01_an_alias_bomb_is_refused() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (from, to) in ('a'..'h').zip('b'..) {
            text.push_str(&format!(
                "{to}: &{to} [{}]\n",
                vec![format!("*{from}"); 9].join(", ")
            ));
        }
        let error = Node::parse(&text).expect_err("a bomb");
        assert_eq!(error.what, "more than 100000 values");
    }

    #[test]
    fn tags_documents_and_odd_keys_are_refused() {
        for (text, what) in [
            ("a: !!binary x", "tags (`!…`) have no meaning here; remove it"),
            (
                "a: 1\n---\nb: 2",
                "a second document begins here; one file holds one configuration",
            ),
            ("? [a]\n: b", "a key must be text"),
        ] {
            assert_eq!(Node::parse(text).expect_err(text).what, what);
        }
    }

    #[test]
    fn json_with_tabs_and_a_byte_order_mark_is_read() {
        let node = Node::parse("\u{feff}{\n\t\"a\": \"x\\ty\\u00e9\\/\",\n\t\"b\": []\n}").expect("JSON");
        let Value::Map(entries) = node.value else {
            panic!("a mapping")
        };
        assert_eq!(entries[0].place, Place { line: 2, column: 2 });
        let Value::Scalar(scalar) = &entries[0].node.value else {
            panic!("text")
        };
        assert_eq!(scalar.text, "x\tyé/");
    }

    #[test]
    fn nothing_is_an_empty_mapping() {
        for text in ["", "# only a comment\n", "---\n", "null"] {
            let node = Node::parse(text).expect(text);
            assert!(
                matches!(node.value, Value::Map(ref entries) if entries.is_empty()),
                "{text:?}"
            );
        }
    }
}
