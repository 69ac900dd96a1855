//! What a person who waits gets to see.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints one line; nobody is left to tell when that fails.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
