//! `params` and `params._meta`.

use std::borrow::Cow;

use super::keys::{Key, MetaKey, Names, RefKey};
use super::level::Level;
use super::{Limits, ScanError};
use crate::json::{Scanner, Span, decode, is_object};

/// A string and where its token is, quotes included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text<'a> {
    /// The token's place, to be spliced.
    pub span: Span,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// The parameters of a message. Only the members that decide something are remembered; the rest stays bytes.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    bytes: &'a [u8],
    span: Span,
    level: Level<Key, { Key::COUNT }>,
    reference: Option<Level<RefKey, { RefKey::COUNT }>>,
    /// `_meta`, if it is an object.
    pub meta: Option<Meta<'a>>,
}

impl<'a> Params<'a> {
    /// Where the object is in the message.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The raw object.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.span.of(self.bytes)
    }

    /// Where this member's value is.
    #[must_use]
    pub fn span_of(&self, key: Key) -> Option<Span> {
        self.level.get(key)
    }

    /// This member's raw value.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&'a [u8]> {
        self.span_of(key).map(|s| s.of(self.bytes))
    }

    /// This member, if it is a string that has a value.
    #[must_use]
    pub fn text(&self, key: Key) -> Option<Text<'a>> {
        let span = self.span_of(key)?;
        let value = decode(span.of(self.bytes))?;
        Some(Text { span, value })
    }

    /// The tool or prompt.
    #[must_use]
    pub fn name(&self) -> Option<Text<'a>> {
        self.text(Key::Name)
    }

    /// The resource.
    #[must_use]
    pub fn uri(&self) -> Option<Text<'a>> {
        self.text(Key::Uri)
    }

    /// Where a list goes on; the empty string is a cursor too.
    #[must_use]
    pub fn cursor(&self) -> Option<Text<'a>> {
        self.text(Key::Cursor)
    }

    /// The raw arguments, if they are an object.
    #[must_use]
    pub fn arguments(&self) -> Option<&'a [u8]> {
        self.get(Key::Arguments).filter(|raw| is_object(raw))
    }

    /// The raw progress token of `_meta`: a string or integer.
    #[must_use]
    pub fn progress_token(&self) -> Option<&'a [u8]> {
        let raw = self.meta.as_ref()?.get(MetaKey::ProgressToken)?;
        super::well_formed_id(raw).then_some(raw)
    }

    /// What `completion/complete` completes.
    #[must_use]
    pub fn reference(&self) -> Option<Reference<'a>> {
        let level = self.reference?;
        let text = |key| {
            let span: Span = level.get(key)?;
            let value = decode(span.of(self.bytes))?;
            Some(Text { span, value })
        };
        match &*text(RefKey::Type)?.value {
            "ref/prompt" => text(RefKey::Name).map(Reference::Prompt),
            "ref/resource" => text(RefKey::Uri).map(Reference::Resource),
            _ => None,
        }
    }

    /// Whether this is the second round of a call: it bears answers or the state of an `input_required`.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.span_of(Key::InputResponses).is_some() || self.span_of(Key::RequestState).is_some()
    }
}

/// What is completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reference<'a> {
    /// An argument of the prompt of this name.
    Prompt(Text<'a>),
    /// A variable of the resource template with this URI template (or of a resource).
    Resource(Text<'a>),
}

/// `params._meta`.
#[derive(Clone, Debug)]
pub struct Meta<'a> {
    bytes: &'a [u8],
    span: Span,
    level: Level<MetaKey, { MetaKey::COUNT }>,
}

impl<'a> Meta<'a> {
    /// Where the object is in the message.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The raw object.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.span.of(self.bytes)
    }

    /// Where this member's value is.
    #[must_use]
    pub fn span_of(&self, key: MetaKey) -> Option<Span> {
        self.level.get(key)
    }

    /// This member's raw value.
    #[must_use]
    pub fn get(&self, key: MetaKey) -> Option<&'a [u8]> {
        self.span_of(key).map(|s| s.of(self.bytes))
    }

    /// This member, if it is a string that has a value.
    #[must_use]
    pub fn text(&self, key: MetaKey) -> Option<Cow<'a, str>> {
        self.get(key).and_then(decode)
    }
}

/// Scans a `params` object that stands alone; its spans count from its own start.
///
/// # Errors
/// [`ScanError`] as for a whole message.
pub fn scan_params<'a>(raw: &'a [u8], limits: &Limits) -> Result<Params<'a>, ScanError> {
    let mut scanner = Scanner::new(raw, limits.depth)?;
    let mut params = None;
    let span = object(scanner, limits, &mut params)?;
    scanner.go_behind(span);
    scanner.end()?;
    params.ok_or(ScanError::Params)
}

/// Reads a `params` object, fills `slot` and tells where it lies. The scanner is a copy: one that nothing else has its hands
/// on stays in registers.
pub(super) fn object<'a>(
    mut scanner: Scanner<'a>,
    limits: &Limits,
    slot: &mut Option<Params<'a>>,
) -> Result<Span, ScanError> {
    if scanner.peek()? != b'{' {
        scanner.skip_value()?;
        return Err(ScanError::Params);
    }
    let start = scanner.at();
    let bytes = scanner.bytes();
    let params = slot.insert(Params {
        bytes,
        span: Span::default(),
        level: Level::empty(),
        reference: None,
        meta: None,
    });
    let (meta, reference) = (&mut params.meta, &mut params.reference);
    params.level.scan(&mut scanner, |scanner, key| {
        if !matches!(key, Key::Meta | Key::Ref) || scanner.peek()? != b'{' {
            return Ok(scanner.value()?);
        }
        let inside = *scanner;
        let span = if key == Key::Meta {
            metadata(inside, limits, meta)?
        } else {
            let level = reference.insert(Level::empty());
            unnested(inside, level)?
        };
        scanner.go_behind(span);
        Ok(span)
    })?;
    params.span = Span::new(start, scanner.at());
    Ok(params.span)
}

/// Reads `_meta`, which is an object.
fn metadata<'a>(
    scanner: Scanner<'a>,
    limits: &Limits,
    slot: &mut Option<Meta<'a>>,
) -> Result<Span, ScanError> {
    let meta = slot.insert(Meta {
        bytes: scanner.bytes(),
        span: Span::default(),
        level: Level::empty(),
    });
    meta.span = unnested(scanner, &mut meta.level)?;
    if meta.span.len() > limits.meta_bytes {
        return Err(ScanError::MetaTooLarge);
    }
    Ok(meta.span)
}

/// Reads an object, which is next, whose members are values for all that is known here.
#[inline]
fn unnested<K: Names, const N: usize>(
    mut scanner: Scanner<'_>,
    level: &mut Level<K, N>,
) -> Result<Span, ScanError> {
    let start = scanner.at();
    level.scan(&mut scanner, |scanner, _| Ok(scanner.value()?))?;
    Ok(Span::new(start, scanner.at()))
}
