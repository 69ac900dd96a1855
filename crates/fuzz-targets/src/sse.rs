//! Event streams.

use bytes::Bytes;
use sallyport_mcp::sse::{Event, Parser, SseError, SseLimits};

use crate::pieces;

/// The limits in the target: small, so that events beyond them are found.
const LIMITS: SseLimits = SseLimits {
    event_bytes: 200,
    field_bytes: 20,
};

/// What is read does not depend on how the bytes are cut.
pub fn sse(bytes: &[u8]) {
    let whole = events([bytes].into_iter());
    assert_eq!(whole, events(pieces(bytes)), "it depends on the pieces");
}

/// The events up to an error, and the error.
fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<SseError>) {
    let mut parser = Parser::new(LIMITS);
    let mut found = Vec::new();
    for piece in pieces {
        parser.push(&Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}
