//! Names in the trail's text form: inside of JSON strings, in visible ASCII, whatever they contain.

use std::io::Write as _;
use std::net::IpAddr;

/// Writes a member of an object and the comma before it; of the value, `max` bytes at most.
pub fn member(key: &str, value: &str, max: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":\"");
    visible(cut(value, max), out);
    out.push(b'"');
}

/// The address as the standard library writes it.
pub(super) fn address(peer: IpAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"peer\":\"");
    // Writing into a `Vec` cannot fail.
    let _ = write!(out, "{peer}\"");
}

fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Writes the inside of a JSON string in visible ASCII.
fn visible(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(b) if plain(b) => out.push(b),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

/// Whether a byte stands in a JSON string as it is, and can be seen.
fn plain(b: u8) -> bool {
    matches!(b, 0x20..0x7f) && b != b'"' && b != b'\\'
}

/// Whether all are, eight at a time.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of a byte is set where it is zero; of bytes above one that is, it may be.
    let zero = |x: u64| x.wrapping_sub(EACH) & !x;
    let eight = |x: u64| {
        let low = x.wrapping_sub(EACH * 0x20) & !x;
        let high = x.wrapping_add(EACH) | x;
        let quote = zero(x ^ (EACH * u64::from(b'"')));
        let backslash = zero(x ^ (EACH * u64::from(b'\\')));
        (low | high | quote | backslash) & HIGH == 0
    };
    let (eights, rest) = text.as_chunks::<8>();
    eights.iter().all(|bytes| eight(u64::from_ne_bytes(*bytes))) && rest.iter().all(|b| plain(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn al_06_every_byte_is_judged_alike_alone_and_among_eight() {
        for byte in 0..=u8::MAX {
            let alone = is_plain(&[byte]);
            assert_eq!(alone, plain(byte));
            for place in 0..8 {
                for others in *b" a~" {
                    let mut eight = [others; 8];
                    eight[place] = byte;
                    assert_eq!(is_plain(&eight), alone, "{byte} at {place}");
                }
            }
        }
    }
}
