//! What every carrier of messages has in common, whatever frames them: two directions over one connection, signs of
//! life, peers that do not read, and an end in good order. [`ws`](crate::ws) and [`framed`](crate::framed) are such
//! framings.

mod bucket;
mod line;
mod meter;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Blame;
use thiserror::Error;
use tokio::time::Instant;

pub(crate) use bucket::Bucket;
pub(crate) use line::duplex;
pub(crate) use meter::Meter;

/// Why a connection is ended, as the peer is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Farewell {
    /// Nothing more is to be said.
    Done,
    /// This side stops.
    Away,
    /// The peer broke the rules of the framing.
    Protocol,
    /// The peer sent a kind of message that is not taken.
    Unsupported,
    /// A message is not text.
    NotText,
    /// The peer may not be here, or does too much.
    Policy,
    /// A message is longer than the limit.
    TooLarge,
}

impl Farewell {
    /// The reason in words, for the peer.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Away => "the gateway stops",
            Self::Protocol => "the framing is broken",
            Self::Unsupported => "only text messages are taken",
            Self::NotText => "a message is not UTF-8",
            Self::Policy => "not allowed, or too much",
            Self::TooLarge => "a message is too large",
        }
    }
}

/// Who knows why a connection is closed when its user closes it: asked at that moment.
pub type Reason = Arc<dyn Fn() -> Farewell + Send + Sync>;

/// What ended a connection that carries messages: the source of its [`Fault`](sallyport_core::fault::Fault).
#[derive(Debug, Error)]
pub enum CarrierError {
    /// It ended without a word.
    #[error("the connection ended early")]
    Cut,
    /// It is closed already.
    #[error("the connection is closed")]
    Closed,
    /// It failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer broke a rule.
    #[error("the peer broke the framing: {0}")]
    Offence(String),
    /// The peer ended the conversation with an error of its own.
    #[error("the peer reports: {0}")]
    Reported(String),
    /// Nothing was heard of the peer for too long.
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// The peer does not read what it is sent.
    #[error("the peer takes nothing for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The peer sends nothing but signs of life, too fast.
    #[error("too many control frames")]
    Flood,
}

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message.
    Message(Bytes),
    /// A frame of the framing's own; what answers it has been queued.
    Control,
    /// The peer closed in good order; what answers that has been queued.
    Bye,
    /// The connection ended without a word.
    Cut(CarrierError),
    /// The peer broke a rule, or has to leave.
    Offence(Farewell, CarrierError),
}

/// What frames messages on one connection. Queued frames are written by [`Framing::poll_flush`].
pub(crate) trait Framing: Send + Unpin + 'static {
    /// The next thing from the peer.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event>;
    /// Whether there is room for another message.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>>;
    /// Queues a message.
    fn start_send(&mut self, message: Bytes) -> Result<(), CarrierError>;
    /// Writes all that is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>>;
    /// Queues the question whether the peer is still there.
    fn probe(&mut self);
    /// Queues the last words.
    fn farewell(&mut self, why: Farewell);
    /// Ends our direction.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads and throws away until the peer ends its direction.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// When a byte came last, and when one was last taken by the peer.
    fn signs(&self) -> Signs;
}

/// The last signs of life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// When a byte came last.
    pub(crate) heard: Instant,
    /// When the peer last took a byte.
    pub(crate) taken: Instant,
}

/// The times of a connection that carries messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often the peer is asked for a sign of life: 25 s, because proxies and address translators on the way forget
    /// silent connections after 30 s and more.
    pub probe: Duration,
    /// How long nothing may be heard: 60 s, two unanswered questions.
    pub silence: Duration,
    /// How long the peer may take nothing of what waits for it: 30 s, as over HTTP.
    pub stall: Duration,
    /// How long the end may take, from the last word on: 2 s.
    pub linger: Duration,
    /// How many control frames may come at once; one more is earned each second. 60 is a ping a second for a peer that
    /// was held up for a minute, and a hundred times what clients send.
    pub control_burst: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(25),
            silence: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            control_burst: 60,
        }
    }
}

/// What a connection is run with.
pub(crate) struct Terms {
    /// Whose fault a failure is.
    pub(crate) blame: Blame,
    /// Its times.
    pub(crate) pace: Pace,
    /// Who knows why it is closed; `None` is [`Farewell::Done`].
    pub(crate) reason: Option<Reason>,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
