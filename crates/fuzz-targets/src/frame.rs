//! Frames of framed TCP.

use bytes::BytesMut;

use crate::codec::{CodecError, Decoder, Frame, encode};
use crate::pieces;

/// The limit in the target: small, so that lengths beyond it are found.
const LIMIT: usize = 1000;

/// What is decoded does not depend on how the bytes are cut, and encodes to the bytes it came from.
pub fn frame(bytes: &[u8]) {
    let whole = decode([bytes].into_iter());
    assert_eq!(whole, decode(pieces(bytes)), "it depends on the pieces");
    let mut again = BytesMut::new();
    for frame in &whole.0 {
        assert!(frame.payload.len() <= LIMIT, "longer than the limit");
        assert!(
            encode(frame.kind, &frame.payload, &mut again),
            "decoded, and cannot be encoded"
        );
    }
    assert!(bytes.starts_with(&again), "it encodes to other bytes");
}

/// The frames up to an error, and the error.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<CodecError>) {
    let mut decoder = Decoder::new(LIMIT);
    let (mut frames, mut buffer) = (Vec::new(), BytesMut::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(buffer.is_empty(), "bytes are left over");
    }
    (frames, None)
}
