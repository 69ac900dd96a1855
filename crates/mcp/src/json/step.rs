//! Steps in a text: each goes from an offset to the one behind what stands there. Offsets are passed and returned, not kept
//! in a place, and no step returns more than two words, so that a whole value is moved over in registers.

use super::JsonError;
use super::special::{ascii, ascii_in_word, plain};

/// Why a step is not taken: the offset of the byte that does not fit, or one of three numbers above all offsets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Miss(usize);

impl Miss {
    const UTF8: Self = Self(usize::MAX);
    const TOO_DEEP: Self = Self(usize::MAX - 1);
    const TRUNCATED: Self = Self(usize::MAX - 2);

    /// For the byte at this offset.
    #[cold]
    pub(super) fn unexpected(bytes: &[u8], at: usize) -> Self {
        if at >= bytes.len() {
            Self::TRUNCATED
        } else {
            Self(at)
        }
    }
}

impl From<Miss> for JsonError {
    #[cold]
    fn from(miss: Miss) -> Self {
        match miss {
            Miss::UTF8 => Self::Utf8,
            Miss::TOO_DEEP => Self::TooDeep,
            Miss::TRUNCATED => Self::Truncated,
            Miss(at) => Self::Syntax { at },
        }
    }
}

/// The end of a string token: the offset behind its quote, and whether it holds escapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End(usize);

impl End {
    /// No slice has more than half of all offsets, so that there is a bit to spare.
    #[inline]
    fn new(at: usize, escaped: bool) -> Self {
        Self((at << 1) | usize::from(escaped))
    }

    /// The offset behind the quote.
    #[inline]
    pub(super) fn at(self) -> usize {
        self.0 >> 1
    }

    /// Whether the value is not what lies between the quotes.
    #[inline]
    pub(super) fn escaped(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The next byte that is no white space, and where it is.
#[inline(always)]
pub(super) fn peek(bytes: &[u8], at: usize) -> Result<(usize, u8), Miss> {
    match bytes.get(at) {
        Some(&byte) if byte > b' ' => Ok((at, byte)),
        _ => {
            let at = blank(bytes, at);
            bytes.get(at).map(|byte| (at, *byte)).ok_or(Miss::TRUNCATED)
        }
    }
}

/// Over white space.
fn blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let is_blank = |byte: &&u8| matches!(**byte, b' ' | b'\n' | b'\r' | b'\t');
    at + rest.iter().take_while(is_blank).count()
}

/// Over a string token, which begins here.
#[inline(always)]
pub(super) fn string(bytes: &[u8], at: usize) -> Result<End, Miss> {
    short_string(bytes, at).map(|(end, _)| end)
}

/// Over a string token, which begins here. Beside its end are the bytes between its quotes, the first one lowest, with
/// zeros behind them; nothing but zeros if they are more than eight or escaped, and always in the last few bytes of a text.
/// Nearly every key ends within eight bytes, so that one look will do.
#[inline(always)]
pub(super) fn short_string(bytes: &[u8], at: usize) -> Result<(End, u64), Miss> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some([b'"', head @ ..]) = rest.first_chunk::<10>() else {
        return last_string(bytes, at).map(|end| (end, 0));
    };
    let [word @ .., _] = head;
    let (length, before) = ascii_in_word(*word);
    if head.get(length) == Some(&b'"') {
        return Ok((End::new(at + length + 2, false), before));
    }
    longer_string(bytes, at + 1 + length).map(|end| (end, 0))
}

/// Over a string token in the last few bytes of a text.
#[inline(never)]
fn last_string(bytes: &[u8], at: usize) -> Result<End, Miss> {
    match bytes.get(at) {
        Some(b'"') => any_string(bytes, at + 1),
        _ => Err(Miss::unexpected(bytes, at)),
    }
}

/// Over the rest of a string token that ends soon, as most do.
#[inline(never)]
fn longer_string(bytes: &[u8], mut at: usize) -> Result<End, Miss> {
    const SOON: usize = 48;
    let far = at + SOON;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>)
        && at < far
    {
        let (length, _) = ascii_in_word(*word);
        at += length;
        if length < 8 {
            if bytes.get(at) == Some(&b'"') {
                return Ok(End::new(at + 1, false));
            }
            break;
        }
    }
    any_string(bytes, at)
}

/// Over the rest of a string token, whatever it holds.
#[inline(never)]
fn any_string(bytes: &[u8], mut at: usize) -> Result<End, Miss> {
    let mut escaped = false;
    loop {
        at += ascii(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return Ok(End::new(at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at = escape(bytes, at)?;
            }
            Some(byte) if byte.is_ascii() => return Err(Miss(at)),
            Some(_) => at = beyond_ascii(bytes, at)?,
            None => return Err(Miss::TRUNCATED),
        }
    }
}

/// Over characters of any kind, up to the next quote, backslash or control character.
fn beyond_ascii(bytes: &[u8], at: usize) -> Result<usize, Miss> {
    let rest = bytes.get(at..).unwrap_or_default();
    let count = plain(rest);
    let stretch = rest.get(..count).unwrap_or_default();
    simdutf8::basic::from_utf8(stretch).map_err(|_| Miss::UTF8)?;
    Ok(at + count)
}

/// RFC 8259 §7. A lone surrogate is legal here and passes untouched; it has no value, so that decoding refuses it.
fn escape(bytes: &[u8], at: usize) -> Result<usize, Miss> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = bytes.get(at + 2..at + 6).ok_or(Miss::TRUNCATED)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(Miss::unexpected(bytes, at));
            }
            Ok(at + 6)
        }
        Some(_) => Err(Miss::unexpected(bytes, at)),
        None => Err(Miss::TRUNCATED),
    }
}

/// Over an object's key and its colon.
#[inline(always)]
pub(super) fn key(bytes: &[u8], at: usize) -> Result<usize, Miss> {
    let (at, _) = peek(bytes, at)?;
    let end = string(bytes, at)?;
    colon(bytes, end.at())
}

/// Over a colon.
#[inline(always)]
pub(super) fn colon(bytes: &[u8], at: usize) -> Result<usize, Miss> {
    if bytes.get(at) == Some(&b':') {
        return Ok(at + 1);
    }
    match peek(bytes, at)? {
        (at, b':') => Ok(at + 1),
        (at, _) => Err(Miss::unexpected(bytes, at)),
    }
}

/// Over the next value, whatever it is, with at most `room` levels. Which of the open levels are objects is remembered as
/// bits.
pub(super) fn skip(bytes: &[u8], mut at: usize, room: usize) -> Result<usize, Miss> {
    let mut open = 0;
    let mut objects: u128 = 0;
    loop {
        let (start, first) = peek(bytes, at)?;
        at = match first {
            b'"' => string(bytes, start)?.at(),
            b'{' | b'[' => {
                open += 1;
                if open > room {
                    return Err(Miss::TOO_DEEP);
                }
                let is_object = first == b'{';
                let (inside, next) = peek(bytes, start + 1)?;
                // Both closing bytes are two above the opening ones.
                if next != first + 2 {
                    objects = (objects << 1) | u128::from(is_object);
                    at = if is_object { key(bytes, inside)? } else { inside };
                    continue;
                }
                open -= 1;
                inside + 1
            }
            b'-' | b'0'..=b'9' => number(bytes, start)?,
            b't' => literal(bytes, start, *b"true")?,
            b'f' => literal(bytes, start, *b"false")?,
            b'n' => literal(bytes, start, *b"null")?,
            _ => return Err(Miss::unexpected(bytes, start)),
        };
        // What may follow a value inside: closing bytes, or a comma and in an object the next key.
        loop {
            if open == 0 {
                return Ok(at);
            }
            let in_object = objects & 1 == 1;
            let (next, byte) = peek(bytes, at)?;
            at = next + 1;
            match byte {
                b',' => {
                    if in_object {
                        at = key(bytes, at)?;
                    }
                    break;
                }
                b'}' if in_object => {}
                b']' if !in_object => {}
                _ => return Err(Miss::unexpected(bytes, next)),
            }
            open -= 1;
            objects >>= 1;
        }
    }
}

/// RFC 8259 §6.
fn number(bytes: &[u8], mut at: usize) -> Result<usize, Miss> {
    at += usize::from(bytes.get(at) == Some(&b'-'));
    if bytes.get(at) == Some(&b'0') {
        at += 1;
    } else {
        at = digits(bytes, at)?;
    }
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// One digit or more.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Miss> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start {
        return Err(Miss::unexpected(bytes, at));
    }
    Ok(at)
}

#[inline]
fn literal<const N: usize>(bytes: &[u8], at: usize, word: [u8; N]) -> Result<usize, Miss> {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(there) if *there == word => Ok(at + N),
        _ => Err(Miss::unexpected(bytes, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, byte by byte.
    fn model(bytes: &[u8], at: usize) -> Result<(usize, bool), Miss> {
        let (mut next, mut escaped) = (at + 1, false);
        loop {
            match bytes.get(next) {
                None => return Err(Miss::TRUNCATED),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    next = escape(bytes, next)?;
                }
                Some(..=0x1f) => {
                    std::str::from_utf8(&bytes[at..next]).map_err(|_| Miss::UTF8)?;
                    return Err(Miss(next));
                }
                Some(_) => next += 1,
            }
        }
        std::str::from_utf8(&bytes[at..next]).map_err(|_| Miss::UTF8)?;
        Ok((next + 1, escaped))
    }

    /// Each byte at each place of strings of each length that is looked at in another way, before the end of the text or
    /// before more of it.
    #[test]
    fn strings_end_where_they_end_byte_by_byte() {
        for length in (0..40).chain([47, 48, 55, 56, 57, 63, 64, 65, 87, 88, 89, 100]) {
            for behind in ["", ":", "\\n\"", ",\"more\":1}", &"x".repeat(40)] {
                let text = format!("[\"{}\"{behind}", "x".repeat(length));
                for place in 0..length {
                    for byte in 0..=u8::MAX {
                        let mut bytes = text.clone().into_bytes();
                        bytes[2 + place] = byte;
                        if behind.is_empty() {
                            let whole = [&*bytes, b"]"].concat();
                            let theirs = serde_json::from_slice::<Vec<String>>(&whole).is_ok();
                            let ours = crate::json::check(&whole, 1).is_ok();
                            assert!(ours == theirs, "{length} {place} {byte}");
                        }
                        // No such byte is a character by itself, whatever comes behind the string.
                        if byte >= 0x80 {
                            assert!(string(&bytes, 1) == Err(Miss::UTF8), "{length} {place} {byte}");
                            continue;
                        }
                        let found = string(&bytes, 1).map(|end| (end.at(), end.escaped()));
                        assert!(found == model(&bytes, 1), "{length} {place} {byte} {behind}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_bytes_of_a_short_string_are_told_or_zeros() {
        for length in 0..20 {
            for (behind, is_told) in [(":1, and so on", length <= 8), ("", false)] {
                let value: Vec<u8> = (b'a'..).take(length).collect();
                let text = [b"\"", &*value, b"\"", behind.as_bytes()].concat();
                let is_told = is_told || (length == 8 && behind.is_empty());
                let mut word = [0; 8];
                word.iter_mut()
                    .zip(&value)
                    .filter(|_| is_told)
                    .for_each(|(to, from)| *to = *from);
                let told = short_string(&text, 0).map(|(end, word)| (end.at(), word));
                assert!(
                    told == Ok((length + 2, u64::from_le_bytes(word))),
                    "{length} {behind}"
                );
            }
        }
        assert!(short_string(b"\"a\\n\" and so on", 0).map(|(_, word)| word) == Ok(0));
    }
}
