//! Event streams that a legacy client can take up again (2025-03-26 and later, Transports, Resumability and
//! Redelivery): every event has an id, what was sent is kept for a while, and GET with `Last-Event-ID` goes on with the
//! same stream. A modern stream has none of this.
//!
//! | part | what |
//! | --- | --- |
//! | [`id`] | an event's id: which stream, which event |
//! | [`log`] | one stream: what was said, and the one reader that hears it |
//! | [`journal`] | the streams of one session, and for how long they are kept |
//! | [`pump`] | from a running call into its log, whether or not anybody reads |

mod id;
mod journal;
mod log;
mod pump;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::id::{EventId, StreamKind};
pub(crate) use self::journal::Journal;
pub(crate) use self::log::{Log, Reader};
pub(crate) use self::pump::pump;

/// After how many milliseconds a client is to come back when its stream breaks: soon enough not to be noticed, late
/// enough that a gateway that starts again is not met by all its clients in one moment.
const RETRY_MS: u64 = 1000;
