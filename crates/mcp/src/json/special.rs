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

fn plain_long(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<64>();
    let clean = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |found, b| found | is_special(*b)))
        .count();
    let count = clean * 64;
    let rest = bytes.get(count..).unwrap_or_default();
    count + rest.iter().position(|b| is_special(*b)).unwrap_or(rest.len())
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
