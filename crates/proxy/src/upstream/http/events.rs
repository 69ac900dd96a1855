//! A stream of server-sent events from a server.

use std::time::Duration;

use futures_util::FutureExt as _;
use sallyport_core::fault::Fault;
use sallyport_mcp::sse::{Event, Parser, SseLimits};
use sallyport_net::http1::AnswerBody;

use crate::upstream::pace::Pace;

/// The time after which to come back where the server names none.
const RETRY: Duration = Duration::from_secs(1);

/// The longest time after which to come back, whatever the server says.
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// How long, and how far, a stream is read on after its answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 << 10;

/// Events as they come.
pub(crate) struct Events {
    body: AnswerBody,
    parser: Parser,
    last_id: Option<Box<str>>,
    retry: Duration,
}

impl Events {
    /// Reads events from a body; one event is at most `event_bytes` long.
    pub(super) fn new(mut body: AnswerBody, event_bytes: usize) -> Self {
        // Silence is judged by the caller, who knows whether somebody thinks about a question.
        body.set_idle(Duration::MAX);
        let limits = SseLimits {
            event_bytes,
            ..SseLimits::default()
        };
        Self {
            body,
            parser: Parser::new(limits),
            last_id: None,
            retry: RETRY,
        }
    }

    /// The next event; `None` at the end of the stream. Anything that comes is a sign of life, comments too.
    ///
    /// # Errors
    /// A fault when the stream breaks, is silent for too long, or an event is too long (SS-03).
    pub(super) async fn next(&mut self, pace: &Pace) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.ready()? {
                return Ok(Some(event));
            }
            match pace.wait(self.body.next()).await? {
                Some(piece) => self.parser.push(&piece?),
                None => return Ok(None),
            }
        }
    }

    /// The next event, if it has come already.
    ///
    /// # Errors
    /// A fault when an event is too long, and again on every later call.
    pub(super) fn ready(&mut self) -> Result<Option<Event>, Fault> {
        let parsed = self.parser.next_event();
        let event = parsed.map_err(|error| Fault::upstream("read the answer", error))?;
        if let Some(event) = &event {
            if event.id.is_some() {
                self.last_id.clone_from(&event.id);
            }
            if let Some(retry) = event.retry_ms {
                self.retry = Duration::from_millis(retry).min(RETRY_LONGEST);
            }
        }
        Ok(event)
    }

    /// The answer has come: reads to the end, which usually is there already, so that the connection can be used again.
    pub(super) fn finish(mut self) {
        match self.body.next().now_or_never() {
            Some(None | Some(Err(_))) => {}
            Some(Some(Ok(_))) | None => {
                tokio::spawn(async move {
                    // A server that goes on talking loses the connection.
                    let _end = tokio::time::timeout(LINGER, self.body.whole(LINGER_BYTES)).await;
                });
            }
        }
    }

    /// The id after which the stream can be resumed, if the server gives ids.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long to wait before coming back.
    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    /// Goes on after another stream ended.
    pub(super) fn continuing(mut self, ended: &Self) -> Self {
        if self.last_id.is_none() {
            self.last_id.clone_from(&ended.last_id);
        }
        self.retry = ended.retry;
        self
    }
}
