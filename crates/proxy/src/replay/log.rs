//! One stream: the events that were said on it, and the one reader that hears them.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sallyport_core::{Clock, Timestamp};
use sallyport_mcp::sse;
use tokio::sync::Notify;

use super::RETRY_MS;
use super::id::{EventId, StreamKind};
use crate::limits::Account;
use crate::spec::ReplayLimits;
use crate::sync::lock;

/// What a log is made of.
pub(crate) struct Terms {
    pub(crate) tag: Arc<str>,
    pub(crate) kind: StreamKind,
    pub(crate) number: u64,
    pub(crate) limits: ReplayLimits,
    /// Where the principal's kept bytes are counted.
    pub(crate) account: Account,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One stream. It has one reader at most: a further one takes its place, because a client that resumes has lost the
/// stream that it read, whether or not that has been noticed here.
pub(crate) struct Log {
    terms: Terms,
    /// What the ids of its events begin with.
    prefix: String,
    state: Mutex<State>,
    /// There is something for the reader.
    news: Notify,
    /// There is room for the writer.
    room: Notify,
}

struct State {
    /// The kept events, oldest first and numbered without a gap.
    events: VecDeque<Event>,
    /// The next event's number.
    next: u64,
    /// All kept bytes.
    bytes: usize,
    /// The bytes that the reader has not taken.
    unread: usize,
    /// The last event that the reader has taken.
    read: u64,
    reader: Option<u64>,
    readers: u64,
    /// Nothing follows.
    over: bool,
    /// Since when nobody reads or writes.
    idle: Option<Timestamp>,
}

/// One event. Those that were written together share their memory, which is given back with the last of them.
struct Event {
    number: u64,
    /// The frames of all that were written together.
    together: Bytes,
    /// Where the event's own frame is.
    frame: Range<usize>,
}

/// Who hears a stream. The stream is kept when it is dropped.
pub(crate) struct Reader {
    log: Arc<Log>,
    number: u64,
}

/// What a reader finds.
enum Found {
    /// One event, or some that were written together.
    Events(Bytes),
    Nothing,
    End,
}

impl Log {
    pub(crate) fn new(terms: Terms) -> Self {
        let idle = (terms.kind == StreamKind::Session).then(|| terms.clock.now());
        let mut prefix = EventId {
            tag: &terms.tag,
            kind: terms.kind,
            stream: terms.number,
            event: 0,
        }
        .to_string();
        prefix.pop();
        let state = State {
            events: VecDeque::new(),
            next: 1,
            bytes: 0,
            unread: 0,
            read: 0,
            reader: None,
            readers: 0,
            over: false,
            idle,
        };
        Self {
            terms,
            prefix,
            state: Mutex::new(state),
            news: Notify::new(),
            room: Notify::new(),
        }
    }

    /// The stream's number in its session.
    pub(crate) fn number(&self) -> u64 {
        self.terms.number
    }

    /// What the stream belongs to.
    pub(crate) fn kind(&self) -> StreamKind {
        self.terms.kind
    }

    /// Since when nobody reads it and nothing is written to it.
    pub(crate) fn idle(&self) -> Option<Timestamp> {
        lock(&self.state).idle
    }

    /// Whether somebody reads.
    pub(crate) fn is_read(&self) -> bool {
        lock(&self.state).reader.is_some()
    }

    /// The first event: an id to resume after before anything has been said (2025-11-25).
    pub(crate) fn priming(&self) -> Bytes {
        sse::priming(&format!("{}0", self.prefix), RETRY_MS)
    }

    /// Writes an event, whether or not anybody reads.
    #[cfg(test)]
    pub(super) fn push(&self, message: &[u8]) {
        self.push_all(&[message]);
    }

    /// Writes events, whether or not anybody reads. They are read together.
    pub(crate) fn push_all(&self, messages: &[impl AsRef<[u8]>]) {
        self.write(&mut lock(&self.state), messages);
        self.news.notify_waiters();
    }

    /// How many of these messages, one at least, may be written together within the stream's bounds, and their bytes.
    pub(crate) fn together(&self, messages: &[Bytes]) -> (usize, usize) {
        let ReplayLimits { events, bytes, .. } = self.terms.limits;
        let (mut count, mut sum) = (0, 0);
        for message in messages.iter().take(events.max(1)) {
            if count > 0 && sum + message.len() > bytes {
                break;
            }
            count += 1;
            sum += message.len();
        }
        (count, sum)
    }

    /// Writes an event if somebody reads and is not too slow. A stream whose reader is too slow ends; it can be resumed.
    pub(crate) fn offer(&self, message: &[u8]) -> bool {
        let mut state = lock(&self.state);
        if state.reader.is_none() || state.over {
            return false;
        }
        let fits = self.fits(&state, 1, message.len());
        if fits {
            self.write(&mut state, &[message]);
        } else {
            state.over = true;
        }
        drop(state);
        self.news.notify_waiters();
        fits
    }

    /// Resolves when the reader, if there is one, has taken enough for so many further messages of so many bytes: the
    /// server behind is not read faster than the client (SS-06).
    pub(crate) async fn room(&self, count: usize, length: usize) {
        while !self.has_room(count, length) {
            let mut notified = pin!(self.room.notified());
            notified.as_mut().enable();
            if self.has_room(count, length) {
                return;
            }
            notified.await;
        }
    }

    fn has_room(&self, count: usize, length: usize) -> bool {
        let state = lock(&self.state);
        state.reader.is_none() || self.fits(&state, count, length)
    }

    /// Ends the stream; what has been written is still read.
    pub(crate) fn finish(&self) {
        let mut state = lock(&self.state);
        state.over = true;
        self.settle(&mut state);
        drop(state);
        self.news.notify_waiters();
    }

    /// Reads on after this event, in place of whoever has read so far. `None` when the stream never had such an event,
    /// or when the response that the reader is there for is not kept any more.
    pub(crate) fn read(self: &Arc<Self>, after: u64) -> Option<Reader> {
        let mut state = lock(&self.state);
        let last = state.next - 1;
        let kept = state.events.back().is_some_and(|event| event.number == last);
        let waits_for_an_end = self.terms.kind == StreamKind::Call && state.over;
        if after > last || (waits_for_an_end && after < last && !kept) {
            return None;
        }
        state.readers += 1;
        state.reader = Some(state.readers);
        state.idle = None;
        state.read = after;
        let unread = state.events.iter().filter(|event| event.number > after);
        state.unread = unread.map(|event| event.frame.len()).sum();
        state.over &= self.terms.kind == StreamKind::Call;
        let number = state.readers;
        drop(state);
        self.news.notify_waiters();
        self.room.notify_waiters();
        Some(Reader {
            log: Arc::clone(self),
            number,
        })
    }

    /// What comes while nothing waits passes whatever its size, so that nothing is stuck.
    fn fits(&self, state: &State, count: usize, length: usize) -> bool {
        let unread = usize::try_from(state.next - 1 - state.read).unwrap_or(usize::MAX);
        let ReplayLimits { events, bytes, .. } = self.terms.limits;
        state.unread == 0
            || (unread.saturating_add(count) <= events && state.unread.saturating_add(length) <= bytes)
    }

    fn write(&self, state: &mut State, messages: &[impl AsRef<[u8]>]) {
        const AROUND: usize = 64;
        let room = messages.iter().map(|message| message.as_ref().len() + AROUND);
        let mut frames = Vec::with_capacity(room.sum());
        let mut ends = Vec::with_capacity(messages.len());
        let mut id = self.prefix.clone();
        for (number, message) in (state.next..).zip(messages) {
            id.truncate(self.prefix.len());
            id.push_str(itoa::Buffer::new().format(number));
            sse::frame_with_id_into(&mut frames, message.as_ref(), &id);
            ends.push(frames.len());
        }
        state.events.reserve(messages.len());
        let together = Bytes::from(frames);
        let mut start = 0;
        for end in ends {
            let frame = start..end;
            start = end;
            state.events.push_back(Event {
                number: state.next,
                together: together.clone(),
                frame,
            });
            state.next += 1;
        }
        state.bytes += together.len();
        state.unread += together.len();
        self.terms.account.add(together.len());
        self.trim(state);
    }

    /// Forgets the oldest events beyond the bounds. What a reader has not taken stays, because the writer waits for it;
    /// so does the newest, which may be the response, unless the principal has too much already. What has been taken is
    /// kept too: it may not have arrived.
    fn trim(&self, state: &mut State) {
        let ReplayLimits { events, bytes, .. } = self.terms.limits;
        while let Some(Event { number, frame, .. }) = state.events.front() {
            let too_much = state.events.len() > events || state.bytes > bytes;
            let waited_for = state.reader.is_some() && *number > state.read;
            let forget = self.is_poor() || (too_much && state.events.len() > 1);
            if waited_for || !forget {
                return;
            }
            let length = frame.len();
            if *number > state.read {
                state.unread = state.unread.saturating_sub(length);
            }
            state.events.pop_front();
            state.bytes -= length;
            self.terms.account.remove(length);
        }
    }

    /// Whether the principal has more than it may have kept for it.
    fn is_poor(&self) -> bool {
        self.terms.account.kept() > self.terms.limits.bytes_per_principal
    }

    /// Notes when the stream became idle.
    fn settle(&self, state: &mut State) {
        let done = state.over || self.terms.kind == StreamKind::Session;
        if done && state.reader.is_none() && state.idle.is_none() {
            state.idle = Some(self.terms.clock.now());
        }
    }

    fn take(&self, reader: u64) -> Found {
        let mut state = lock(&self.state);
        if state.reader != Some(reader) {
            return Found::End;
        }
        let Some((number, frames)) = state.unread() else {
            return if state.over { Found::End } else { Found::Nothing };
        };
        state.read = number;
        state.unread = state.unread.saturating_sub(frames.len());
        self.trim(&mut state);
        drop(state);
        self.room.notify_waiters();
        Found::Events(frames)
    }

    fn leave(&self, reader: u64) {
        let mut state = lock(&self.state);
        if state.reader == Some(reader) {
            state.reader = None;
            self.settle(&mut state);
            self.trim(&mut state);
        }
        drop(state);
        self.room.notify_waiters();
    }
}

impl State {
    /// The next events that were written together and have not been read: the last one's number, and their frames.
    fn unread(&self) -> Option<(u64, Bytes)> {
        let oldest = self.events.front()?.number;
        let skip = usize::try_from((self.read + 1).saturating_sub(oldest)).ok()?;
        let mut unread = self.events.range(skip.min(self.events.len())..);
        let first = unread.next()?;
        let last = unread
            .take_while(|event| event.together.as_ptr() == first.together.as_ptr())
            .last()
            .unwrap_or(first);
        let frames = first.together.slice(first.frame.start..last.frame.end);
        Some((last.number, frames))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let kept = lock(&self.state).bytes;
        self.terms.account.remove(kept);
    }
}

impl Reader {
    /// The next event, or some that were written together, framed; `None` when the stream is over or another reads it now. May be dropped and called again
    /// without loss.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(found) = self.found() {
                return found;
            }
            let mut notified = pin!(self.log.news.notified());
            notified.as_mut().enable();
            if let Some(found) = self.found() {
                return found;
            }
            notified.await;
        }
    }

    /// What is there to be read or, in place of it, the end.
    fn found(&self) -> Option<Option<Bytes>> {
        match self.log.take(self.number) {
            Found::Events(frames) => Some(Some(frames)),
            Found::End => Some(None),
            Found::Nothing => None,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.leave(self.number);
    }
}
