//! Request ids.

/// The longest string id, in bytes between its quotes.
pub const MAX_ID_BYTES: usize = 1024;

/// The longest integer id, in digits without sign.
pub const MAX_ID_DIGITS: usize = 20;

/// Whether a JSON value may be an id: a string or an integer, never null or a fraction (MCP Base Protocol, Requests).
/// Both are echoed as they were written, whatever their size, so that no digit is lost.
#[must_use]
pub fn well_formed_id(raw: &[u8]) -> bool {
    if raw.first() == Some(&b'"') {
        return raw.len() <= MAX_ID_BYTES + 2;
    }
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    !digits.is_empty() && digits.len() <= MAX_ID_DIGITS && digits.iter().all(u8::is_ascii_digit)
}
