//! W3C Trace Context, as it is carried in `_meta`.

/// The longest `tracestate` that is passed on, in bytes (W3C Trace Context §3.3.1.5).
pub const MAX_TRACE_STATE: usize = 512;

/// Whether a value is a `traceparent` (W3C Trace Context §3.2), safe to put into a header.
#[must_use]
pub fn is_trace_parent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    match parts.as_slice() {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && *version != "ff"
                && hex(trace, 32)
                && some(trace)
                && hex(parent, 16)
                && some(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

/// Whether a value can be a `tracestate`, safe to put into a header.
#[must_use]
pub fn is_trace_state(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_TRACE_STATE && value.bytes().all(|b| matches!(b, 0x20..=0x7e))
}
