//! Header values with their marker for what is no header value.

use sallyport_mcp::mirror::{decode, encode};

/// Every text comes through a header as it was, as visible ASCII; and no bytes panic.
pub fn header_sentinel(bytes: &[u8]) {
    if let Some(text) = decode(bytes) {
        comes_through(&text);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        comes_through(text);
    }
}

fn comes_through(text: &str) {
    let field = encode(text);
    assert!(
        field.bytes().all(|b| matches!(b, b' '..=b'~')),
        "not a header value"
    );
    assert_eq!(decode(field.as_bytes()).as_deref(), Some(text));
}
