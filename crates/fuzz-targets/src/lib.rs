//! What is asserted of bytes that anybody may send. Each function is the body of a fuzz target (`fuzz/`), and is run over
//! the kept corpora by an ordinary test.
#![forbid(unsafe_code)]

mod carried;
/// The codec of framed TCP: its file alone, because the whole of its crate brings libraries that take long to instrument.
#[path = "../../net/src/framed/codec.rs"]
pub mod codec;
mod envelope;
mod frame;
/// The reader of request heads, by itself as well.
#[path = "../../net/src/listen/request.rs"]
mod head;
mod request;
mod sentinel;
mod sse;

pub use carried::{cursor, session_seal};
pub use envelope::envelope;
pub use frame::frame;
pub use request::request_head;
pub use sentinel::header_sentinel;
pub use sse::sse;

/// The body of a target.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: [(&str, Target); 7] = [
    ("cursor", cursor),
    ("envelope", envelope),
    ("frame", frame),
    ("header_sentinel", header_sentinel),
    ("request_head", request_head),
    ("session_seal", session_seal),
    ("sse", sse),
];

/// Cuts bytes into pieces whose lengths come from themselves: the first byte is the length of the first piece, and so on
/// around.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut lengths = bytes.iter().cycle();
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = lengths.next().map(|length| usize::from(*length % 16) + 1)?;
        let (piece, left) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}
