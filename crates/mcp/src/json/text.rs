//! JSON strings: their values, and values as strings.

use std::borrow::Cow;

use super::special::ascii;

/// The value of a JSON string token with its quotes, borrowed where it has no escapes. `None` if `raw` is no string, or
/// holds a lone surrogate, which has no value.
#[must_use]
pub fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    unescape(raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

/// The value of what stands between a string token's quotes.
#[inline]
pub(crate) fn unescape(inner: &[u8]) -> Option<Cow<'_, str>> {
    let text = simdutf8::basic::from_utf8(inner).ok()?;
    // Most are plain, and the search for what is not is quicker than the search for a character.
    if ascii(inner) == inner.len() || memchr::memchr(b'\\', inner).is_none() {
        return Some(Cow::Borrowed(text));
    }
    unescape_each(text)
}

/// The value of what stands between a string token's quotes and has escapes.
fn unescape_each(inner: &str) -> Option<Cow<'_, str>> {
    let Some((plain, escaped)) = inner.split_once('\\') else {
        return Some(Cow::Borrowed(inner));
    };
    let mut out = String::with_capacity(inner.len());
    out.push_str(plain);
    let mut rest = escaped;
    loop {
        rest = push_escape(&mut out, rest)?;
        let Some((plain, escaped)) = rest.split_once('\\') else {
            out.push_str(rest);
            return Some(Cow::Owned(out));
        };
        out.push_str(plain);
        rest = escaped;
    }
}

/// Takes one escape, without its backslash, from the start of `text`; the rest comes back.
fn push_escape<'a>(out: &mut String, text: &'a str) -> Option<&'a str> {
    let mut chars = text.chars();
    let plain = match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return push_unicode(out, chars.as_str()),
        same @ ('"' | '\\' | '/') => same,
        _ => return None,
    };
    out.push(plain);
    Some(chars.as_str())
}

fn push_unicode<'a>(out: &mut String, text: &'a str) -> Option<&'a str> {
    let (first, rest) = unit(text)?;
    if let Some(character) = char::from_u32(first) {
        out.push(character);
        return Some(rest);
    }
    let (second, rest) = unit(rest.strip_prefix("\\u")?)?;
    if !(0xD800..0xDC00).contains(&first) || !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    out.push(char::from_u32(
        0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
    )?);
    Some(rest)
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u32::from_str_radix(digits, 16).ok()?;
    all_hex.then_some((value, rest))
}

/// `value` as a JSON string token.
#[must_use]
pub fn quote(value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 2);
    quote_into(&mut out, value);
    out
}

/// Appends `value` as a JSON string token. No line break of any kind that a reader might split at stays bare: control
/// characters, U+2028 and U+2029 are escaped.
pub fn quote_into(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let mut utf8 = [0u8; 4];
    for character in value.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\u{1f}' | '\u{7f}' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Bytes that were put together from text, as text.
pub(crate) fn well_formed(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_strings_are_borrowed() {
        assert!(matches!(decode(b"\"abc\""), Some(Cow::Borrowed("abc"))));
        assert!(matches!(decode(b"\"\""), Some(Cow::Borrowed(""))));
    }

    #[test]
    fn jr_06_surrogates_decode_in_pairs_only() {
        assert_eq!(decode(br#""\ud83d\ude00x""#).as_deref(), Some("\u{1f600}x"));
        for lone in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800x""#,
            r#""\ud800\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00\ud800""#,
            r#""\ud800\""#,
        ] {
            assert_eq!(decode(lone.as_bytes()), None, "{lone}");
        }
        assert_eq!(decode(br#""a\u0000b""#).as_deref(), Some("a\0b"));
    }

    #[test]
    fn what_is_no_string_has_no_value() {
        for raw in [
            "",
            "\"",
            "1",
            "null",
            "'a'",
            r#""\x""#,
            r#""\u12""#,
            r#""\u+123""#,
        ] {
            assert_eq!(decode(raw.as_bytes()), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_decoding(value in any::<String>()) {
            let raw = quote(&value);
            prop_assert_eq!(decode(&raw), Some(Cow::Borrowed(value.as_str())));
            prop_assert_eq!(serde_json::from_slice::<String>(&raw).ok(), Some(value));
        }

        #[test]
        fn decoding_agrees_with_serde(inner in r#"([ -!#-\[\]-~é]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,12}"#) {
            let raw = format!("\"{inner}\"");
            let theirs = serde_json::from_str::<String>(&raw).ok();
            prop_assert_eq!(decode(raw.as_bytes()).map(Cow::into_owned), theirs);
        }
    }
}
