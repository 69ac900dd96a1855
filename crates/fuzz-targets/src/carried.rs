//! What clients carry for us. It is sealed on the way; here is what would happen if a seal were broken.

use sallyport_mcp::session::{
    CursorSeal, RequestStateSeal, ServerSessionSeal, SessionSeal, TaskSeal, WishesSeal,
};

macro_rules! reads_back {
    ($seal:ty, $bytes:expr) => {
        if let Some(seal) = <$seal>::decode($bytes) {
            let again = <$seal>::decode(&seal.encode());
            assert_eq!(
                again,
                Some(seal),
                "what was decoded is not what its encoding decodes to"
            );
        }
    };
}

/// Session ids, `requestState` and the ids of tasks: no bytes panic, and what is decoded is what it encodes to.
pub fn session_seal(bytes: &[u8]) {
    reads_back!(SessionSeal, bytes);
    reads_back!(ServerSessionSeal, bytes);
    reads_back!(WishesSeal, bytes);
    reads_back!(RequestStateSeal, bytes);
    reads_back!(TaskSeal, bytes);
}

/// Cursors, likewise.
pub fn cursor(bytes: &[u8]) {
    reads_back!(CursorSeal, bytes);
}
