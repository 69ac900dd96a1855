//! What waits to be written: whoever records adds to it, the writer takes it all at once.
//!
//! Threads that record do not wait for each other: each has a lane, which only the writer shares with it, a dozen times a
//! second. All lanes are emptied at one moment, so that what was recorded before a record that is taken is taken with it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sallyport_core::Timestamp;
use sallyport_core::audit::Entry;
use tokio::sync::{Notify, oneshot};

use super::QUEUE;
use super::batch::{Batch, Taken};

/// Threads are given lanes in turn; if there are more of them than lanes, some share one.
const LANES: usize = 16;

/// A lane takes room for so many records at once, so that it need not ask for each. Divides half of [`QUEUE`].
const SHARE: usize = 64;

thread_local! {
    /// The lane of this thread.
    static LANE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % LANES
    };
}

/// Why a record was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// As many wait as may wait.
    Full,
    /// Nothing is written any more.
    Closed,
}

/// The queue.
pub(super) struct Queue {
    lanes: [Lane; LANES],
    /// How much room no lane has taken; always some [`SHARE`]s.
    left: AtomicUsize,
    /// Whether there is any record.
    any: AtomicBool,
    /// The first record has come after the queue was empty.
    filled: Notify,
    /// Do not gather more: somebody waits for a record, or half of the room is taken.
    urgent: Notify,
    /// There is room again, or there never will be.
    room: Notify,
}

/// What some threads add to; it shares no cache line with another, nor the pair of lines that is fetched together.
#[derive(Default)]
#[repr(align(128))]
struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    batch: Batch,
    /// For how many more records this lane has taken room.
    room: usize,
    closed: bool,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lanes: Default::default(),
            left: AtomicUsize::new(QUEUE),
            any: AtomicBool::new(false),
            filled: Notify::new(),
            urgent: Notify::new(),
            room: Notify::new(),
        }
    }
}

impl Queue {
    /// All lanes at one moment. Nobody else holds more than one, so nobody waits for ever.
    fn all(&self) -> [MutexGuard<'_, State>; LANES] {
        self.lanes.each_ref().map(Lane::lock)
    }

    /// Adds a record; `done` is told once it is on the disk.
    ///
    /// # Errors
    /// [`Refused`] if it was not taken.
    pub(super) fn push(
        &self,
        at: Timestamp,
        entry: &Entry<'_>,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<(), Refused> {
        self.push_in(LANE.with(|lane| *lane), at, entry, done)
    }

    fn push_in(
        &self,
        lane: usize,
        at: Timestamp,
        entry: &Entry<'_>,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<(), Refused> {
        let mut state = self.lanes.get(lane).ok_or(Refused::Closed)?.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let mut urgent = done.is_some();
        if state.room == 0 {
            let left = self.reserve().ok_or(Refused::Full)?;
            state.room = SHARE;
            urgent |= left == QUEUE / 2;
        }
        state.room -= 1;
        let first = state.batch.lines.is_empty();
        state.batch.push(at, entry, done);
        // Within the lock, as the writer forgets it.
        let filled = first && !self.any.swap(true, Ordering::Relaxed);
        drop(state);
        if filled {
            self.filled.notify_one();
        }
        if urgent {
            self.urgent.notify_one();
        }
        Ok(())
    }

    /// Takes room for one [`SHARE`], and returns what is left.
    fn reserve(&self) -> Option<usize> {
        let less = |left: usize| left.checked_sub(SHARE);
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        before.ok().and_then(less)
    }

    /// Adds a record that is waited for, once there is room.
    ///
    /// # Errors
    /// [`Refused::Closed`].
    pub(super) async fn push_when_there_is_room(
        &self,
        at: Timestamp,
        entry: &Entry<'_>,
    ) -> Result<oneshot::Receiver<()>, Refused> {
        loop {
            // Made before the try, so that room that comes in between is noticed.
            let room = self.room.notified();
            let (done, written) = oneshot::channel();
            match self.push(at, entry, Some(done)) {
                Ok(()) => return Ok(written),
                Err(Refused::Full) => room.await,
                Err(Refused::Closed) => return Err(Refused::Closed),
            }
        }
    }

    /// Waits until there may be records.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until records should be written without gathering more.
    pub(super) async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// Whether there is something that nobody waits for, so that more can be gathered.
    pub(super) fn may_gather(&self) -> bool {
        let all = self.all();
        let count: usize = all.iter().map(|state| state.batch.lines.len()).sum();
        (1..QUEUE / 2).contains(&count) && !all.iter().any(|state| state.batch.is_waited_for())
    }

    /// Takes all that waits.
    pub(super) fn take(&self, taken: &mut Taken) {
        let mut all = self.all();
        for state in &mut all {
            taken.add(&mut state.batch);
            state.room = 0;
        }
        self.left.store(QUEUE, Ordering::Relaxed);
        self.any.store(false, Ordering::Relaxed);
        drop(all);
        self.room.notify_waiters();
    }

    /// Takes no more. What waits can still be taken.
    pub(super) fn close(&self) {
        for state in &mut self.all() {
            state.closed = true;
        }
        self.room.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lanes.first().is_none_or(|lane| lane.lock().closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::audit::{Action, Event, Outcome};

    fn event(n: usize) -> Event {
        Event::new(Action::ToolCall, Outcome::Ok).on(&n.to_string())
    }

    /// Takes all that waits, in order.
    fn take(queue: &Queue, batch: &mut Batch) {
        let mut taken = Taken::default();
        queue.take(&mut taken);
        taken.next(batch, usize::MAX);
    }

    fn push_in(queue: &Queue, lane: usize, n: usize) -> Result<(), Refused> {
        let event = event(n);
        queue.push_in(lane, Timestamp::EPOCH, &event.entry(&event.who()), None)
    }

    fn targets(batch: &Batch) -> Vec<String> {
        let mut targets = Vec::new();
        batch.lines.part(0..batch.lines.len()).write(|_, body| {
            let event: Event = serde_json::from_slice(body).unwrap();
            targets.push(event.target.unwrap().into());
        });
        targets
    }

    #[test]
    fn what_somebody_waits_for_is_given_up_and_all_else_is_kept() {
        let queue = Queue::default();
        let mut waiting = Vec::new();
        for n in 0..6 {
            let (done, written) = oneshot::channel();
            let waits = [1, 2, 4].contains(&n);
            queue
                .push(
                    Timestamp::EPOCH,
                    &event(n).entry(&event(n).who()),
                    waits.then_some(done),
                )
                .unwrap();
            waiting.push(written);
        }
        let mut batch = Batch::default();
        take(&queue, &mut batch);
        batch.written(2);
        assert_eq!(waiting[1].try_recv(), Ok(()));
        batch.give_up(2);
        assert!(waiting[2].try_recv().is_err() && waiting[4].try_recv().is_err());
        assert_eq!(targets(&batch), ["3", "5"]);
        queue
            .push(Timestamp::EPOCH, &event(6).entry(&event(6).who()), None)
            .unwrap();
        take(&queue, &mut batch);
        assert_eq!(targets(&batch), ["3", "5", "6"]);
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_what_it_has() {
        let queue = Queue::default();
        queue
            .push(Timestamp::EPOCH, &event(0).entry(&event(0).who()), None)
            .unwrap();
        queue.close();
        assert_eq!(
            queue.push(Timestamp::EPOCH, &event(1).entry(&event(1).who()), None),
            Err(Refused::Closed)
        );
        let mut batch = Batch::default();
        take(&queue, &mut batch);
        assert_eq!(targets(&batch), ["0"]);
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_it_or_is_told_that_there_is_none() {
        let queue = Queue::default();
        for n in 0..QUEUE {
            queue
                .push(Timestamp::EPOCH, &event(n).entry(&event(n).who()), None)
                .unwrap();
        }
        assert_eq!(
            queue.push(Timestamp::EPOCH, &event(0).entry(&event(0).who()), None),
            Err(Refused::Full)
        );
        let owned = event(1);
        let who = owned.who();
        let late = owned.entry(&who);
        let (pushed, ()) = tokio::join!(queue.push_when_there_is_room(Timestamp::EPOCH, &late), async {
            take(&queue, &mut Batch::default());
        });
        assert!(pushed.is_ok());
        for n in 1..QUEUE {
            queue
                .push(Timestamp::EPOCH, &event(n).entry(&event(n).who()), None)
                .unwrap();
        }
        let (pushed, ()) = tokio::join!(queue.push_when_there_is_room(Timestamp::EPOCH, &late), async {
            queue.close();
        });
        assert_eq!(pushed.err(), Some(Refused::Closed));
    }

    #[test]
    fn the_room_is_one_for_all_lanes() {
        let queue = Queue::default();
        for _ in 0..2 {
            for lane in 0..LANES {
                assert_eq!(push_in(&queue, lane, 0), Ok(()));
            }
            // What the other lanes have taken and not used is all that one cannot have.
            let unused = (LANES - 1) * (SHARE - 1);
            for n in LANES..QUEUE - unused {
                assert_eq!(push_in(&queue, 3, n), Ok(()), "{n}");
            }
            assert_eq!(push_in(&queue, 3, 0), Err(Refused::Full));
            for lane in (0..LANES).filter(|lane| *lane != 3) {
                for n in 1..SHARE {
                    assert_eq!(push_in(&queue, lane, n), Ok(()));
                }
            }
            for lane in 0..LANES {
                assert_eq!(push_in(&queue, lane, 0), Err(Refused::Full));
            }
            let mut batch = Batch::default();
            take(&queue, &mut batch);
            assert_eq!(batch.lines.len(), QUEUE);
        }
    }

    #[tokio::test]
    async fn the_first_record_and_half_of_the_room_are_told_once() {
        let queue = Queue::default();
        let filled = async || tokio::select!(biased; () = queue.filled() => true, () = async {} => false);
        let urgent = async || tokio::select!(biased; () = queue.urgent() => true, () = async {} => false);
        for _ in 0..2 {
            assert!(!queue.may_gather() && !filled().await);
            for n in 0..QUEUE / 2 - SHARE {
                push_in(&queue, n / SHARE % 2, n).unwrap();
                assert_eq!(filled().await, n == 0);
            }
            assert!(!urgent().await && queue.may_gather());
            push_in(&queue, 0, 0).unwrap();
            assert!(urgent().await && !filled().await);
            for n in 1..SHARE {
                assert!(queue.may_gather());
                push_in(&queue, 0, n).unwrap();
            }
            assert!(!queue.may_gather() && !urgent().await);
            take(&queue, &mut Batch::default());
        }
    }

    #[test]
    fn what_came_before_a_record_that_is_taken_is_taken_with_it() {
        const COUNT: usize = 20_000;
        let (queue, recorded) = (Queue::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..COUNT {
                    push_in(&queue, 1, 1).unwrap();
                    recorded.store(n + 1, Ordering::Release);
                }
            });
            scope.spawn(|| {
                for n in 0..COUNT {
                    while recorded.load(Ordering::Acquire) <= n {
                        std::thread::yield_now();
                    }
                    push_in(&queue, 0, 0).unwrap();
                }
            });
            let (mut causes, mut effects) = (0, 0);
            while effects < COUNT {
                let mut batch = Batch::default();
                take(&queue, &mut batch);
                for target in targets(&batch) {
                    match target.as_str() {
                        "1" => causes += 1,
                        _ => effects += 1,
                    }
                }
                assert!(causes >= effects, "{causes} {effects}");
            }
        });
    }
}
