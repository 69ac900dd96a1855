//! The framed TCP protocol as its other end would write it: kept apart from the gateway's own codec, so that each checks
//! the other.
//!
//! A frame is `MCPB`, version 1, type and length (all big-endian), then the payload.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a frame begins with.
pub const MAGIC: [u8; 4] = *b"MCPB";
/// The only version there is.
pub const VERSION: u16 = 1;
/// The longest payload, in bytes.
pub const LONGEST: u32 = 10 * 1024 * 1024;

/// A request or notification.
pub const REQUEST: u16 = 1;
/// A response.
pub const RESPONSE: u16 = 2;
/// Says something about the connection.
pub const CONTROL: u16 = 3;
/// Asks whether the other end lives.
pub const HEALTH: u16 = 4;
/// What went wrong, as text.
pub const ERROR: u16 = 5;
/// The versions that a client speaks.
pub const NEGOTIATE: u16 = 6;
/// The version that is spoken.
pub const AGREED: u16 = 7;
/// The token of the client.
pub const AUTH: u16 = 8;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u16,
    /// What it carries.
    pub payload: Bytes,
}

impl Frame {
    /// A frame.
    #[must_use]
    pub fn new(kind: u16, payload: impl Into<Bytes>) -> Self {
        Self {
            kind,
            payload: payload.into(),
        }
    }

    /// The frame of a JSON-RPC message: a response has neither method nor question.
    #[must_use]
    pub fn message(message: Bytes) -> Self {
        let value: serde_json::Value = serde_json::from_slice(&message).unwrap_or_default();
        let kind = if value.get("method").is_some() {
            REQUEST
        } else {
            RESPONSE
        };
        Self::new(kind, message)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(12 + self.payload.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Reads the next frame; `None` at the end of the connection.
    ///
    /// # Errors
    /// When the connection breaks inside a frame, or when what comes is none.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut magic = [0; 4];
        let first = from.read(&mut magic).await?;
        if first == 0 {
            return Ok(None);
        }
        if let Some(rest) = magic.get_mut(first..) {
            from.read_exact(rest).await?;
        }
        let (version, kind) = (from.read_u16().await?, from.read_u16().await?);
        let length = from.read_u32().await?;
        if magic != MAGIC || version != VERSION || length > LONGEST {
            let what = format!("no frame: {magic:?}, version {version}, {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
        from.read_exact(&mut payload).await?;
        Ok(Some(Self::new(kind, payload)))
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.bytes()).await?;
        to.flush().await
    }
}

/// The payload of an [`AUTH`] frame: who is there, and when it was said (Unix time, seconds).
#[must_use]
pub fn auth(token: &str, client: [u8; 16], timestamp: u64) -> Vec<u8> {
    let length = u32::try_from(token.len()).unwrap_or(u32::MAX);
    [
        length.to_be_bytes().as_slice(),
        token.as_bytes(),
        &client,
        &timestamp.to_be_bytes(),
    ]
    .concat()
}

/// The token of an [`AUTH`] payload that has exactly the fields it should have.
#[must_use]
pub fn token(payload: &[u8]) -> Option<&str> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (rest.len() == length.checked_add(24)?).then_some(())?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_reads_back_and_garbage_does_not() {
        let frame = Frame::message(Bytes::from_static(br#"{"id":1,"result":{}}"#));
        assert_eq!(frame.kind, RESPONSE);
        let bytes = frame.bytes();
        assert_eq!(&bytes[..12], b"MCPB\x00\x01\x00\x02\x00\x00\x00\x14");
        let mut reader = bytes.as_slice();
        assert_eq!(Frame::read(&mut reader).await.unwrap(), Some(frame));
        assert_eq!(Frame::read(&mut reader).await.unwrap(), None);
        assert!(Frame::read(&mut b"GET / HTTP/1.1\r\n".as_slice()).await.is_err());
        assert!(Frame::read(&mut bytes.get(..20).unwrap()).await.is_err());
    }

    #[test]
    fn tokens_are_read_from_whole_payloads_only() {
        let payload = auth("secret", [7; 16], 1_700_000_000);
        assert_eq!(token(&payload), Some("secret"));
        assert_eq!(token(&payload[..payload.len() - 1]), None);
        assert_eq!(token(&[0xff; 40]), None);
    }
}
