//! What a modern server says its result is (2026-07-28, Results). It stands beside the members of the result and nowhere
//! else: the same words inside of them mean nothing.

use std::sync::LazyLock;

use memchr::memmem::FinderRev;

use crate::json::{self, MAX_DEPTH, Scanner};

/// The raw `resultType` of the usual result.
pub const COMPLETE: &[u8] = br#""complete""#;

/// From this size on, a message is not read from its begin where its end can tell.
const LONG: usize = 4 << 10;

/// How much of the begin of a long message is read before its end is looked at.
const BEGIN: usize = 512;

/// How a result is written that says last that it is complete, as the last member of its message.
const LAST: &[u8] = br#","resultType":"complete"}}"#;

/// The raw `resultType` of a response's result; `None` if it has none, or the response is an error.
///
/// The response has been scanned, and has no members but those of JSON-RPC. Then an object in an object of the message can only
/// be its result, and of long results that say their type first or last nothing else has to be read.
#[must_use]
pub fn result_type(message: &[u8]) -> Option<&[u8]> {
    if message.ends_with(LAST) {
        return Some(COMPLETE);
    }
    if message.len() > LONG {
        let begin = message.get(..BEGIN).unwrap_or_default();
        if json::find_within(begin, "result", "resultType") == Some(COMPLETE) || ends_complete(message) {
            return Some(COMPLETE);
        }
    }
    json::find_within(message, "result", "resultType")
}

/// Whether the last few members of the result say that it is complete.
fn ends_complete(message: &[u8]) -> bool {
    static NEEDLE: LazyLock<FinderRev<'static>> =
        LazyLock::new(|| FinderRev::new(br#","resultType":"complete""#));
    let tail = message.get(message.len().saturating_sub(LONG)..);
    let tail = tail.unwrap_or_default();
    // The quote behind a comma begins a string, so that this is a key and not a part of some text.
    let rest = NEEDLE
        .rfind(tail)
        .and_then(|at| tail.get(at + NEEDLE.needle().len()..));
    rest.is_some_and(|rest| closes_twice(rest).is_some())
}

/// Whether `rest` is the end of an object that is a member of the message, which ends with it.
fn closes_twice(rest: &[u8]) -> Option<()> {
    let mut scanner = Scanner::new(rest, MAX_DEPTH).ok()?;
    for _ in ["the result", "the message"] {
        while !scanner.take(b'}').ok()? {
            scanner.expect(b',').ok()?;
            scanner.key().ok()?;
            scanner.value().ok()?;
        }
    }
    scanner.end().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_35_only_the_member_of_the_result_itself_says_what_it_is() {
        let pad = "é".repeat(LONG);
        for pad in ["", &pad] {
            for (result, says) in [
                (r#"{"resultType":"complete","t":"PAD"}"#, Some("complete")),
                (r#"{"t":"PAD","resultType":"complete"}"#, Some("complete")),
                (r#"{"t":"PAD" , "resultType" : "complete" }"#, Some("complete")),
                (
                    r#"{"t":"PAD","resultType":"complete","_meta":{"a":[1,"}}"]}}"#,
                    Some("complete"),
                ),
                (
                    r#"{"t":"PAD","resultType":"input_required","x":{"a":1,"resultType":"complete"}}"#,
                    Some("input_required"),
                ),
                (
                    r#"{"resultType":"later","t":"PAD","x":{"a":1,"resultType":"complete"}}"#,
                    Some("later"),
                ),
                (
                    r#"{"resultType":"later","t":"PAD","x":[{"a":1,"resultType":"complete"}]}"#,
                    Some("later"),
                ),
                (r#"{"t":"PAD","x":{"resultType":"complete"}}"#, None),
                (r#"{"t":"PAD","x":{"a":1,"resultType":"complete"}}"#, None),
                (
                    r#"{"x":{"a":1,"result":{"resultType":"complete","b":1}},"t":"PAD"}"#,
                    None,
                ),
                (r#"{"t":"PAD,\"resultType\":\"complete\"}}"}"#, None),
                (r#"{"t":"PAD","u":"x,\"resultType\":\"complete\"","v":1}"#, None),
                ("{}", None),
            ] {
                let result = result.replace("PAD", pad);
                for message in [
                    format!(r#"{{"jsonrpc":"2.0","id":"a","result":{result}}}"#),
                    format!(r#"{{"result":{result},"jsonrpc":"2.0","id":"a"}}"#),
                    format!(r#" {{ "id" : 1, "result" : {result} , "jsonrpc":"2.0" }} "#),
                ] {
                    let said = result_type(message.as_bytes()).and_then(json::decode);
                    assert_eq!(said.as_deref(), says, "{}", message.replace(pad, "…"));
                }
            }
        }
        let error = br#"{"id":1,"error":{"code":1,"data":{"a":1,"resultType":"complete"}}}"#;
        assert_eq!(result_type(error), None);
    }
}
