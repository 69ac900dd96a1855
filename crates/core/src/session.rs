//! What is remembered of legacy sessions over restarts: which of them may still be used, and since when nobody has.
//!
//! A session's id holds all that it takes to go on with it; what is kept only says whether it may.

use thiserror::Error;

use crate::audit::Pending;
use crate::{PrincipalKey, Timestamp};

/// What makes a session's id unique.
pub type SessionNonce = [u8; 16];

/// A session that may be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownSession {
    /// Whose it is.
    pub owner: PrincipalKey,
    /// Which.
    pub nonce: SessionNonce,
    /// When it was opened.
    pub created: Timestamp,
    /// When it was last used, or a little earlier.
    pub used: Timestamp,
}

/// What is kept of the time before a start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KnownSessions {
    /// Of the sessions that were opened up to here all that may be used are in the list; `None` if nothing was kept yet.
    pub complete_to: Option<Timestamp>,
    /// Those that may be used.
    pub live: Vec<KnownSession>,
    /// Those that were ended since, or not long before.
    pub ended: Vec<SessionNonce>,
}

/// What has changed since it was last kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionChanges {
    /// Of the sessions that were opened up to here all are kept with this.
    pub complete_to: Timestamp,
    /// Sessions that are new, or have been used.
    pub used: Vec<KnownSession>,
    /// Sessions that may not be used any more.
    pub gone: Vec<(PrincipalKey, SessionNonce)>,
}

/// It could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("what is known of sessions cannot be written")]
pub struct SessionsNotKept;

/// Remembers sessions over restarts.
pub trait KeepSessions: Send + Sync {
    /// Ends a session for good; whoever has its id finds nothing, also after a restart.
    ///
    /// # Errors
    /// [`SessionsNotKept`]: after a restart it might be good again.
    fn end(&self, session: KnownSession) -> Pending<'_, Result<(), SessionsNotKept>>;

    /// Keeps what has changed. A session that was ended stays so.
    ///
    /// # Errors
    /// [`SessionsNotKept`]: nothing was kept.
    fn keep(&self, changes: SessionChanges) -> Pending<'_, Result<(), SessionsNotKept>>;
}

/// Remembers nothing: for a gateway that lives as long as one command.
#[derive(Clone, Copy, Debug)]
pub struct NothingKept;

impl KeepSessions for NothingKept {
    fn end(&self, _: KnownSession) -> Pending<'_, Result<(), SessionsNotKept>> {
        Box::pin(async { Ok(()) })
    }

    fn keep(&self, _: SessionChanges) -> Pending<'_, Result<(), SessionsNotKept>> {
        Box::pin(async { Ok(()) })
    }
}
