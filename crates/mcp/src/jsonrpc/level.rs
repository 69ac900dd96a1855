//! One object whose members are looked at: where each known member is, and the promise that there is no second.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::marker::PhantomData;

use super::ScanError;
use super::keys::Names;
use crate::json::{Scanner, Span, StringToken, unescape};

/// The known members of one object; `N` is how many names the level has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<K, const N: usize> {
    spans: [Span; N],
    others: bool,
    names: PhantomData<K>,
}

impl<K: Names, const N: usize> Level<K, N> {
    /// A level without members.
    pub(super) fn empty() -> Self {
        Self {
            spans: [Span::default(); N],
            others: false,
            names: PhantomData,
        }
    }

    /// Where the member's value is.
    pub(super) fn get(&self, key: K) -> Option<Span> {
        self.spans.get(key.index()).filter(|s| is_set(**s)).copied()
    }

    /// Whether it has members besides.
    pub(super) fn has_others(&self) -> bool {
        self.others
    }

    /// Moves over an object and fills the level, which was empty. `value` moves over each known member's value and tells
    /// where it lies.
    #[inline]
    pub(super) fn scan<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        mut value: impl FnMut(&mut Scanner<'a>, K) -> Result<Span, ScanError>,
    ) -> Result<(), ScanError> {
        let mut others = None;
        scanner.open(b'{')?;
        if !scanner.take(b'}')? {
            loop {
                self.member(scanner, &mut others, &mut value)?;
                if !scanner.take(b',')? {
                    scanner.expect(b'}')?;
                    break;
                }
            }
        }
        scanner.close();
        Ok(())
    }

    #[inline]
    fn member<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        others: &mut Option<Others<'a>>,
        value: &mut impl FnMut(&mut Scanner<'a>, K) -> Result<Span, ScanError>,
    ) -> Result<(), ScanError> {
        let token = scanner.key()?;
        // No name has anything in it that is escaped.
        let known = match K::exactly(scanner.inner(token), token.word) {
            Some(known) => known,
            None => match other(*scanner, token, others)? {
                Some(known) => known,
                None => {
                    self.others = true;
                    return Ok(scanner.skip_value()?);
                }
            },
        };
        let span = value(scanner, known)?;
        match self.spans.get_mut(known.index()) {
            Some(slot) if !is_set(*slot) => *slot = span,
            _ => return Err(ScanError::Ambiguous(known.name())),
        }
        Ok(())
    }
}

/// Whether it is the place of a value: none ends at the start of its message.
#[inline]
fn is_set(span: Span) -> bool {
    span.end() > 0
}

/// The key that was moved over last, and is not written like a name of the level. It may still mean one, with escapes; a
/// key that means none is remembered among the others.
#[inline(never)]
fn other<'a, K: Names>(
    scanner: Scanner<'a>,
    token: StringToken,
    others: &mut Option<Others<'a>>,
) -> Result<Option<K>, ScanError> {
    let inner = scanner.inner(token);
    let key = if token.escaped {
        // A key without a value cannot be compared with any other.
        let value = unescape(inner).ok_or(scanner.unexpected())?;
        Cow::Owned(value.into_owned().into_bytes())
    } else {
        Cow::Borrowed(inner)
    };
    if let Some(known) = K::exactly(&key, 0) {
        return Ok(Some(known));
    }
    if let Some(near) = near::<K>(&key) {
        return Err(ScanError::Ambiguous(near));
    }
    others.get_or_insert_default().add(key)?;
    Ok(None)
}

/// The other members: few as a rule, so that a list will do; a set once an attacker sends many.
#[derive(Default)]
struct Others<'a> {
    few: Vec<Cow<'a, [u8]>>,
    many: Option<BTreeSet<Cow<'a, [u8]>>>,
}

impl<'a> Others<'a> {
    const FEW: usize = 16;

    fn add(&mut self, key: Cow<'a, [u8]>) -> Result<(), ScanError> {
        if self.few.contains(&key) {
            return Err(ScanError::Repeated);
        }
        if self.few.len() < Self::FEW {
            self.few.push(key);
        } else if !self.many.get_or_insert_default().insert(key) {
            return Err(ScanError::Repeated);
        }
        Ok(())
    }
}

/// The name of the level that some parser may take `key` for: in another case, with the letters that Unicode folds to
/// ASCII (ſ, K), or with NULs that a C string would end at.
fn near<K: Names>(key: &[u8]) -> Option<&'static str> {
    let names = || K::ALL.iter().map(|k| k.name());
    if key.iter().all(|b| b.is_ascii() && *b != 0) {
        return names().find(|name| key.eq_ignore_ascii_case(name.as_bytes()));
    }
    let key = simdutf8::basic::from_utf8(key).unwrap_or_default();
    names().find(|name| folds_to(key, name))
}

fn folds_to(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    let folded = key.chars().filter(|c| *c != '\0').map(fold);
    let until_nul = key.split('\0').next().unwrap_or_default().chars().map(fold);
    let same = |left: &mut dyn Iterator<Item = char>| left.eq(name.chars().map(|c| c.to_ascii_lowercase()));
    same(&mut { folded }) || same(&mut { until_nul })
}
