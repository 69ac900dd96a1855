//! Where a plain stretch of a string ends.

/// The number of bytes before the next quote, backslash or control character. Eight bytes at a time at first, because
/// most strings are short; then blocks that the compiler turns into vector instructions.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (short, long) = bytes.split_at(bytes.len().min(32));
    let mut count = 0;
    let (words, _) = short.as_chunks::<8>();
    for word in words {
        let marks = special(u64::from_le_bytes(*word));
        if marks != 0 {
            return count + (marks.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    if count < short.len() || long.is_empty() {
        let rest = short.get(count..).unwrap_or_default();
        return count + rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len());
    }
    count + plain_long(long)
}

/// How much is looked at twice at a time, in bytes: the second look finds it in the nearest cache.
const WINDOW: usize = 8 << 10;

fn plain_long(bytes: &[u8]) -> usize {
    let mut count = 0;
    for window in bytes.chunks(WINDOW) {
        let plain = plain_window(window);
        count += plain;
        if plain < window.len() {
            break;
        }
    }
    count
}

/// Quotes and backslashes are searched for with the widest instructions that the processor has, control characters in
/// what lies before them: the least byte of a block tells.
fn plain_window(bytes: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let stretch = bytes.get(..end).unwrap_or_default();
    let (blocks, rest) = stretch.as_chunks::<256>();
    let least = |block: &[u8]| block.iter().fold(u8::MAX, |least, b| least.min(*b));
    let clean = blocks.iter().take_while(|block| least(*block) >= 0x20).count();
    if clean == blocks.len() && least(rest) >= 0x20 {
        return end;
    }
    let from = clean * 256;
    let control = stretch.iter().skip(from).position(|b| *b < 0x20);
    control.map_or(end, |at| from + at)
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Sets the high bit of each byte that is special. Bits above the lowest one set may be wrong: a borrow runs upwards.
#[inline]
pub(super) fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_special_byte_is_found_wherever_it_is(
            length in prop_oneof![0..2000_usize, WINDOW - 100..3 * WINDOW], marks in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = vec![b'x'; length];
            if length > 0 {
                for (place, mark) in marks {
                    bytes[place.index(length)] = mark;
                }
            }
            let first = bytes.iter().position(|b| is_special(*b)).unwrap_or(length);
            prop_assert_eq!(plain(&bytes), first);
        }
    }
}
