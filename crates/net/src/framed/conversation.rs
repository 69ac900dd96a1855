//! A connection of frames, before and after its first message.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::codec::{self, CodecError, Decoder, Frame, Kind};
use super::hello::MAX_HELLO;
use crate::carrier::{CarrierError, Event, Farewell, Framing, Meter, Signs};

/// What is read at once.
const READ_BUFFER: usize = 16 * 1024;
/// How many bytes of small messages may share one write; another message is taken only below that.
const WRITE_BUFFER: usize = 16 * 1024;
/// What is kept of a peer's words for the log, in letters.
const REPORTED: usize = 200;

/// What becomes of an AUTH frame within a conversation; the error is what the peer is told.
pub(super) type Renew = Box<dyn Fn(&[u8]) -> Renewal + Send>;

/// A token that is being judged.
pub(super) type Renewal = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A connection of frames.
pub(super) struct Framed<T> {
    stream: Meter<T>,
    decoder: Decoder,
    inbox: BytesMut,
    outbox: BytesMut,
    /// Questions for health that were not answered yet: what comes next of that type is an answer. Two sides that answered
    /// each other's answers would never stop.
    asked: u32,
    renew: Option<Renew>,
    /// A token that is being judged: nothing more is read meanwhile.
    renewal: Option<Renewal>,
    /// Better words for the end than those of [`Farewell`].
    words: Option<String>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Framed<T> {
    pub(super) fn new(stream: T) -> Self {
        Self {
            stream: Meter::new(stream),
            decoder: Decoder::new(MAX_HELLO),
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            asked: 0,
            renew: None,
            renewal: None,
            words: None,
        }
    }

    /// The hello is over: messages may be longer, and tokens are renewed by this.
    pub(super) fn open(&mut self, message_bytes: usize, renew: Option<Renew>) {
        self.decoder.set_limit(message_bytes);
        self.renew = renew;
    }

    /// Queues a frame.
    pub(super) fn queue(&mut self, kind: Kind, payload: &[u8]) -> bool {
        codec::encode(kind, payload, &mut self.outbox)
    }

    /// The next frame; `None` where the peer ended in good order, between two.
    pub(super) async fn read(&mut self) -> Result<Option<Frame>, Broken> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_all(cx)).await
    }

    /// The last word, and the end.
    pub(super) async fn dismiss(&mut self, words: &str) {
        self.queue(Kind::Error, words.as_bytes());
        let ended = async {
            self.flush().await?;
            poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await
        };
        if ended.await.is_ok() {
            poll_fn(|cx| self.stream.poll_discard(cx)).await;
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Broken>> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.inbox).map_err(Broken::Codec)? {
                return Poll::Ready(Ok(Some(frame)));
            }
            self.inbox.reserve(READ_BUFFER);
            let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.inbox);
            match ready!(read).map_err(Broken::Io)? {
                0 if self.decoder.is_between() => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(Broken::Cut)),
                _ => {}
            }
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(written);
        }
        // A large answer's buffer is not kept for the next small one.
        if self.outbox.capacity() > 2 * WRITE_BUFFER {
            self.outbox = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn judge(&mut self, frame: Frame) -> Event {
        match frame.kind {
            Kind::Request | Kind::Response => Event::Message(frame.payload),
            Kind::Control => Event::Control,
            Kind::Health => {
                match self.asked.checked_sub(1) {
                    Some(left) => self.asked = left,
                    None => {
                        self.queue(Kind::Health, &frame.payload);
                    }
                }
                Event::Control
            }
            Kind::Error => Event::Cut(CarrierError::Reported(words(&frame.payload))),
            Kind::Auth | Kind::Negotiate | Kind::Agreed => unexpected(),
        }
    }

    fn renewed(&mut self, done: Result<(), String>) -> Event {
        self.renewal = None;
        match done {
            Ok(()) => Event::Control,
            Err(words) => {
                self.words = Some(words.clone());
                Event::Offence(Farewell::Policy, CarrierError::Offence(words))
            }
        }
    }
}

/// What it means that there is no further frame.
fn ended(read: Result<Option<Frame>, Broken>) -> Event {
    match read {
        Ok(_) => Event::Bye,
        Err(Broken::Codec(error)) => {
            let why = match error {
                CodecError::TooLarge(_) => Farewell::TooLarge,
                _ => Farewell::Protocol,
            };
            Event::Offence(why, CarrierError::Offence(error.to_string()))
        }
        Err(broken) => Event::Cut(broken.into()),
    }
}

fn unexpected() -> Event {
    let error = CarrierError::Offence("a frame out of turn".to_owned());
    Event::Offence(Farewell::Protocol, error)
}

/// Why no frame can be read.
#[derive(Debug)]
pub(super) enum Broken {
    Cut,
    Io(io::Error),
    Codec(CodecError),
}

impl From<Broken> for CarrierError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Cut => Self::Cut,
            Broken::Io(error) => Self::Io(error),
            Broken::Codec(error) => Self::Offence(error.to_string()),
        }
    }
}

/// The beginning of a peer's words, fit for a log.
pub(super) fn words(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.chars().filter(|c| !c.is_control()).take(REPORTED).collect()
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Framing for Framed<T> {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.renewal.is_none() {
            match ready!(self.poll_frame(cx)) {
                Ok(Some(frame)) => match self.renew.as_ref().filter(|_| frame.kind == Kind::Auth) {
                    Some(renew) => self.renewal = Some(renew(&frame.payload)),
                    None => return Poll::Ready(self.judge(frame)),
                },
                other => return Poll::Ready(ended(other)),
            }
        }
        let Some(renewal) = &mut self.renewal else {
            return Poll::Pending;
        };
        let done = ready!(renewal.as_mut().poll(cx));
        Poll::Ready(self.renewed(done))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>> {
        if self.outbox.len() < WRITE_BUFFER {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_all(cx).map_err(CarrierError::Io)
    }

    fn start_send(&mut self, message: Bytes) -> Result<(), CarrierError> {
        if self.queue(kind_of(&message), &message) {
            Ok(())
        } else {
            let too_long = "a message of ours is longer than a frame may be";
            Err(CarrierError::Offence(too_long.to_owned()))
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>> {
        self.poll_write_all(cx).map_err(CarrierError::Io)
    }

    fn probe(&mut self) {
        self.asked = self.asked.saturating_add(1);
        self.queue(Kind::Health, b"");
    }

    fn farewell(&mut self, why: Farewell) {
        if let Some(words) = self.words.take() {
            self.queue(Kind::Error, words.as_bytes());
        } else if why != Farewell::Done {
            self.queue(Kind::Error, why.text().as_bytes());
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_discard(cx)
    }

    fn signs(&self) -> Signs {
        self.stream.signs()
    }
}

/// The type of a message's frame. What is neither is sent as a request, and read by its peer whatever the type says.
fn kind_of(message: &[u8]) -> Kind {
    #[derive(Deserialize)]
    struct Shape {
        method: Option<IgnoredAny>,
    }
    match serde_json::from_slice(message) {
        Ok(Shape { method: None }) => Kind::Response,
        Ok(Shape { method: Some(_) }) | Err(_) => Kind::Request,
    }
}
