//! The streams of a legacy session that are opened with GET: what the server says of its own accord, and the rest of an
//! answer whose stream broke off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::jsonrpc::{Key, Kind, Limits, is_batch, scan, split_batch};
use sallyport_mcp::method::Method;
use sallyport_net::http1::RequestHead;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{HttpError, judge_stream};
use super::endpoint::{LAST_EVENT, put};
use super::events::Events;
use super::session::{Answers, Hearing, Session};
use crate::upstream::backoff::Backoff;
use crate::upstream::changes::Changed;
use crate::upstream::inbox::{Respond, is_of_task};
use crate::upstream::pace::Pace;

/// The shortest time after which a stream is asked for again.
const RETRY_SHORTEST: Duration = Duration::from_millis(100);

/// A stream that lived so long did not fail.
const LIVED: Duration = Duration::from_secs(10);

/// Failures in a row after which no stream is asked for any more.
const GIVE_UP: u32 = 8;

/// How long whoever will hear something on a session's own stream waits for it to open.
const HEAR: Duration = Duration::from_secs(1);

impl Session {
    /// Goes on with an answer whose stream ended early: only servers that give their events ids can do that, and they may
    /// end streams at will (2025-11-25, Resumability and Redelivery; P-91).
    ///
    /// # Errors
    /// A fault when the rest of the answer is lost. The call is not repeated.
    pub(super) async fn resume(&self, broken: &Events, pace: &Pace) -> Result<Events, Fault> {
        let lost = || Fault::upstream("read the answer", "the stream ended before the answer");
        let last = broken.last_id().ok_or_else(lost)?;
        let wait = broken.retry().max(RETRY_SHORTEST).min(pace.left());
        sleep(wait).await;
        if pace.left().is_zero() {
            return Err(lost());
        }
        let mut head = self.get.clone();
        put(&mut head, &LAST_EVENT, last)?;
        let patience = self.ground.spec.limits.idle;
        let answer = self
            .endpoint
            .send_within(&self.ground.worker, &head, &[], patience)
            .await?;
        judge_stream(answer, self.endpoint.message_bytes)
            .map(|events| events.continuing(broken))
            .map_err(HttpError::into_fault)
    }

    /// Starts to listen to what the server says of its own accord, if it has a stream for that. Once is enough.
    pub(crate) fn listen(self: &Arc<Self>) {
        let first = self.hearing.send_if_modified(|hearing| {
            let first = *hearing == Hearing::Unasked;
            if first {
                *hearing = Hearing::Opening;
            }
            first
        });
        if !first {
            return;
        }
        let session = Arc::clone(self);
        self.ground.tasks.spawn(async move {
            tokio::select! {
                () = session.gone.cancelled() => {}
                () = session.ground.closing.cancelled() => {}
                () = session.follow() => session.unheard(),
            }
        });
    }

    /// Listens, and waits a moment for the stream to be open: what is told before that is lost.
    pub(crate) async fn hear(self: &Arc<Self>) {
        self.listen();
        let mut hearing = self.hearing.subscribe();
        let tried = hearing.wait_for(|hearing| *hearing == Hearing::Tried);
        // Some servers open it only when they have something to say.
        let _waited = timeout(HEAR, tried).await;
    }

    /// There is no stream, or none any more: what the server promised to tell is asked for from time to time.
    fn unheard(&self) {
        if self.tells.load(Ordering::Acquire) && !self.is_gone() {
            self.ground.hears(false);
            self.ground.changes.add(Changed::LISTS);
        }
    }

    async fn follow(self: &Arc<Self>) {
        let mut backoff = Backoff::default();
        let mut last: Option<Box<str>> = None;
        let mut was_open = false;
        while backoff.failures() < GIVE_UP {
            let began = Instant::now();
            let opened = self.open_stream(last.as_deref()).await;
            self.hearing.send_replace(Hearing::Tried);
            let wait = match opened {
                Ok(events) => {
                    was_open = true;
                    if self.tells.load(Ordering::Acquire) {
                        self.ground.hears(true);
                    }
                    let retry = self.take_all(events, &mut last).await;
                    if began.elapsed() >= LIVED {
                        backoff.succeeded();
                    }
                    if last.is_none() {
                        // What changes while nobody listens is not told again.
                        self.ground.changes.add(Changed::LISTS);
                    }
                    retry.max(backoff.failed(&*self.ground.deps.random))
                }
                Err(HttpError::Refused(refused)) if (400..500).contains(&refused.status) => {
                    // Where there was a stream, it is the session that is not there any more.
                    if refused.status == 404 && was_open {
                        self.gone.cancel();
                    }
                    return;
                }
                Err(_) => backoff.failed(&*self.ground.deps.random),
            };
            sleep(wait).await;
        }
    }

    async fn open_stream(&self, last: Option<&str>) -> Result<Events, HttpError> {
        let mut head: RequestHead = self.get.clone();
        if let Some(last) = last {
            put(&mut head, &LAST_EVENT, last)?;
        }
        // Some servers send the head only with the first event.
        let sent = self
            .endpoint
            .send_within(&self.ground.worker, &head, &[], Duration::MAX);
        judge_stream(sent.await?, self.endpoint.message_bytes)
    }

    /// Reads to the end; says how long to wait before coming back.
    async fn take_all(self: &Arc<Self>, mut events: Events, last: &mut Option<Box<str>>) -> Duration {
        let pace = Pace::stream();
        loop {
            match events.next(&pace).await {
                Ok(Some(event)) if event.is_message() => self.take_event(&event.data),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(fault) => {
                    tracing::debug!(server = %self.ground.spec.name, %fault, "a session's stream broke");
                    break;
                }
            }
        }
        if let Some(id) = events.last_id() {
            *last = Some(id.into());
        }
        events.retry().max(RETRY_SHORTEST)
    }

    fn take_event(self: &Arc<Self>, data: &Bytes) {
        if !is_batch(data) {
            return self.take_message(data);
        }
        match split_batch(data, &Limits::SERVER) {
            Ok(messages) => messages
                .into_iter()
                .for_each(|message| self.take_message(&data.slice_ref(message))),
            Err(_) => self.ground.counters.garbage.add(),
        }
    }

    fn take_message(self: &Arc<Self>, bytes: &Bytes) {
        let Ok(envelope) = scan(bytes, &Limits::SERVER) else {
            self.ground.counters.garbage.add();
            return;
        };
        match envelope.kind {
            Kind::Request => {
                let to: Arc<dyn Respond> = Arc::new(Answers(Arc::clone(self)));
                self.inbox.request_apart(&envelope, &self.running.all(), &to);
            }
            Kind::Notification if self.tell_call(&envelope, bytes) => {}
            Kind::Notification if envelope.called() == Method::Progress => {
                let token = envelope.params.as_ref().and_then(|p| p.get(Key::ProgressToken));
                if token.is_some_and(|token| self.has_token(token)) || is_of_task(&envelope) {
                    self.inbox.notification(&envelope, bytes);
                } else {
                    self.ground.counters.foreign_messages.add();
                }
            }
            Kind::Notification => self.inbox.notification(&envelope, bytes),
            // Answers come where they were asked for.
            Kind::Response => self.ground.counters.foreign_messages.add(),
        }
    }
}
