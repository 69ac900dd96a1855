//! Where a plain stretch of a string ends.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch};

/// What ends a stretch, besides quotes, backslashes and control characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// Nothing.
    Passes,
    /// A byte that is not ASCII.
    Ends,
}

/// The number of bytes before the next quote, backslash or control character.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    stretch(bytes, Beyond::Passes)
}

/// The number of bytes before the next quote, backslash, control character, or byte that is not ASCII.
#[inline]
pub(super) fn ascii(bytes: &[u8]) -> usize {
    stretch(bytes, Beyond::Ends)
}

/// Eight bytes at a time at first, because most strings are short; then what the processor has for long ones.
#[inline]
fn stretch(bytes: &[u8], beyond: Beyond) -> usize {
    let (short, long) = bytes.split_at(bytes.len().min(32));
    let mut count = 0;
    let (words, _) = short.as_chunks::<8>();
    for word in words {
        let marks = special(u64::from_le_bytes(*word), beyond);
        if marks != 0 {
            return count + (marks.trailing_zeros() / 8) as usize;
        }
        count += 8;
    }
    if count < short.len() || long.is_empty() {
        let rest = short.get(count..).unwrap_or_default();
        return count
            + rest
                .iter()
                .position(|b| beyond.ended_by(*b))
                .unwrap_or(rest.len());
    }
    count + long_stretch(long, beyond)
}

/// How much is searched before a string counts as a long one, in bytes, and again where one ends.
const WINDOW: usize = 256;

fn long_stretch(bytes: &[u8], beyond: Beyond) -> usize {
    let (first, rest) = bytes.split_at(bytes.len().min(WINDOW));
    let mut count = window(first, beyond);
    if count < first.len() || rest.is_empty() {
        return count;
    }
    let level = Level::new();
    count += dispatch!(level, simd => clean_blocks(simd, rest, beyond));
    for part in bytes.get(count..).unwrap_or_default().chunks(WINDOW) {
        let plain = window(part, beyond);
        count += plain;
        if plain < part.len() {
            break;
        }
    }
    count
}

/// The number of bytes in the blocks before the first one that holds what ends a stretch. Each byte is read once: the
/// least of a block tells of control characters, and the least difference from a quote or backslash of those.
#[inline(always)]
fn clean_blocks<S: Simd>(simd: S, bytes: &[u8], beyond: Beyond) -> usize {
    let block = S::u8s::LEN * 4;
    let (quote, backslash) = (S::u8s::splat(simd, b'"'), S::u8s::splat(simd, b'\\'));
    let is_clean = |block: &[u8]| {
        let (mut least, mut least_signed) = (S::u8s::splat(simd, u8::MAX), S::i8s::splat(simd, i8::MAX));
        let mut difference = S::u8s::splat(simd, u8::MAX);
        for part in block.chunks_exact(S::u8s::LEN) {
            let part = S::u8s::from_slice(simd, part);
            difference = difference.min(part ^ quote).min(part ^ backslash);
            match beyond {
                Beyond::Passes => least = least.min(part),
                // Bytes that are not ASCII are negative, and so less than any control character.
                Beyond::Ends => least_signed = least_signed.min(part.bitcast::<S::i8s>()),
            }
        }
        let low = match beyond {
            Beyond::Passes => least.simd_lt(S::u8s::splat(simd, 0x20)).any_true(),
            Beyond::Ends => least_signed.simd_lt(S::i8s::splat(simd, 0x20)).any_true(),
        };
        !low && !difference.simd_eq(S::u8s::splat(simd, 0)).any_true()
    };
    block
        * bytes
            .chunks_exact(block)
            .take_while(|block| is_clean(block))
            .count()
}

/// Quotes and backslashes are searched for first, all else in what lies before them.
fn window(bytes: &[u8], beyond: Beyond) -> usize {
    let end = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let stretch = bytes.get(..end).unwrap_or_default();
    let clean = match beyond {
        Beyond::Passes => stretch.iter().fold(u8::MAX, |least, b| least.min(*b)) >= 0x20,
        Beyond::Ends => {
            stretch
                .iter()
                .fold(i8::MAX, |least, b| least.min(b.cast_signed()))
                >= 0x20
        }
    };
    if clean {
        return end;
    }
    stretch.iter().position(|b| beyond.ended_by(*b)).unwrap_or(end)
}

impl Beyond {
    #[inline]
    fn ended_by(self, byte: u8) -> bool {
        (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (self == Self::Ends && !byte.is_ascii())
    }
}

/// As [`ascii`], of a word: eight if nothing ends the stretch in it. Beside it the bytes before, the first one lowest, with
/// zeros for the rest.
#[inline(always)]
pub(super) fn ascii_in_word(word: [u8; 8]) -> (usize, u64) {
    let word = u64::from_le_bytes(word);
    let marks = special(word, Beyond::Ends);
    // All bits below the byte that is marked first; all there are if none is.
    let before = ((marks & marks.wrapping_neg()) >> 7).wrapping_sub(1);
    ((marks.trailing_zeros() / 8) as usize, word & before)
}

/// Sets the high bit of each byte that ends a stretch. Bits above the lowest one set may be wrong: a borrow runs upwards.
#[inline]
fn special(word: u64, beyond: Beyond) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte that is less than what is taken from it gets its high bit set; so does many a byte that is not ASCII.
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let control = word.wrapping_sub(ONES * 0x20);
    let below = quote | backslash | control;
    match beyond {
        Beyond::Passes => below & !word & HIGH,
        Beyond::Ends => (below | word) & HIGH,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_special_byte_is_found_wherever_it_is(
            length in prop_oneof![0..2000_usize, 3 * WINDOW..20 * WINDOW], marks in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = vec![b'x'; length];
            if length > 0 {
                for (place, mark) in marks {
                    bytes[place.index(length)] = mark;
                }
            }
            let first = |beyond: Beyond| bytes.iter().position(|b| beyond.ended_by(*b)).unwrap_or(length);
            prop_assert_eq!(plain(&bytes), first(Beyond::Passes));
            prop_assert_eq!(ascii(&bytes), first(Beyond::Ends));
        }
    }
}
