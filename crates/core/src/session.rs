//! What is remembered of legacy sessions outside of a process's memory: which of them may still be used, and since when
//! nobody has.
//!
//! A session's id holds all that it takes to go on with it, in whatever process; what is kept says whether it may, and what
//! the servers behind call it.

use std::time::Duration;

use thiserror::Error;

use crate::audit::Pending;
use crate::{PrincipalKey, ServerName, Timestamp};

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
    /// What its client has asked for that lasts, sealed; none where what is kept of that stands.
    pub wishes: Option<String>,
}

/// A session at a server, opened for a client's session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServerSession {
    /// Whose the client's session is.
    pub owner: PrincipalKey,
    /// Which.
    pub nonce: SessionNonce,
    /// The server.
    pub server: ServerName,
    /// What the server calls it, sealed.
    pub sealed: String,
}

/// What is kept of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It may be used.
    Used {
        /// It was used last then, or a little later.
        used: Timestamp,
        /// What its client has asked for that lasts, sealed, if anything.
        wishes: Option<String>,
    },
    /// Its client has ended it.
    Ended,
    /// Nothing: it is new, or was given up long ago.
    Unknown,
}

/// What has changed since it was last kept, and how much is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionChanges {
    /// The time.
    pub now: Timestamp,
    /// Sessions that are new, or have been used.
    pub used: Vec<KnownSession>,
    /// Sessions that nobody will ask for any more.
    pub gone: Vec<(PrincipalKey, SessionNonce)>,
    /// Sessions at servers for those that may be used; for any other they are not kept. Each takes the place of the last one
    /// at its server.
    pub at_servers: Vec<ServerSession>,
    /// Sessions at servers that have ended.
    pub ended_at_servers: Vec<ServerSession>,
    /// What has not been used for longer than this is given up.
    pub idle: Duration,
    /// How many are kept of each principal in `used`: those that were used last.
    pub per_principal: usize,
}

/// Nothing can be kept or found out now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the store of sessions does not answer")]
pub struct SessionsUnavailable;

/// Remembers sessions over restarts, and for all processes that serve them.
pub trait KeepSessions: Send + Sync {
    /// Ends a session for good; whoever has its id finds nothing, in other processes as soon as they look
    /// ([`Self::ended_since`]).
    ///
    /// # Errors
    /// [`SessionsUnavailable`]: it goes on.
    fn end(&self, session: KnownSession) -> Pending<'_, Result<(), SessionsUnavailable>>;

    /// Keeps what has changed. A session that was ended stays so.
    ///
    /// # Errors
    /// [`SessionsUnavailable`]: nothing was kept.
    fn keep(&self, changes: SessionChanges) -> Pending<'_, Result<(), SessionsUnavailable>>;

    /// What is kept of a session.
    ///
    /// # Errors
    /// [`SessionsUnavailable`].
    fn fate<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
    ) -> Pending<'a, Result<Fate, SessionsUnavailable>>;

    /// What a server calls its session for a client's, sealed, if that is kept.
    ///
    /// # Errors
    /// [`SessionsUnavailable`].
    fn at_server<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
        server: &'a ServerName,
    ) -> Pending<'a, Result<Option<String>, SessionsUnavailable>>;

    /// The sessions that were ended at `time` or later, by whatever process, as far as they were ended within the last ten
    /// minutes.
    ///
    /// # Errors
    /// [`SessionsUnavailable`].
    fn ended_since(
        &self,
        time: Timestamp,
    ) -> Pending<'_, Result<Vec<(PrincipalKey, SessionNonce)>, SessionsUnavailable>>;
}

/// Remembers nothing: for a gateway that lives as long as one command.
#[derive(Clone, Copy, Debug)]
pub struct NothingKept;

impl KeepSessions for NothingKept {
    fn end(&self, _: KnownSession) -> Pending<'_, Result<(), SessionsUnavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn keep(&self, _: SessionChanges) -> Pending<'_, Result<(), SessionsUnavailable>> {
        Box::pin(async { Ok(()) })
    }

    fn fate<'a>(
        &'a self,
        _: &'a PrincipalKey,
        _: SessionNonce,
    ) -> Pending<'a, Result<Fate, SessionsUnavailable>> {
        Box::pin(async { Ok(Fate::Unknown) })
    }

    fn at_server<'a>(
        &'a self,
        _: &'a PrincipalKey,
        _: SessionNonce,
        _: &'a ServerName,
    ) -> Pending<'a, Result<Option<String>, SessionsUnavailable>> {
        Box::pin(async { Ok(None) })
    }

    fn ended_since(
        &self,
        _: Timestamp,
    ) -> Pending<'_, Result<Vec<(PrincipalKey, SessionNonce)>, SessionsUnavailable>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
