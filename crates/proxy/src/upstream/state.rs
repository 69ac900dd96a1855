//! What is known of the servers: one value for each, all of them together as a fleet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use sallyport_core::ServerName;
use sallyport_mcp::capabilities::ServerCapabilities;
use sallyport_mcp::catalogue::Catalogue;
use sallyport_mcp::revision::Era;

/// All configured servers and what is known of them. Replaced as a whole whenever anything changes.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// By the operator's name.
    pub servers: BTreeMap<ServerName, Arc<ServerState>>,
}

/// What is known of one server.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// The operator's name for it.
    pub name: ServerName,
    /// Whether it can be used.
    pub status: Status,
    /// The eras it speaks; both false until the first contact.
    pub speaks: Speaks,
    /// What it offers: of its `initialize` or `server/discover` result.
    pub capabilities: ServerCapabilities,
    /// Its `instructions`, if any.
    pub instructions: Option<String>,
    /// Its `serverInfo`: a raw JSON object, for logs and people, never for decisions.
    pub info: Option<Bytes>,
    /// Its tools, prompts, resources and templates; the last good ones while it is away.
    pub catalogue: Arc<Catalogue>,
    /// Whether the catalogue is of the present contact; false for the last good one of a server that is away.
    pub fresh: bool,
}

/// Whether a server can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// The first contact is being made.
    Connecting,
    /// In contact.
    Ready,
    /// Out of contact; tried again with back-off.
    Failed {
        /// Why, in words that may be logged and shown to the operator; never of the server's own.
        reason: String,
    },
}

/// The eras that a server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Speaks {
    /// Revisions with `initialize`.
    pub legacy: bool,
    /// 2026-07-28 and later.
    pub modern: bool,
}

impl Speaks {
    /// The era in which to speak to the server for a client of `client`'s era: the client's own if the server speaks
    /// it. `None` while nothing is known.
    #[must_use]
    pub fn era_for(self, client: Era) -> Option<Era> {
        match (client, self.legacy, self.modern) {
            (_, false, false) => None,
            (Era::Legacy, true, _) | (Era::Modern, true, false) => Some(Era::Legacy),
            (Era::Modern, _, true) | (Era::Legacy, false, true) => Some(Era::Modern),
        }
    }
}

/// The eras that a server speaks, for every call to look at: a lock around them would make the threads wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Spoken(AtomicU8);

impl Spoken {
    const LEGACY: u8 = 1;
    const MODERN: u8 = 2;

    /// What is known now.
    pub(crate) fn get(&self) -> Speaks {
        let eras = self.0.load(Ordering::Acquire);
        Speaks {
            legacy: eras & Self::LEGACY != 0,
            modern: eras & Self::MODERN != 0,
        }
    }

    /// From now on this is known.
    pub(crate) fn set(&self, speaks: Speaks) {
        let legacy = if speaks.legacy { Self::LEGACY } else { 0 };
        let modern = if speaks.modern { Self::MODERN } else { 0 };
        self.0.store(legacy | modern, Ordering::Release);
    }
}

impl ServerState {
    /// A server of which nothing is known yet.
    #[must_use]
    pub fn unknown(name: ServerName) -> Self {
        Self {
            name,
            status: Status::Connecting,
            speaks: Speaks::default(),
            capabilities: ServerCapabilities::default(),
            instructions: None,
            info: None,
            catalogue: Arc::default(),
            fresh: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_served_in_its_own_era_where_the_server_speaks_it() {
        let speaks = |legacy, modern| Speaks { legacy, modern };
        for (client, server, era) in [
            (Era::Legacy, speaks(true, true), Some(Era::Legacy)),
            (Era::Modern, speaks(true, true), Some(Era::Modern)),
            (Era::Legacy, speaks(false, true), Some(Era::Modern)),
            (Era::Modern, speaks(true, false), Some(Era::Legacy)),
            (Era::Modern, speaks(false, false), None),
        ] {
            assert_eq!(server.era_for(client), era, "{client:?} {server:?}");
        }
    }
}
