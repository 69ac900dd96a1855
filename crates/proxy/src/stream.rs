//! Event streams that outlive a request: the bounded queue of a modern one, and those of one legacy session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::replay::{Log, Reader};
use crate::sync::lock;

/// How many bytes wait for one slow reader before its stream is cut (SS-06).
pub(crate) const MAX_QUEUED: usize = 256 << 10;

/// How many messages wait for a session's first stream.
const MAX_BACKLOG: usize = 64;

/// How many streams one session may hold open; a further one ends the oldest.
const MAX_STREAMS: usize = 4;

/// The writing end of one stream. Dropping the last of its clones ends the stream.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Queue>);

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Events(Arc<Queue>);

/// Knows when a reader is too slow.
#[derive(Debug)]
pub(crate) struct Cut(Arc<Queue>);

/// What the two ends share. Most streams are silent most of the time, and there may be ten thousand: there is no room for
/// messages before there are any.
#[derive(Debug, Default)]
struct Queue {
    queued: Mutex<Queued>,
    /// For the reader.
    news: Notify,
    /// For whoever waits for the reader to be too slow.
    cut: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    messages: VecDeque<Bytes>,
    bytes: usize,
    feeds: usize,
    is_cut: bool,
    is_left: bool,
}

/// A stream's two ends.
pub(crate) fn channel() -> (Feed, Events) {
    let queue = Arc::new(Queue::default());
    lock(&queue.queued).feeds = 1;
    (Feed(Arc::clone(&queue)), Events(queue))
}

impl Feed {
    /// Queues a message. False when the reader has gone or is too slow: then the stream is over.
    pub(crate) fn send(&self, message: Bytes) -> bool {
        let mut queued = lock(&self.0.queued);
        if queued.is_left || queued.is_cut {
            return false;
        }
        let fits = queued.bytes == 0 || queued.bytes.saturating_add(message.len()) <= MAX_QUEUED;
        if fits {
            queued.bytes += message.len();
            queued.messages.push_back(message);
        } else {
            queued.is_cut = true;
            self.0.cut.notify_one();
        }
        drop(queued);
        self.0.news.notify_one();
        fits
    }
}

impl Clone for Feed {
    fn clone(&self) -> Self {
        lock(&self.0.queued).feeds += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        lock(&self.0.queued).feeds -= 1;
        self.0.news.notify_one();
    }
}

impl Events {
    /// The next message; `None` when the stream is over. May be dropped and called again without loss.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(found) = self.found() {
                return found;
            }
            self.0.news.notified().await;
        }
    }

    /// A message that waits already.
    pub(crate) fn ready(&mut self) -> Option<Bytes> {
        self.found().flatten()
    }

    /// What is there to be read or, in place of it, the end.
    fn found(&mut self) -> Option<Option<Bytes>> {
        let mut queued = lock(&self.0.queued);
        if queued.is_cut {
            return Some(None);
        }
        if let Some(message) = queued.messages.pop_front() {
            queued.bytes = queued.bytes.saturating_sub(message.len());
            if queued.messages.is_empty() {
                queued.messages = VecDeque::new();
            }
            return Some(Some(message));
        }
        (queued.feeds == 0).then_some(None)
    }

    /// Tells when the reader is too slow.
    pub(crate) fn cut(&self) -> Cut {
        Cut(Arc::clone(&self.0))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queued = lock(&self.0.queued);
        queued.is_left = true;
        queued.messages = VecDeque::new();
    }
}

impl Cut {
    /// Resolves when the reader is too slow.
    pub(crate) async fn happens(self) {
        while !self.has_happened() {
            self.0.cut.notified().await;
        }
    }

    fn has_happened(&self) -> bool {
        lock(&self.0.queued).is_cut
    }
}

/// The streams on which a legacy session hears what belongs to no request.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The connection that carries all the session says, where there is one.
    wire: Option<Feed>,
    /// Oldest first.
    streams: VecDeque<Arc<Log>>,
    backlog: VecDeque<Bytes>,
}

impl Outbox {
    /// Reads a stream after this event, from now on also what is new. What waited goes to it. `None` when there was no
    /// such event.
    pub(crate) fn open(&self, log: &Arc<Log>, after: u64) -> Option<Reader> {
        let mut state = lock(&self.state);
        let reader = log.read(after)?;
        state.streams.retain(|other| !Arc::ptr_eq(other, log));
        if state.streams.len() >= MAX_STREAMS
            && let Some(oldest) = state.streams.pop_front()
        {
            oldest.finish();
        }
        state.streams.push_back(Arc::clone(log));
        while let Some(message) = state.backlog.pop_front() {
            if !log.offer(&message) {
                state.backlog.push_front(message);
                break;
            }
        }
        Some(reader)
    }

    /// From now on everything goes out on this connection, what waited first.
    pub(crate) fn connect(&self, wire: Feed) {
        let mut state = lock(&self.state);
        for message in std::mem::take(&mut state.backlog) {
            wire.send(message);
        }
        state.wire = Some(wire);
    }

    /// Sends a message on exactly one stream, the newest that takes it (P-76). Without one it waits, among the newest
    /// few and not twice: a client may open its stream a little later.
    pub(crate) fn send(&self, message: Bytes) {
        let mut state = lock(&self.state);
        if let Some(wire) = &state.wire {
            // A connection that is too slow is about to end, and its session with it.
            wire.send(message);
            return;
        }
        while let Some(log) = state.streams.pop_back() {
            if log.offer(&message) {
                state.streams.push_back(log);
                return;
            }
        }
        if state.backlog.contains(&message) {
            return;
        }
        if state.backlog.len() >= MAX_BACKLOG {
            state.backlog.pop_front();
        }
        state.backlog.push_back(message);
    }

    /// Whether anybody listens.
    pub(crate) fn is_open(&self) -> bool {
        let state = lock(&self.state);
        state.wire.is_some() || state.streams.iter().any(|log| log.is_read())
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.wire = None;
        let streams = std::mem::take(&mut state.streams);
        drop(state);
        streams.iter().for_each(|log| log.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::StreamKind;
    use crate::replay::tests::{data, log};
    use crate::spec::ReplayLimits;

    fn stream(number: u64) -> Arc<Log> {
        log(StreamKind::Session, number, ReplayLimits::default())
    }

    #[tokio::test]
    async fn ss_06_a_slow_reader_is_cut_at_the_bound() {
        let (feed, mut events) = channel();
        assert!(feed.send(vec![0; MAX_QUEUED - 1].into()));
        assert!(feed.send(vec![0; 1].into()), "at the bound");
        assert!(!events.cut().has_happened());
        assert!(!feed.send(vec![0; 1].into()), "past the bound");
        events.cut().happens().await;
        assert!(
            events.next().await.is_none(),
            "the stream is over, not full of holes"
        );
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_last_feed_and_a_feed_knows_that_nobody_reads() {
        let (feed, mut events) = channel();
        let other = feed.clone();
        feed.send("a".into());
        drop(feed);
        assert_eq!(events.next().await, Some("a".into()));
        assert!(events.ready().is_none());
        let (next, ()) = tokio::join!(events.next(), async {
            other.send("b".into());
        });
        assert_eq!(next, Some("b".into()));
        let (end, ()) = tokio::join!(events.next(), async { drop(other) });
        assert_eq!(end, None);
        let (feed, events) = channel();
        drop(events);
        assert!(!feed.send("c".into()));
    }

    #[test]
    fn one_message_larger_than_the_bound_passes_an_empty_queue() {
        let (feed, _events) = channel();
        assert!(feed.send(vec![0; MAX_QUEUED + 1].into()));
        assert!(!feed.send(vec![0; 1].into()));
    }

    #[tokio::test]
    async fn p_76_a_message_goes_out_on_one_stream_only() {
        let outbox = Outbox::default();
        let mut old = outbox.open(&stream(1), 0).expect("a stream");
        let mut new = outbox.open(&stream(2), 0).expect("a stream");
        outbox.send("a".into());
        assert_eq!(data(&mut new).await, Some("a".into()));
        drop(new);
        outbox.send("b".into());
        assert_eq!(data(&mut old).await, Some("b".into()));
        outbox.close();
        assert_eq!(data(&mut old).await, None);
    }

    #[tokio::test]
    async fn what_comes_before_the_stream_waits_once() {
        let outbox = Outbox::default();
        outbox.send("changed".into());
        outbox.send("changed".into());
        for n in 0..MAX_BACKLOG {
            outbox.send(n.to_string().into());
        }
        assert!(!outbox.is_open());
        let mut events = outbox.open(&stream(1), 0).expect("a stream");
        outbox.close();
        assert_eq!(data(&mut events).await, Some("0".into()), "the oldest made room");
        let mut rest = 1;
        while events.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, MAX_BACKLOG);
    }

    #[tokio::test]
    async fn a_further_stream_ends_the_oldest_at_the_limit() {
        let outbox = Outbox::default();
        let logs: Vec<_> = (0..=MAX_STREAMS as u64).map(stream).collect();
        let mut readers: Vec<_> = logs.iter().filter_map(|log| outbox.open(log, 0)).collect();
        assert_eq!(data(&mut readers[0]).await, None, "one past it");
        let again = outbox.open(&logs[1], 0);
        assert!(again.is_some(), "a resumed stream takes no further place");
        outbox.send("a".into());
        let mut again = again.expect("a reader");
        assert_eq!(data(&mut again).await, Some("a".into()), "it is the newest");
        assert_eq!(data(&mut readers[1]).await, None, "it has one reader");
    }
}
