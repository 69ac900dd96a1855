//! A peer of a WebSocket that sends exactly the frames it is told.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Options;
use super::framing::{WebSocket, config};
use crate::Duplex;
use crate::carrier::{self, Meter, Terms};

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8a;

/// A frame as a client sends it: masked.
pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = head(first, payload.len() as u64, 0x80);
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// A frame as a server sends it: bare.
pub(super) fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64, 0);
    frame.extend(payload);
    frame
}

/// The head of a frame up to its mask, whatever follows.
pub(super) fn head(first: u8, length: u64, mask: u8) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..=125 => frame.push(mask | length as u8),
        126..=0xffff => {
            frame.push(mask | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend(length.to_be_bytes());
        }
    }
    frame
}

/// Reads one bare frame; `None` at the end of the connection.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()? as usize,
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}

/// Reads up to the Close frame and the end behind it; the code.
pub(super) async fn closed(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<u16> {
    let code = loop {
        let (first, payload) = read(stream).await?;
        if first == CLOSE {
            break u16::from_be_bytes([payload[0], payload[1]]);
        }
    };
    // As a browser does: the answer to the Close, then our end after theirs.
    let _ = stream.write_all(&masked(CLOSE, &code.to_be_bytes())).await;
    assert_eq!(read(stream).await, None, "nothing follows a Close");
    let _ = stream.shutdown().await;
    Some(code)
}

/// One end of ours, and the bare other one.
pub(super) async fn pair(role: Role, options: Options, room: usize) -> (Duplex, DuplexStream) {
    let (ours, theirs) = duplex(room);
    let socket = WebSocketStream::from_raw_socket(Meter::new(ours), role, Some(config(&options))).await;
    let terms = Terms {
        blame: sallyport_core::fault::Blame::Client,
        pace: options.pace,
        reason: options.reason,
    };
    (carrier::duplex(WebSocket(socket), terms), theirs)
}
