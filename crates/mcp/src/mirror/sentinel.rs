//! Values that do not fit into a header as they are: `=?base64?…?=` (2026-07-28, Value Encoding).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// A value as a header value: as it is where that is unambiguous.
#[must_use]
pub fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|b| matches!(b, 0x20..=0x7e));
    let blank = |b: Option<u8>| b == Some(b' ');
    let trimmed = blank(value.bytes().next()) || blank(value.bytes().next_back());
    if plain && !trimmed && !(value.starts_with(OPEN) && value.ends_with(CLOSE)) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{OPEN}{}{CLOSE}", STANDARD.encode(value)))
}

/// The value of a header, once; what it decodes to is not decoded again. Half a marker, or one in another case, is
/// literal. `None` for characters that no header value has, or a marker around what is not the standard Base64 of UTF-8
/// text.
#[must_use]
pub fn decode(field: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(field).ok()?;
    if !text.bytes().all(|b| matches!(b, 0x20..=0x7e | b'\t')) {
        return None;
    }
    let text = text.trim_matches([' ', '\t']);
    let Some(inner) = text.strip_prefix(OPEN).and_then(|t| t.strip_suffix(CLOSE)) else {
        return (!text.contains('\t')).then_some(Cow::Borrowed(text));
    };
    let bytes = STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
