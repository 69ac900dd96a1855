//! What is sealed into the state that clients carry: session ids, cursors, `requestState`, ids of tasks.
//!
//! The bytes are sealed before they leave (`core::SealState`), bound to the principal; here they only get a form. Each
//! begins with the number of its form, so that a later release can tell its own from older ones.

mod codec;
#[cfg(test)]
mod tests;

use std::fmt;

use sallyport_core::{ServerName, Timestamp};

use codec::{Reader, Writer};

use crate::catalogue::ListKind;
use crate::log::LogLevel;
use crate::revision::{Era, Revision};

/// A legacy session: everything that is needed to go on after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSeal {
    /// The endpoint's path; the id is good at no other.
    pub endpoint: String,
    /// What was negotiated.
    pub revision: Revision,
    /// `clientInfo`: a raw object.
    pub client_info: Option<Vec<u8>>,
    /// The client's capabilities: a raw object.
    pub capabilities: Vec<u8>,
    /// What makes the id unique.
    pub nonce: [u8; 16],
    /// When `initialize` came.
    pub created: Timestamp,
}

/// A session at a server: what is needed to go on with it, for the client's session that it was opened for.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerSessionSeal {
    /// Its id there (`Mcp-Session-Id`).
    pub id: String,
    /// What was negotiated.
    pub revision: Revision,
    /// Whether the server said that it logs.
    pub logs: bool,
    /// Whether it said that it tells of changes of resources.
    pub subscribes: bool,
}

/// What a client has asked for in a legacy session that lasts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WishesSeal {
    /// The level of `logging/setLevel`.
    pub level: Option<LogLevel>,
    /// The resources of `resources/subscribe`, by visible URI.
    pub followed: Vec<String>,
}

/// Where a list goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CursorSeal {
    /// The endpoint's path.
    pub endpoint: String,
    /// Which list.
    pub kind: ListKind,
    /// The list's state when the first page was given; a cursor of an older state is stale.
    pub snapshot: u64,
    /// How many items came before.
    pub offset: u32,
    /// When it was given.
    pub created: Timestamp,
}

/// The `requestState` given to a modern client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestStateSeal {
    /// The server that asked.
    pub server: ServerName,
    /// The method of the call. Its target and arguments are in what the seal is bound to: they need not be carried.
    pub method: String,
    /// What goes on.
    pub resume: Resume,
    /// From when on it is no longer good.
    pub expires: Timestamp,
}

/// The id of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskSeal {
    /// The server that carries it out.
    pub server: ServerName,
    /// Its id there.
    pub task: String,
    /// The tool that was called, as the server knows it.
    pub tool: String,
    /// The form of tasks that the server speaks.
    pub era: Era,
    /// From when on the id is no longer good.
    pub expires: Timestamp,
}

/// What goes on when the client comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resume {
    /// A call that waits in this process, by its number, for the process of this nonce.
    Parked {
        /// The process.
        process: [u8; 16],
        /// The call.
        call: u64,
    },
    /// A modern server's own state, to be given back to it exactly; none if it gave none.
    Relayed {
        /// What makes the state usable once only.
        nonce: [u8; 16],
        /// The server's `requestState`, unescaped.
        state: Option<String>,
    },
    /// A legacy server's call, to be made again once the person has been to the URLs that the server named.
    Visited {
        /// What makes the state usable once only.
        nonce: [u8; 16],
        /// The server's `elicitationId`s.
        ids: Vec<String>,
    },
}

impl SessionSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.bytes(self.endpoint.as_bytes());
        out.bytes(self.revision.as_str().as_bytes());
        out.optional(self.client_info.as_deref());
        out.bytes(&self.capabilities);
        out.fixed(&self.nonce);
        out.number(self.created.as_millis().cast_unsigned());
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let seal = Self {
            endpoint: input.text()?,
            revision: Revision::parse(&input.text()?)?,
            client_info: input.optional()?,
            capabilities: input.bytes()?.to_vec(),
            nonce: input.fixed()?,
            created: input.time()?,
        };
        input.end(seal)
    }
}

impl fmt::Debug for ServerSessionSeal {
    /// Without the id: whoever has it is in the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSessionSeal")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl ServerSessionSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.bytes(self.id.as_bytes());
        out.bytes(self.revision.as_str().as_bytes());
        out.flag(self.logs);
        out.flag(self.subscribes);
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let id = input.text()?;
        let revision = Revision::parse(&input.text()?)?;
        let (logs, subscribes) = (input.flag()?, input.flag()?);
        input.end(Self {
            id,
            revision,
            logs,
            subscribes,
        })
    }
}

impl WishesSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.optional(self.level.map(|level| level.as_str().as_bytes()));
        out.number(self.followed.len() as u64);
        self.followed.iter().for_each(|uri| out.bytes(uri.as_bytes()));
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let level = match input.optional()? {
            Some(level) => Some(LogLevel::parse(std::str::from_utf8(&level).ok()?)?),
            None => None,
        };
        let followed = (0..input.number()?)
            .map(|_| input.text())
            .collect::<Option<_>>()?;
        input.end(Self { level, followed })
    }
}

impl CursorSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.bytes(self.endpoint.as_bytes());
        out.bytes(self.kind.method().as_str().as_bytes());
        out.number(self.snapshot);
        out.number(u64::from(self.offset));
        out.number(self.created.as_millis().cast_unsigned());
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let seal = Self {
            endpoint: input.text()?,
            kind: {
                let method = input.text()?;
                ListKind::ALL
                    .into_iter()
                    .find(|k| k.method().as_str() == method)?
            },
            snapshot: input.number()?,
            offset: u32::try_from(input.number()?).ok()?,
            created: input.time()?,
        };
        input.end(seal)
    }
}

impl RequestStateSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.bytes(self.server.as_str().as_bytes());
        out.bytes(self.method.as_bytes());
        match &self.resume {
            Resume::Parked { process, call } => {
                out.fixed(b"P");
                out.fixed(process);
                out.number(*call);
            }
            Resume::Relayed { nonce, state } => {
                out.fixed(b"R");
                out.fixed(nonce);
                out.optional(state.as_deref().map(str::as_bytes));
            }
            Resume::Visited { nonce, ids } => {
                out.fixed(b"V");
                out.fixed(nonce);
                out.number(ids.len() as u64);
                ids.iter().for_each(|id| out.bytes(id.as_bytes()));
            }
        }
        out.number(self.expires.as_millis().cast_unsigned());
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let seal = Self {
            server: ServerName::parse(&input.text()?).ok()?,
            method: input.text()?,
            resume: match &input.fixed::<1>()? {
                b"P" => Resume::Parked {
                    process: input.fixed()?,
                    call: input.number()?,
                },
                b"R" => Resume::Relayed {
                    nonce: input.fixed()?,
                    state: match input.optional()? {
                        Some(state) => Some(String::from_utf8(state).ok()?),
                        None => None,
                    },
                },
                b"V" => Resume::Visited {
                    nonce: input.fixed()?,
                    ids: (0..input.number()?)
                        .map(|_| input.text())
                        .collect::<Option<_>>()?,
                },
                _ => return None,
            },
            expires: input.time()?,
        };
        input.end(seal)
    }
}

impl TaskSeal {
    const FORM: u8 = 1;

    /// The bytes to seal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(Self::FORM);
        out.bytes(self.server.as_str().as_bytes());
        out.bytes(self.task.as_bytes());
        out.bytes(self.tool.as_bytes());
        out.fixed(match self.era {
            Era::Legacy => b"L",
            Era::Modern => b"M",
        });
        out.number(self.expires.as_millis().cast_unsigned());
        out.0
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes, Self::FORM)?;
        let seal = Self {
            server: ServerName::parse(&input.text()?).ok()?,
            task: input.text()?,
            tool: input.text()?,
            era: match &input.fixed::<1>()? {
                b"L" => Era::Legacy,
                b"M" => Era::Modern,
                _ => return None,
            },
            expires: input.time()?,
        };
        input.end(seal)
    }
}
