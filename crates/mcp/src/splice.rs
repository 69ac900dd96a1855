//! Changing a message without rewriting it: bytes go out, bytes come in, everything else stays byte for byte.

use crate::json::{JsonError, Object, Span, quote_into};

/// Changes to one message, collected in any order.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    edits: Vec<(Span, Vec<u8>)>,
}

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Puts `with` in the place of `span`.
    pub fn replace(&mut self, span: Span, with: impl Into<Vec<u8>>) {
        self.edits.push((span, with.into()));
    }

    /// Takes `span` out.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, Vec::new());
    }

    /// Puts `bytes` before the byte at `at`; several at one place keep their order.
    pub fn insert(&mut self, at: usize, bytes: impl Into<Vec<u8>>) {
        self.replace(Span::new(at, at), bytes);
    }

    /// The message with all changes. A change that lies within another one's span, or past the message's end, is left
    /// out.
    #[must_use]
    pub fn apply(mut self, bytes: &[u8]) -> Vec<u8> {
        let added: usize = self.edits.iter().map(|(_, with)| with.len()).sum();
        let mut out = Vec::with_capacity(bytes.len() + added);
        self.edits.sort_by_key(|(span, _)| span.start());
        let mut done = 0;
        for (span, with) in &self.edits {
            let Some(kept) = bytes.get(done..span.start()) else {
                continue;
            };
            out.extend_from_slice(kept);
            out.extend_from_slice(with);
            done = span.end();
        }
        out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        out
    }
}

/// Changes to the members of one object.
#[derive(Clone, Debug)]
pub struct ObjectEdit<'a> {
    object: Object<'a>,
    /// One for each member.
    fates: Vec<Fate>,
    added: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Fate {
    Kept,
    Changed(Vec<u8>),
    Removed,
}

impl<'a> ObjectEdit<'a> {
    /// Reads the object `raw`.
    ///
    /// # Errors
    /// [`JsonError`] if `raw` is not exactly one object.
    pub fn new(raw: &'a [u8]) -> Result<Self, JsonError> {
        Ok(Self::of(Object::read(raw)?))
    }

    /// Edits an object that has been read.
    #[must_use]
    pub fn of(object: Object<'a>) -> Self {
        let fates = vec![Fate::Kept; object.members().len()];
        Self {
            object,
            fates,
            added: Vec::new(),
        }
    }

    /// The object as it was.
    #[must_use]
    pub fn object(&self) -> &Object<'a> {
        &self.object
    }

    /// Gives the member this raw value: in its place if it is there, else at the front.
    pub fn set(&mut self, key: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        let mut value = Some(value.into());
        self.added.retain(|(name, _)| name != key);
        for (member, fate) in self.object.members().iter().zip(&mut self.fates) {
            if member.is(key) {
                *fate = value.take().map_or(Fate::Removed, Fate::Changed);
            }
        }
        if let Some(value) = value {
            self.added.push((key.to_owned(), value));
        }
        self
    }

    /// Takes the member out, if it is there.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.added.retain(|(name, _)| name != key);
        self.remove_where(|name| name == key)
    }

    /// Takes out every member that the object had and whose key fits.
    pub fn remove_where(&mut self, fits: impl Fn(&str) -> bool) -> &mut Self {
        for (member, fate) in self.object.members().iter().zip(&mut self.fates) {
            if member.key.as_deref().is_some_and(&fits) {
                *fate = Fate::Removed;
            }
        }
        self
    }

    /// The object with its changes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let raw = self.object.raw();
        let mut edits = Edits::new();
        self.finish_into(&mut edits, 0);
        edits.apply(raw)
    }

    /// Adds the changes to those of a message in which the object begins at `base`.
    pub fn finish_into(self, edits: &mut Edits, base: usize) {
        let kept = self.fates.iter().any(|fate| !matches!(fate, Fate::Removed));
        let open = self.object.raw().iter().position(|b| *b == b'{').unwrap_or(0);
        if !self.added.is_empty() {
            edits.insert(base + open + 1, joined(&self.added, kept));
        }
        let mut last_kept: Option<usize> = None;
        // Of members that were removed before any that is kept: where the first begins and the last ends.
        let mut leading: Option<(usize, usize)> = None;
        for (member, fate) in self.object.members().iter().zip(self.fates) {
            let span = member.span();
            let removed = matches!(fate, Fate::Removed);
            match (last_kept, leading) {
                (Some(end), _) if removed => edits.remove(Span::new(end, span.end()).at_base(base)),
                (None, first) if removed => {
                    leading = Some((first.map_or(span.start(), |f| f.0), span.end()));
                    continue;
                }
                (None, Some((start, _))) => edits.remove(Span::new(start, span.start()).at_base(base)),
                _ => {}
            }
            last_kept = Some(span.end());
            if let Fate::Changed(value) = fate {
                edits.replace(member.value_span.at_base(base), value);
            }
        }
        if let (None, Some((start, end))) = (last_kept, leading) {
            edits.remove(Span::new(start, end).at_base(base));
        }
    }
}

fn joined(added: &[(String, Vec<u8>)], more: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, (key, value)) in added.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        quote_into(&mut out, key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    if more {
        out.push(b',');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn edited(raw: &str, change: impl FnOnce(&mut ObjectEdit<'_>)) -> String {
        let mut edit = ObjectEdit::new(raw.as_bytes()).unwrap();
        change(&mut edit);
        String::from_utf8(edit.finish()).unwrap()
    }

    #[test]
    fn members_come_and_go_and_the_rest_stays() {
        let drop_all = |e: &mut ObjectEdit<'_>| {
            e.remove("a").remove("b").remove("c");
        };
        assert_eq!(
            edited(r#"{"a":1,"b":2,"c":3}"#, |e| {
                e.remove("a");
            }),
            r#"{"b":2,"c":3}"#
        );
        assert_eq!(
            edited(r#"{"a":1,"b":2,"c":3}"#, |e| {
                e.remove("b");
            }),
            r#"{"a":1,"c":3}"#
        );
        assert_eq!(
            edited(r#"{"a":1, "b":2 ,"c":3 }"#, |e| {
                e.remove("c");
            }),
            r#"{"a":1, "b":2 }"#
        );
        assert_eq!(edited(r#"{"a":1,"b":2,"c":3}"#, drop_all), "{}");
        assert_eq!(
            edited(r#"{"a":1}"#, |e| {
                e.set("b", *b"2");
            }),
            r#"{"b":2,"a":1}"#
        );
        assert_eq!(
            edited("{}", |e| {
                e.set("b", *b"2").set("c", *b"3");
            }),
            r#"{"b":2,"c":3}"#
        );
        assert_eq!(
            edited(r#"{"a" : 1}"#, |e| {
                e.set("a", *b"[]");
            }),
            r#"{"a" : []}"#
        );
        assert_eq!(
            edited(r#"{"a":1}"#, |e| {
                e.remove("a").set("b", *b"2");
            }),
            r#"{"b":2}"#
        );
    }

    #[test]
    fn a_repeated_member_is_set_once() {
        assert_eq!(
            edited(r#"{"a":1,"\u0061":2}"#, |e| {
                e.set("a", *b"3");
            }),
            r#"{"a":3}"#
        );
    }

    #[test]
    fn edits_apply_in_place_and_never_twice() {
        let mut edits = Edits::new();
        edits.insert(0, *b">");
        edits.replace(Span::new(2, 4), *b"XY!");
        edits.replace(Span::new(3, 4), *b"lost");
        edits.insert(99, *b"lost");
        assert_eq!(edits.apply(b"abcdef"), b">abXY!ef");
    }

    proptest! {
        #[test]
        fn edits_do_what_a_map_does(
            keys in proptest::collection::btree_set("[a-f]", 0..6),
            set in "[a-h]", gone in "[a-h]", more in "[a-h]", space in "[ \n]{0,2}",
        ) {
            let members: Vec<String> = keys.iter().map(|k| format!("{space}\"{k}\"{space}:{space}[\"{k}\"]{space}")).collect();
            let raw = format!("{{{}}}", members.join(","));
            let mut edit = ObjectEdit::new(raw.as_bytes()).unwrap();
            edit.remove(&gone).set(&set, *b"1").remove(&more);
            let mine: Map<String, Value> = serde_json::from_slice(&edit.finish()).unwrap();
            let mut theirs: Map<String, Value> = serde_json::from_str(&raw).unwrap();
            theirs.remove(&gone);
            theirs.insert(set, Value::from(1));
            theirs.remove(&more);
            prop_assert_eq!(mine, theirs);
        }
    }
}
