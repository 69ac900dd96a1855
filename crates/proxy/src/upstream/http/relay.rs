//! The answer to one call over HTTP: what belongs to it is passed on, everything else is dropped and counted (SS-04).

use std::collections::VecDeque;
use std::future::Future;
use std::iter;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream;
use sallyport_core::fault::{Fault, Retry};
use sallyport_mcp::json::Span;
use sallyport_mcp::jsonrpc::{Envelope, Key, Kind, Limits, is_batch, plain_progress, scan, split_batch};
use sallyport_mcp::method::Method;
use sallyport_mcp::sse::Event;
use sallyport_net::http1::{Answer, AnswerBody};

use super::answer::Got;
use super::events::Events;
use super::long;
use super::session::{Answers, Session};
use crate::exchange::{Message, ProgressNote, Reply};
use crate::progress;
use crate::upstream::changes::Changed;
use crate::upstream::ground::Ground;
use crate::upstream::ids::{Claimed, Ids};
use crate::upstream::inbox::{Respond, is_of_task, level_of};
use crate::upstream::outgoing::{Logs, Outgoing, answer, replaced};
use crate::upstream::pace::{Pace, Questions};

/// How much progress is passed on at once: as many notifications as a busy server writes at once, and no more bytes than
/// one read may bring.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: usize = 64 << 10;

/// How much of it there is room for at first.
const USUAL: usize = 16;

/// What the calls of one use of a server have in common: one thing to hold, because threads that count who holds it wait for
/// each other.
pub(super) struct Home {
    pub(super) ground: Arc<Ground>,
    ids: Ids,
}

impl Home {
    /// Of a use with no call yet.
    pub(super) fn new(ground: &Arc<Ground>) -> Arc<Self> {
        Arc::new(Self {
            ground: Arc::clone(ground),
            ids: Ids::default(),
        })
    }
}

/// One call that runs at a server.
pub(super) struct Call {
    home: Arc<Home>,
    /// The id under which the server knows it, and the one that the answer is to bear.
    claimed: Claimed,
    id: Bytes,
    token: Option<Bytes>,
    logs: Logs,
    /// Whose call it is, in the legacy era: its server may ask questions, and is told of a cancellation.
    session: Option<Arc<Session>>,
    pace: Pace,
    /// The server may be working on it.
    running: bool,
}

impl Call {
    pub(super) fn new(home: &Arc<Home>, outgoing: &Outgoing<'_>, session: Option<&Arc<Session>>) -> Self {
        Self {
            home: Arc::clone(home),
            claimed: home.ids.claim(&outgoing.id),
            id: outgoing.id.clone(),
            token: outgoing.token.clone(),
            logs: outgoing.logs,
            session: session.map(Arc::clone),
            pace: Pace::start(&home.ground.spec.limits),
            running: false,
        }
    }

    /// A stream of notifications: it may be silent for long.
    pub(super) fn without_deadline(mut self) -> Self {
        self.pace = Pace::stream();
        self
    }

    /// The raw id to send.
    pub(super) fn sent_id(&self) -> &Bytes {
        self.claimed.sent()
    }

    /// The request is being written: from now on, giving the call up means cancelling it.
    pub(super) fn begin(&mut self) {
        self.running = true;
    }

    /// The server will not work on it, or no more.
    pub(super) fn settle(&mut self) {
        self.running = false;
    }

    /// The answer to the request that was sent, as far as it has come. What did not reach the server needs no cancelling.
    ///
    /// # Errors
    /// The fault of sending, as it came.
    pub(super) fn sent(&mut self, answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
        answer.inspect_err(|fault| {
            if fault.retry == Retry::Safe {
                self.settle();
            }
        })
    }

    /// Waits within the time that the whole call may take.
    ///
    /// # Errors
    /// A fault when it is over.
    pub(super) async fn within<F: Future>(&self, future: Pin<&mut F>) -> Result<F::Output, Fault> {
        self.pace.within(future).await
    }

    /// Waits for the server's next sign of life.
    ///
    /// # Errors
    /// A fault when it is silent for too long, or the time that the whole call may take is over.
    pub(super) async fn wait<F: Future>(&self, sign: F) -> Result<F::Output, Fault> {
        self.pace.wait(sign).await
    }

    /// Its open questions.
    pub(super) fn questions(&self) -> &Questions {
        self.pace.questions()
    }

    /// The reply of one JSON text.
    ///
    /// # Errors
    /// A fault when it is no answer to this call.
    pub(super) fn whole_reply(mut self, body: BytesMut) -> Result<Reply, Fault> {
        self.settle();
        self.whole(body).map(Reply::Whole)
    }

    /// Turns an answer into a reply. `kept` lives as long as the call.
    ///
    /// # Errors
    /// A fault when the answer is none to this call.
    pub(super) async fn reply<K: Send + 'static>(mut self, got: Got, kept: K) -> Result<Reply, Fault> {
        match got {
            Got::Json(body) => self.whole_reply(body),
            Got::Begun(begin, rest) => {
                self.settle();
                Box::pin(self.long(begin, *rest, kept)).await
            }
            Got::Events(events) => Box::pin(self.stream(events, kept)).await,
            Got::Accepted => {
                self.settle();
                Err(Fault::upstream(
                    "read the answer",
                    "the server did not answer a request",
                ))
            }
        }
    }

    /// A response that is still coming: passed on as it comes if it is written in the usual order, else waited for.
    async fn long<K: Send + 'static>(
        self,
        begin: BytesMut,
        rest: AnswerBody,
        kept: K,
    ) -> Result<Reply, Fault> {
        let Some(span) = long::id_in(&begin, self.sent_id(), self.session.is_none()) else {
            let limit = self.message_bytes();
            let body = self.within(pin!(rest.whole_from(begin, limit))).await??;
            return self.whole(body).map(Reply::Whole);
        };
        let relabelled = |call: &Self, begin| call.relabelled(begin, span);
        long::long(self, begin, rest, relabelled, kept).map(Reply::Long)
    }

    /// The message with the id that the client waits for.
    fn relabelled(&self, message: BytesMut, id: Span) -> Bytes {
        if self.claimed.is_own() {
            message.freeze()
        } else {
            replaced_within(message, id, &self.id)
        }
    }

    /// The raw id that the answer is to bear.
    pub(super) fn id(&self) -> &Bytes {
        &self.id
    }

    /// The longest answer, in bytes.
    pub(super) fn message_bytes(&self) -> usize {
        self.home.ground.spec.limits.message_bytes
    }

    /// Counts what is no message.
    pub(super) fn garbage(&self) {
        self.home.ground.counters.garbage.add();
    }

    /// The response in a JSON body. Nearly every one is the response alone.
    fn whole(&self, body: BytesMut) -> Result<Bytes, Fault> {
        let envelope = scan(&body, &Limits::SERVER);
        let answered = envelope
            .ok()
            .filter(|envelope| envelope.kind == Kind::Response && !envelope.has_others);
        if let Some(span) = answered.and_then(|envelope| envelope.id)
            && span.of(&body) == *self.sent_id()
        {
            return Ok(self.relabelled(body, span));
        }
        let bytes = body.freeze();
        let mut messages = self.messages(&bytes);
        let terminal = messages.find_map(|message| match message {
            Message::Terminal(bytes) => Some(bytes),
            Message::Notification(_) | Message::Progress(_) | Message::Question(_) => None,
        });
        terminal.ok_or_else(|| Fault::upstream("read the answer", "it does not answer what was asked"))
    }

    /// What the bytes say about this call.
    fn messages<'a>(&'a self, bytes: &'a Bytes) -> impl Iterator<Item = Message> + 'a {
        let batch = (self.session.is_some() && is_batch(bytes))
            .then(|| split_batch(bytes, &Limits::SERVER).unwrap_or_default());
        let single = batch.is_none().then(|| bytes.clone());
        let parts = batch
            .unwrap_or_default()
            .into_iter()
            .map(|part| bytes.slice_ref(part));
        single
            .into_iter()
            .chain(parts)
            .filter_map(|part| self.message(&part))
    }

    /// The step of this call's progress that the bytes plainly are; `Ok(None)` for another call's.
    ///
    /// # Errors
    /// What the bytes are has to be found out by a scan.
    fn own_progress(&self, bytes: Bytes) -> Result<Option<ProgressNote>, Bytes> {
        let Some(plain) = plain_progress(&bytes) else {
            return Err(bytes);
        };
        if Some(plain.token) != self.token.as_deref() {
            self.home.ground.counters.foreign_messages.add();
            return Ok(None);
        }
        let value = plain.progress.and_then(progress::number);
        let message = bytes;
        Ok(Some(ProgressNote { message, value }))
    }

    fn message(&self, bytes: &Bytes) -> Option<Message> {
        let Ok(envelope) = scan(bytes, &Limits::SERVER) else {
            self.home.ground.counters.garbage.add();
            return None;
        };
        let message = match envelope.kind {
            Kind::Response => self.response(&envelope, bytes),
            Kind::Notification => return self.notification(&envelope, bytes),
            Kind::Request => return self.question(&envelope),
        };
        if message.is_none() {
            self.home.ground.counters.foreign_messages.add();
        }
        message
    }

    fn response(&self, envelope: &Envelope<'_>, bytes: &Bytes) -> Option<Message> {
        let span = envelope.id?;
        if span.of(bytes) != *self.sent_id() {
            return None;
        }
        let answer = if self.claimed.is_own() && !envelope.has_others {
            bytes.clone()
        } else {
            answer(envelope, &self.id)
        };
        Some(Message::Terminal(answer))
    }

    fn notification(&self, envelope: &Envelope<'_>, bytes: &Bytes) -> Option<Message> {
        let method = envelope.called();
        let passes = match method {
            Method::Progress => {
                let token = envelope.params.as_ref().and_then(|p| p.get(Key::ProgressToken));
                let own = token.is_some() && token == self.token.as_deref();
                if let Some(session) = self.session.as_ref().filter(|_| !own && is_of_task(envelope)) {
                    session.inbox.notification(envelope, bytes);
                    return None;
                }
                own
            }
            Method::LogMessage => self.logs.take(level_of(envelope)),
            Method::ToolsChanged | Method::PromptsChanged | Method::ResourcesChanged
                if self.is_listening() =>
            {
                true
            }
            Method::ToolsChanged | Method::PromptsChanged | Method::ResourcesChanged => {
                if let Some(changed) = Changed::of(method) {
                    self.home.ground.changes.add(changed);
                }
                return None;
            }
            Method::ResourceUpdated
            | Method::ElicitationComplete
            | Method::Cancelled
            | Method::TaskStatus => {
                if let Some(session) = &self.session {
                    session.inbox.notification(envelope, bytes);
                    return None;
                }
                method == Method::ResourceUpdated && self.is_listening()
            }
            Method::SubscriptionsAcknowledged | Method::Tasks => self.is_listening(),
            Method::Unknown => true,
            _ => false,
        };
        if !passes {
            self.home.ground.counters.foreign_messages.add();
        }
        passes.then(|| Message::Notification(bytes.clone()))
    }

    /// Whether this is a listen stream of a modern server, which bears what other streams may not.
    fn is_listening(&self) -> bool {
        self.session.is_none() && self.logs == Logs::Listen
    }

    /// A modern server may not ask (2026-07-28, Multi Round-Trip Requests).
    fn question(&self, envelope: &Envelope<'_>) -> Option<Message> {
        let Some(session) = &self.session else {
            self.home.ground.counters.foreign_messages.add();
            return None;
        };
        let open = self.pace.questions().open();
        let to: Arc<dyn Respond> = Arc::new(Answers(Arc::clone(session)));
        let question = session.inbox.question(envelope, open, &to)?;
        Some(Message::Question(question))
    }

    /// The first message decides: an answer that comes at once is no stream.
    async fn stream<K: Send + 'static>(self, events: Box<Events>, kept: K) -> Result<Reply, Fault> {
        let mut relay = Relay {
            call: self,
            events: Some(events),
            waiting: VecDeque::new(),
        };
        let first = match relay.next().await? {
            Message::Terminal(bytes) => return Ok(Reply::Whole(bytes)),
            first => first,
        };
        let state = Some((relay, Some(first), kept));
        let messages = stream::unfold(state, |state| async move {
            let (mut relay, first, kept) = state?;
            let message = match first {
                Some(first) => Ok(first),
                None => relay.next().await,
            };
            let more = !matches!(message, Err(_) | Ok(Message::Terminal(_)));
            Some((message, more.then_some((relay, None, kept))))
        });
        Ok(Reply::Stream(Box::pin(messages)))
    }
}

impl Drop for Call {
    /// Given up while the server works: a legacy server is told, a modern one sees its stream close.
    fn drop(&mut self) {
        if self.running
            && let Some(session) = &self.session
        {
            session.cancel(self.sent_id());
        }
        self.home.ids.release(&self.claimed);
    }
}

/// A stream of events that answers one call.
struct Relay {
    call: Call,
    events: Option<Box<Events>>,
    /// Messages that have come already: of a batch, or after progress.
    waiting: VecDeque<Message>,
}

impl Relay {
    /// The next message about the call.
    ///
    /// # Errors
    /// A fault when the stream breaks or ends before the answer; the call is not repeated.
    async fn next(&mut self) -> Result<Message, Fault> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                if matches!(message, Message::Terminal(_)) {
                    self.call.settle();
                    if let Some(events) = self.events.take() {
                        events.finish();
                    }
                }
                return Ok(message);
            }
            let ended = || Fault::upstream("read the answer", "the stream ended before the answer");
            let events = self.events.as_mut().ok_or_else(ended)?;
            match events.next(&self.call.pace).await? {
                Some(event) if event.is_message() => {
                    let progress = self.progress(event.data);
                    if !progress.is_empty() {
                        return Ok(Message::Progress(progress));
                    }
                }
                Some(_) => {}
                None => {
                    let broken = self.events.take().ok_or_else(ended)?;
                    let session = self.call.session.as_ref().ok_or_else(ended)?;
                    let rest = session.resume(&broken, &self.call.pace).await?;
                    self.events = Some(Box::new(rest));
                }
            }
        }
    }
    /// The progress in this event and in those that came with it. What it finds besides waits.
    fn progress(&mut self, first: Bytes) -> Vec<ProgressNote> {
        let mut together = Vec::with_capacity(USUAL);
        let (mut bytes, mut data) = (0, first);
        loop {
            match self.call.own_progress(data) {
                Ok(Some(step)) => {
                    bytes += step.message.len();
                    together.push(step);
                }
                Ok(None) => {}
                Err(data) => {
                    self.waiting.extend(self.call.messages(&data));
                    return together;
                }
            }
            if together.len() >= TOGETHER || bytes >= TOGETHER_BYTES {
                return together;
            }
            let events = self.events.as_mut();
            let next = events.and_then(|events| {
                // A broken stream is told of when more is asked for.
                iter::from_fn(|| events.ready().ok().flatten()).find(Event::is_message)
            });
            match next {
                Some(event) => data = event.data,
                None => return together,
            }
        }
    }
}

/// As [`replaced`], in the message's own memory: whichever is shorter, what stands before the place or what stands behind
/// it, moves.
fn replaced_within(mut bytes: BytesMut, span: Span, with: &[u8]) -> Bytes {
    let Some(spare) = span.len().checked_sub(with.len()) else {
        return replaced(&bytes, span, with);
    };
    let (start, end) = (span.start(), span.end());
    let is_early = start < bytes.len().saturating_sub(end);
    let at = if is_early { start + spare } else { start };
    if let Some(place) = bytes.get_mut(at..at + with.len()) {
        place.copy_from_slice(with);
    }
    if is_early {
        bytes.copy_within(..start, spare);
        bytes.advance(spare);
    } else {
        bytes.copy_within(end.., start + with.len());
        bytes.truncate(bytes.len() - spare);
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_03_an_id_goes_back_without_a_copy_where_it_fits() {
        let long = "x".repeat(50);
        for message in [
            format!(r#"{{"id":"sallyport-7","result":"{long}"}}"#),
            format!(r#"{{"result":"{long}","id":"sallyport-7"}}"#),
            format!(r#"{{"id":"sallyport-7","result":"{long}","id2":"sallyport-7"}}"#),
        ] {
            let start = message.find("\"sally").unwrap_or_default();
            let span = Span::new(start, start + r#""sallyport-7""#.len());
            for id in ["1", r#""thirteen--!""#, r#""longer than the one of ours""#] {
                let body = BytesMut::from(message.as_bytes());
                let expected = message.replacen(r#""sallyport-7""#, id, 1);
                assert_eq!(replaced_within(body, span, id.as_bytes()), expected);
            }
        }
    }
}
