//! Shallow views of objects and arrays: the members in their order, each as a place in the bytes.

use std::borrow::Cow;

use super::text::unescape;
use super::{JsonError, MAX_DEPTH, Scanner, Span};

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The key, unescaped; `None` if it holds a lone surrogate.
    pub key: Option<Cow<'a, str>>,
    /// The key's token with its quotes, in the object's bytes.
    pub key_span: Span,
    /// The value, in the object's bytes.
    pub value_span: Span,
    /// The value's bytes.
    pub value: &'a [u8],
}

impl Member<'_> {
    /// Whether the key is this one.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.key.as_deref() == Some(key)
    }

    /// From the key's first byte to the value's last.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.key_span.start(), self.value_span.end())
    }
}

/// One element of an array.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Where it lies in the array's bytes.
    pub span: Span,
    /// Its bytes.
    pub value: &'a [u8],
}

/// An object whose members have been listed.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    raw: &'a [u8],
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// [`JsonError`] if `raw` is not exactly one object.
    pub fn read(raw: &'a [u8]) -> Result<Self, JsonError> {
        Ok(Self {
            raw,
            members: members(raw)?,
        })
    }

    /// The bytes.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The members in their order.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The value of the first member of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.members.iter().find(|m| m.is(key)).map(|m| m.value)
    }

    /// The string value of this member; `None` also for other types.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(super::decode)
    }

    /// Whether the member is there and `true`.
    #[must_use]
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some(b"true")
    }

    /// A key that stands in the object twice, after unescaping.
    #[must_use]
    pub fn repeated_key(&self) -> Option<&str> {
        let mut keys: Vec<_> = self.members.iter().filter_map(|m| m.key.as_deref()).collect();
        keys.sort_unstable();
        keys.windows(2)
            .find_map(|pair| pair.first().filter(|k| pair.last() == Some(k)).copied())
    }
}

/// The members of the object `raw`, in their order.
///
/// # Errors
/// [`JsonError`] if `raw` is not exactly one object.
pub fn members(raw: &[u8]) -> Result<Vec<Member<'_>>, JsonError> {
    let mut out = Vec::new();
    each(raw, |member| {
        out.push(member);
        true
    })?;
    Ok(out)
}

/// The value of the first member `key` of the object `raw`. What follows it is not looked at.
#[must_use]
pub fn find<'a>(raw: &'a [u8], key: &str) -> Option<&'a [u8]> {
    find_span(raw, key).map(|span| span.of(raw))
}

/// The first of `names` that is a member of the object `raw`, if that can be told from its first few hundred bytes.
#[must_use]
pub fn leading<'n>(raw: &[u8], names: &[&'n str]) -> Option<&'n str> {
    const LOOKED_AT: usize = 512;
    let start = raw.get(..LOOKED_AT).unwrap_or(raw);
    let mut scanner = Scanner::new(start, MAX_DEPTH).ok()?;
    scanner.open(b'{').ok()?;
    loop {
        let key = scanner.key().ok()?;
        let key = unescape(scanner.inner(key))?;
        if let Some(name) = names.iter().find(|name| **name == key) {
            return Some(name);
        }
        scanner.value().ok()?;
        scanner.expect(b',').ok()?;
    }
}

/// Where the value of the first member `key` of the object `raw` is. What follows it is not looked at.
#[must_use]
pub fn find_span(raw: &[u8], key: &str) -> Option<Span> {
    let mut found = None;
    each(raw, |member| {
        if member.is(key) {
            found = Some(member.value_span);
        }
        found.is_none()
    })
    .ok()?;
    found
}

/// The value of the first member `inner` of the object that is the first member `outer` of the object `raw`. Nothing behind
/// it is looked at, and nothing twice.
#[must_use]
pub fn find_within<'a>(raw: &'a [u8], outer: &str, inner: &str) -> Option<&'a [u8]> {
    let mut scanner = Scanner::new(raw, MAX_DEPTH).ok()?;
    enter(&mut scanner, outer)?;
    enter(&mut scanner, inner)?;
    Some(scanner.value().ok()?.of(raw))
}

/// Goes into an object up to the value of its first member `name`.
fn enter(scanner: &mut Scanner<'_>, name: &str) -> Option<()> {
    scanner.open(b'{').ok()?;
    if scanner.take(b'}').ok()? {
        return None;
    }
    loop {
        let key = scanner.key().ok()?;
        if unescape(scanner.inner(key)).is_some_and(|key| key == name) {
            return Some(());
        }
        scanner.value().ok()?;
        if !scanner.take(b',').ok()? {
            return None;
        }
    }
}

/// Gives the members to `visit` one by one until it returns false.
fn each<'a>(raw: &'a [u8], mut visit: impl FnMut(Member<'a>) -> bool) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(raw, MAX_DEPTH)?;
    scanner.open(b'{')?;
    if !scanner.take(b'}')? {
        loop {
            let key = scanner.key()?;
            let value_span = scanner.value()?;
            let member = Member {
                key: unescape(scanner.inner(key)),
                key_span: key.span,
                value_span,
                value: value_span.of(raw),
            };
            if !visit(member) {
                return Ok(());
            }
            if !scanner.take(b',')? {
                scanner.expect(b'}')?;
                break;
            }
        }
    }
    scanner.end()
}

/// The elements of the array `raw`, in their order.
///
/// # Errors
/// [`JsonError`] if `raw` is not exactly one array.
pub fn elements(raw: &[u8]) -> Result<Vec<Element<'_>>, JsonError> {
    let mut scanner = Scanner::new(raw, MAX_DEPTH)?;
    let mut out = Vec::new();
    scanner.open(b'[')?;
    if !scanner.take(b']')? {
        loop {
            let span = scanner.value()?;
            out.push(Element {
                span,
                value: span.of(raw),
            });
            if !scanner.take(b',')? {
                scanner.expect(b']')?;
                break;
            }
        }
    }
    scanner.end()?;
    Ok(out)
}
