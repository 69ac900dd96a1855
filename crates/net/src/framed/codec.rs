//! Frames as bytes. Nothing here reads or writes.
//!
//! All numbers are big-endian: magic `MCPB`, version (u16), type (u16), length of the payload (u32), payload.

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use thiserror::Error;

/// What every frame begins with.
pub const MAGIC: [u8; 4] = *b"MCPB";

/// The one version there is.
pub const VERSION: u16 = 1;

/// The length of a frame's header, in bytes.
pub const HEADER: usize = 12;

/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 10 << 20;

/// How much is set aside for a payload of which nothing has come yet: a length is only a promise.
const ADVANCE: usize = 16 * 1024;

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Kind {
    /// A JSON-RPC request or notification.
    Request = 1,
    /// A JSON-RPC response.
    Response = 2,
    /// Something about the connection; none is known, all are ignored.
    Control = 3,
    /// The question whether the peer is there, and the answer.
    Health = 4,
    /// Why the connection ends, as UTF-8 text.
    Error = 5,
    /// The versions that the client speaks.
    Negotiate = 6,
    /// The version that is spoken.
    Agreed = 7,
    /// The client's token.
    Auth = 8,
}

impl Kind {
    fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Control,
            4 => Self::Health,
            5 => Self::Error,
            6 => Self::Negotiate,
            7 => Self::Agreed,
            8 => Self::Auth,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// The payload.
    pub payload: Bytes,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum CodecError {
    /// They do not begin as a frame does: the peer speaks something else.
    #[error("this is not the framed protocol")]
    Magic,
    /// Another version.
    #[error("version {0} is not spoken here")]
    Version(u16),
    /// A type that does not exist.
    #[error("there is no frame type {0}")]
    Kind(u16),
    /// A payload longer than the limit.
    #[error("a payload of {0} bytes is too long")]
    TooLarge(u32),
}

/// Writes a frame behind what is there. `false`, and nothing written, if the payload is longer than [`MAX_PAYLOAD`].
#[must_use]
pub fn encode(kind: Kind, payload: &[u8], into: &mut BytesMut) -> bool {
    let Some(length) = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD)
    else {
        return false;
    };
    into.reserve(HEADER + payload.len());
    into.put_slice(&MAGIC);
    into.put_u16(VERSION);
    into.put_u16(kind as u16);
    into.put_u32(length);
    into.put_slice(payload);
    true
}

/// Takes frames out of bytes, however these are cut into pieces. After an error it is of no more use.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    header: BytesMut,
    /// The frame whose header has been judged, and how much of its payload is missing.
    open: Option<(Kind, usize)>,
    payload: BytesMut,
}

impl Decoder {
    /// A decoder that takes payloads up to this length, in bytes, and never more than [`MAX_PAYLOAD`].
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(MAX_PAYLOAD),
            header: BytesMut::with_capacity(HEADER),
            open: None,
            payload: BytesMut::new(),
        }
    }

    /// Sets another limit, for the frames from the next header on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(MAX_PAYLOAD);
    }

    /// Whether nothing of another frame has come yet.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.open.is_none() && self.header.is_empty()
    }

    /// Takes bytes away until a frame is complete; `None` when all are taken and it is not.
    ///
    /// # Errors
    /// [`CodecError`] as soon as it can be seen: for what does not begin as a frame at its first wrong byte, for the rest
    /// when the header is there.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let (kind, missing) = match self.open {
            Some(open) => open,
            None => match self.take_header(bytes)? {
                Some(open) => open,
                None => return Ok(None),
            },
        };
        let piece = bytes.split_to(missing.min(bytes.len()));
        let left = missing - piece.len();
        if left == 0 && self.payload.is_empty() {
            self.payload = piece;
        } else {
            // Grows with what comes, not with what was promised.
            self.payload.reserve(missing.min(ADVANCE.max(piece.len())));
            self.payload.extend_from_slice(&piece);
        }
        if left > 0 {
            self.open = Some((kind, left));
            return Ok(None);
        }
        self.open = None;
        Ok(Some(Frame {
            kind,
            payload: std::mem::take(&mut self.payload).freeze(),
        }))
    }

    fn take_header(&mut self, bytes: &mut BytesMut) -> Result<Option<(Kind, usize)>, CodecError> {
        let wanted = HEADER.saturating_sub(self.header.len()).min(bytes.len());
        let piece = bytes.split_to(wanted);
        self.header.extend_from_slice(&piece);
        if self
            .header
            .iter()
            .zip(MAGIC)
            .any(|(byte, expected)| *byte != expected)
        {
            return Err(CodecError::Magic);
        }
        if self.header.len() < HEADER {
            return Ok(None);
        }
        let mut header = self.header.as_ref();
        header.advance(MAGIC.len());
        let (version, kind, length) = (header.get_u16(), header.get_u16(), header.get_u32());
        self.header.clear();
        if version != VERSION {
            return Err(CodecError::Version(version));
        }
        let kind = Kind::of(kind).ok_or(CodecError::Kind(kind))?;
        match usize::try_from(length) {
            Ok(size) if size <= self.limit => Ok(Some((kind, size))),
            _ => Err(CodecError::TooLarge(length)),
        }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
