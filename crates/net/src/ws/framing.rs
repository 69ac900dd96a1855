//! tungstenite as a framing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes as Payload, Utf8Bytes};

use super::Options;
use crate::carrier::{CarrierError, Event, Farewell, Framing, Meter, Signs};

/// What is read at once.
const READ_BUFFER: usize = 16 * 1024;
/// How many bytes of small messages may share one write.
const WRITE_BUFFER: usize = 16 * 1024;

/// The limits as tungstenite takes them. What waits to be written is bounded by one message beyond the buffer: another
/// is taken only when that has been written.
pub(super) fn config(options: &Options) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(options.message_bytes))
        .max_frame_size(Some(options.message_bytes))
        .accept_unmasked_frames(false)
}

/// A WebSocket, after its handshake.
pub(super) struct WebSocket<T>(pub(super) WebSocketStream<Meter<T>>);

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    fn socket(&mut self) -> Pin<&mut WebSocketStream<Meter<T>>> {
        Pin::new(&mut self.0)
    }

    /// Queues a frame. What cannot be queued finds the connection broken, which the next flush or read tells.
    fn queue(&mut self, message: Message) {
        let _ = self.socket().start_send(message);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Framing for WebSocket<T> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        Poll::Ready(match ready!(self.socket().poll_next(cx)) {
            None | Some(Ok(Message::Close(_))) => Event::Bye,
            Some(Ok(Message::Text(text))) => Event::Message(text.into()),
            Some(Ok(Message::Binary(_))) => Event::Offence(
                Farewell::Unsupported,
                CarrierError::Offence("a binary message".to_owned()),
            ),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Event::Control,
            Some(Err(error)) => judge(error),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>> {
        self.socket().poll_ready(cx).map_err(failed)
    }

    fn start_send(&mut self, message: Bytes) -> Result<(), CarrierError> {
        let text = Utf8Bytes::try_from(message)
            .map_err(|_| CarrierError::Offence("a message of ours is not UTF-8".to_owned()))?;
        self.socket().start_send(Message::Text(text)).map_err(failed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>> {
        self.socket().poll_flush(cx).map_err(failed)
    }

    fn probe(&mut self) {
        self.queue(Message::Ping(Payload::new()));
    }

    fn farewell(&mut self, why: Farewell) {
        let code = match why {
            Farewell::Done => CloseCode::Normal,
            Farewell::Away => CloseCode::Away,
            Farewell::Protocol => CloseCode::Protocol,
            Farewell::Unsupported => CloseCode::Unsupported,
            Farewell::NotText => CloseCode::Invalid,
            Farewell::Policy => CloseCode::Policy,
            Farewell::TooLarge => CloseCode::Size,
        };
        let reason = Utf8Bytes::from_static(why.text());
        self.queue(Message::Close(Some(CloseFrame { code, reason })));
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(cx)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().poll_discard(cx)
    }

    fn signs(&self) -> Signs {
        self.0.get_ref().signs()
    }
}

/// The close code of an offence (RFC 6455 §7.4.1).
fn judge(error: Error) -> Event {
    let why = match &error {
        Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return Event::Cut(failed(error));
        }
        Error::Capacity(_) => Farewell::TooLarge,
        Error::Utf8(_) => Farewell::NotText,
        _ => Farewell::Protocol,
    };
    Event::Offence(why, failed(error))
}

fn failed(error: Error) -> CarrierError {
    match error {
        Error::Io(error) => CarrierError::Io(error),
        Error::ConnectionClosed | Error::AlreadyClosed => CarrierError::Closed,
        Error::Protocol(ProtocolError::SendAfterClosing) => CarrierError::Closed,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CarrierError::Cut,
        // The text holds the bytes that are no text: they are the peer's, not the log's.
        Error::Utf8(_) => CarrierError::Offence("a text message is not UTF-8".to_owned()),
        other => CarrierError::Offence(other.to_string()),
    }
}
