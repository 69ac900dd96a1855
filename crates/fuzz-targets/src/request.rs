//! Heads of HTTP/1.1 requests.

use bytes::Bytes;

use crate::head::{Head, HeadEnd, Length, Refusal, blank, digits, read};
use crate::pieces;

/// The limits in the target: small, so that what is beyond them is found.
const LIMIT: usize = 600;
const FIELDS: usize = 20;

/// The verdict does not depend on how the bytes are cut, and what is read has one reading: the fields that it is made
/// of, written down again, are read alike.
pub fn request_head(bytes: &[u8]) {
    let whole = take([bytes].into_iter());
    assert_eq!(
        summary(&whole),
        summary(&take(pieces(bytes))),
        "it depends on the pieces"
    );
    let Some(Ok(head)) = whole else { return };
    let text = write(&head);
    // Blanks and slashes that were left out are written.
    if text.len() > LIMIT {
        return;
    }
    let again = take([text.as_slice()].into_iter());
    assert_eq!(
        summary(&Some(Ok(head))),
        summary(&again),
        "written down, it is another"
    );
}

/// The head at the front, as a connection reads it; `None` if it is not complete.
fn take<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Result<Head, Refusal>> {
    let mut end = HeadEnd::default();
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if end.is_at_start() {
            let skipped = blank(&buffer);
            if skipped > 0 {
                buffer.drain(..skipped);
                end = HeadEnd::default();
            }
        }
        match end.find(&buffer, LIMIT) {
            Ok(None) => {}
            Ok(Some(length)) => {
                assert!(length <= LIMIT, "longer than the limit");
                let text = Bytes::copy_from_slice(buffer.get(..length)?);
                return Some(read(&text, FIELDS));
            }
            Err(refusal) => return Some(Err(refusal)),
        }
    }
    None
}

fn summary(head: &Option<Result<Head, Refusal>>) -> String {
    match head {
        Some(Ok(head)) => {
            for length in head.parts.headers.get_all("content-length") {
                assert_eq!(
                    head.length,
                    Length::Known(digits(length.as_bytes()).unwrap_or(u64::MAX))
                );
            }
            assert!(
                head.parts.headers.get_all("host").iter().count() <= 1,
                "a request names one host"
            );
            let facts = head.facts;
            format!(
                "{:?} {:?} {:?}",
                (
                    &head.parts.method,
                    &head.parts.uri,
                    &head.parts.headers,
                    head.length
                ),
                (facts.closes, facts.expects, facts.encoded),
                (facts.upgrades, facts.protocol)
            )
        }
        // Of two offences the one is seen first that comes first.
        Some(Err(_)) => "refused".to_owned(),
        None => "incomplete".to_owned(),
    }
}

fn write(head: &Head) -> Vec<u8> {
    let parts = &head.parts;
    let mut text = format!("{} {} {:?}\r\n", parts.method, parts.uri, parts.version).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}
