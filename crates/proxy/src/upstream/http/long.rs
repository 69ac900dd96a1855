//! A result that is passed on while it comes. What the client gets of a message that turns out to be none, too long, or
//! not to end, lacks its end: the last brace is held back until the server has said all.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use sallyport_core::fault::Fault;
use sallyport_mcp::json::{Span, Verifier};
use sallyport_mcp::jsonrpc::Limits;
use sallyport_net::http1::AnswerBody;

use super::relay::Call;
use crate::exchange::Long;

/// How much of an answer is waited for before it is passed on: most are all there by then.
pub(super) const BEGIN: usize = 64 << 10;

const OPERATION: &str = "read the answer";

/// How a response is written up to its result: as its members stand in the specification, which most servers keep to.
/// Those that name the id last have to be read whole.
const BEFORE_ID: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const BEFORE_RESULT: &[u8] = br#","result":{"#;
/// What a modern result says first when it can be passed on: it is no question and no task.
const COMPLETE: &[u8] = br#""resultType":"complete","#;

/// The three members of such a response have two commas between them.
const COMMAS: usize = 2;

/// Where the id is in what an answer begins with, if the answer can be passed on unread: it bears this id, and what
/// stands before the result's own members leaves nothing open.
pub(super) fn id_in(begin: &[u8], id: &[u8], is_modern: bool) -> Option<Span> {
    let result = begin
        .strip_prefix(BEFORE_ID)?
        .strip_prefix(id)?
        .strip_prefix(BEFORE_RESULT)?;
    if is_modern && !result.starts_with(COMPLETE) {
        return None;
    }
    Some(Span::new(BEFORE_ID.len(), BEFORE_ID.len() + id.len()))
}

/// An answer on its way.
struct Coming<K> {
    call: Call,
    body: AnswerBody,
    verifier: Verifier,
    /// How many bytes may still come.
    left: usize,
    _kept: K,
}

/// The answer that begins so; `relabelled` puts the client's id in its place. `kept` lives until its end.
///
/// # Errors
/// A fault when no message begins so.
pub(super) fn long<K: Send + 'static>(
    call: Call,
    begin: BytesMut,
    body: AnswerBody,
    relabelled: impl FnOnce(&Call, BytesMut) -> Bytes,
    kept: K,
) -> Result<Long, Fault> {
    let id = call.id().clone();
    let mut coming = Coming {
        left: call.message_bytes().saturating_sub(begin.len()),
        call,
        body,
        verifier: Verifier::new(Limits::SERVER.depth),
        _kept: kept,
    };
    let passes = coming.look(&begin)?;
    let mut begin = begin;
    begin.truncate(passes);
    let begin = relabelled(&coming.call, begin);
    let rest = stream::unfold(Some(coming), |coming| async {
        let mut coming = coming?;
        let piece = coming.next().await;
        let more = matches!(&piece, Ok(Some(_)));
        match piece {
            Ok(Some(piece)) => Some((Ok(piece), more.then_some(coming))),
            Ok(None) => Some((Ok(Bytes::from_static(b"}")), None)),
            Err(fault) => {
                coming.call.garbage();
                Some((Err(fault), None))
            }
        }
    });
    Ok(Long {
        id,
        begin,
        rest: Box::pin(rest),
    })
}

impl<K> Coming<K> {
    /// What comes next before the last brace; `None` when that is all that is missing.
    ///
    /// # Errors
    /// A fault when this is no message, or takes too long.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let piece = {
                let next = pin!(self.body.next());
                self.call.within(next).await?
            };
            let Some(piece) = piece else {
                return if self.verifier.is_done() {
                    Ok(None)
                } else {
                    Err(Fault::upstream(OPERATION, "it ends in the middle of the message"))
                };
            };
            let mut piece = piece?;
            self.left = self
                .left
                .checked_sub(piece.len())
                .ok_or_else(|| Fault::upstream(OPERATION, "the answer is longer than it may be"))?;
            let passes = self.look(&piece)?;
            piece.truncate(passes);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    /// How much of a piece is passed on: all, none behind the message's end, and not its last brace.
    fn look(&mut self, piece: &[u8]) -> Result<usize, Fault> {
        let was_done = self.verifier.is_done();
        let end = self
            .verifier
            .push(piece)
            .map_err(|error| Fault::upstream(OPERATION, error))?;
        if self.verifier.commas() > COMMAS {
            // It could be a second id.
            let text = "something follows the result in the message";
            return Err(Fault::upstream(OPERATION, text));
        }
        Ok(match end {
            Some(end) => end.saturating_sub(1),
            None if was_done => 0,
            None => piece.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_nothing_open_is_passed_on_unread() {
        let place = Some(Span::new(22, 25));
        for (begin, legacy, modern) in [
            (r#"{"jsonrpc":"2.0","id":"a","result":{"content":["#, place, None),
            (
                r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","content":["#,
                place,
                place,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"input_required","content":["#,
                place,
                None,
            ),
            (r#"{"jsonrpc":"2.0","id":"b","result":{"content":["#, None, None),
            (r#"{"jsonrpc":"2.0","id":"a","error":{"code":1"#, None, None),
            (r#"{"jsonrpc":"2.0","result":{"content":["#, None, None),
            (r#"{"result":{"content":["#, None, None),
            (r#"{"jsonrpc":"1.0","id":"a","result":{"content":["#, None, None),
            (r#"{"jsonrpc":"2.0","id":"a","result":["#, None, None),
            (r#"{"jsonrpc":"2.0","id":"a","x":1,"result":{"#, None, None),
            (r#"[{"jsonrpc":"2.0","id":"a","result":{"#, None, None),
            ("", None, None),
        ] {
            assert_eq!(id_in(begin.as_bytes(), b"\"a\"", false), legacy, "{begin}");
            assert_eq!(id_in(begin.as_bytes(), b"\"a\"", true), modern, "{begin}");
        }
    }
}
