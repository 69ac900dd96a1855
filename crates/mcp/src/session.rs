//! What is sealed into the state that clients carry: session ids, cursors, `requestState`.
//!
//! The bytes are sealed before they leave (`core::SealState`), bound to the principal; here they only get a form. Each
//! begins with the number of its form, so that a later release can tell its own from older ones.

use sallyport_core::{ServerName, Timestamp};

use crate::catalogue::ListKind;
use crate::revision::Revision;

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
                _ => return None,
            },
            expires: input.time()?,
        };
        input.end(seal)
    }
}

/// Fields one after another: fixed ones as they are, others behind their length.
struct Writer(Vec<u8>);

impl Writer {
    fn new(form: u8) -> Self {
        Self(vec![form])
    }

    fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, value: u64) {
        self.fixed(&value.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        // Nothing sealed comes near 4 GiB: messages are bounded far below.
        self.fixed(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.fixed(bytes);
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.fixed(&[u8::from(bytes.is_some())]);
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], form: u8) -> Option<Self> {
        bytes
            .split_first()
            .filter(|(first, _)| **first == form)
            .map(|(_, rest)| Self(rest))
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().map(|n| Timestamp::from_millis(n.cast_signed()))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_be_bytes(self.fixed()?)).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().and_then(|b| String::from_utf8(b.to_vec()).ok())
    }

    #[expect(clippy::option_option, reason = "unreadable is another thing than absent")]
    fn optional(&mut self) -> Option<Option<Vec<u8>>> {
        match self.fixed::<1>()? {
            [0] => Some(None),
            [1] => self.bytes().map(|b| Some(b.to_vec())),
            _ => None,
        }
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session() -> SessionSeal {
        SessionSeal {
            endpoint: "/mcp/a".into(),
            revision: Revision::V2025_06_18,
            client_info: Some(b"{\"name\":\"c\"}".to_vec()),
            capabilities: b"{}".to_vec(),
            nonce: [7; 16],
            created: Timestamp::from_millis(-5),
        }
    }

    fn state(resume: Resume) -> RequestStateSeal {
        RequestStateSeal {
            server: ServerName::parse("git").unwrap(),
            method: "tools/call".into(),
            resume,
            expires: Timestamp::from_secs(1),
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let plain = SessionSeal {
            client_info: None,
            ..session()
        };
        for seal in [session(), plain] {
            assert_eq!(SessionSeal::decode(&seal.encode()), Some(seal));
        }
        for kind in ListKind::ALL {
            let seal = CursorSeal {
                endpoint: "/mcp".into(),
                kind,
                snapshot: u64::MAX,
                offset: 1000,
                created: Timestamp::EPOCH,
            };
            assert_eq!(CursorSeal::decode(&seal.encode()), Some(seal));
        }
        let nonce = [2; 16];
        for resume in [
            Resume::Parked {
                process: nonce,
                call: 9,
            },
            Resume::Relayed { nonce, state: None },
            Resume::Relayed {
                nonce,
                state: Some(String::new()),
            },
            Resume::Relayed {
                nonce,
                state: Some("é".repeat(1000)),
            },
        ] {
            let seal = state(resume);
            assert_eq!(RequestStateSeal::decode(&seal.encode()), Some(seal));
        }
    }

    #[test]
    fn other_forms_and_cut_or_longer_bytes_are_none() {
        let bytes = session().encode();
        for cut in 0..bytes.len() {
            assert_eq!(SessionSeal::decode(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(SessionSeal::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(SessionSeal::decode(&[&[2], &bytes[1..]].concat()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let bytes = [&[1], &bytes[..]].concat();
            let _ = (SessionSeal::decode(&bytes), CursorSeal::decode(&bytes), RequestStateSeal::decode(&bytes));
        }
    }
}
