//! Batches, which only revision 2025-03-26 has.

use super::{Limits, ScanError};
use crate::json::Scanner;

/// The most messages in one batch.
pub const MAX_BATCH: usize = 100;

/// Whether the bytes begin like a batch.
#[must_use]
pub fn is_batch(bytes: &[u8]) -> bool {
    bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[')
}

/// The messages of a batch, each to be scanned for itself.
///
/// # Errors
/// [`ScanError`] if the bytes are no array of JSON values, or it is empty or longer than [`MAX_BATCH`].
pub fn split_batch<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<&'a [u8]>, ScanError> {
    let mut scanner = Scanner::new(bytes, limits.depth)?;
    let mut messages = Vec::new();
    if scanner.peek()? != b'[' {
        scanner.skip_value()?;
        return Err(ScanError::NotAnObject);
    }
    scanner.open(b'[')?;
    if !scanner.take(b']')? {
        loop {
            messages.push(scanner.value()?.of(bytes));
            if messages.len() > MAX_BATCH {
                return Err(ScanError::BatchSize);
            }
            if !scanner.take(b',')? {
                scanner.expect(b']')?;
                break;
            }
        }
    }
    scanner.end()?;
    if messages.is_empty() {
        return Err(ScanError::BatchSize);
    }
    Ok(messages)
}
