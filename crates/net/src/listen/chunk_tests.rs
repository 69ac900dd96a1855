//! Chunked bodies of requests (RFC 9112 §7.1).

use bytes::{Bytes, BytesMut};

use crate::http1::chunked::Chunked;

/// The most bytes of chunk extensions and trailers in one body.
const MAX_OVERHEAD: usize = 16 * 1024;

#[test]
fn ht_08_chunks_are_read_strictly_and_within_bounds() {
    let body = |text: &str| {
        let mut buffer = BytesMut::from(text);
        let mut chunked = Chunked::of_request();
        chunked
            .take(&mut buffer)
            .map(|piece| (piece.freeze(), chunked.is_done()))
    };
    let good = |text: &str, expected: &'static str| {
        assert_eq!(
            body(text),
            Ok((Bytes::from_static(expected.as_bytes()), true)),
            "{text:?}"
        );
    };
    good("0\r\n\r\n", "");
    good("5\r\nhello\r\n0\r\n\r\n", "hello");
    good("5;a=b\r\nhello\r\n000\r\nX: y\r\n\r\n", "hello");
    for bad in [
        "5\nhello\r\n",
        "5 \r\nhello\r\n",
        "5 ;a\r\nhello\r\n",
        "0x5\r\n",
        "+5\r\n",
        "\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n",
        "fffffffffffffffff\r\n",
        "5;a\rb\r\n",
        "5;a\0b\r\n",
        "5;a\x1bb\r\n",
        "g\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
    ] {
        assert!(body(bad).is_err(), "{bad:?}");
    }
    let extension = |length: usize| body(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length)));
    assert!(extension(1000).is_ok());
    assert!(extension(MAX_OVERHEAD).is_err());
    let trailers = |count: usize| body(&format!("0\r\n{}\r\n", "X-Y: zzzzzz\r\n".repeat(count)));
    assert!(trailers(MAX_OVERHEAD / 11).is_ok());
    assert!(trailers(MAX_OVERHEAD / 11 + 1).is_err());
}
