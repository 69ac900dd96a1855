//! What waits to be written: whoever records adds to it, the writer takes it all at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sallyport_core::Timestamp;
use sallyport_core::audit::Entry;
use tokio::sync::{Notify, oneshot};

use super::QUEUE;
use super::lines::Lines;

/// Records that are written together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: Lines,
    /// Who waits for which of them: told once it is on the disk, dropped if it will not be.
    waiting: Vec<(usize, oneshot::Sender<()>)>,
}

impl Batch {
    /// Adds one that nobody waits for.
    pub(super) fn push(&mut self, at: Timestamp, entry: &Entry<'_>) {
        self.lines.push(at, entry);
    }

    /// Tells those who wait for the first `count`.
    pub(super) fn written(&mut self, count: usize) {
        let later = self.waiting.partition_point(|(index, _)| *index < count);
        for (_, done) in self.waiting.drain(..later) {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    /// Keeps what comes after the first `count` and nobody waits for; whoever waits is refused.
    pub(super) fn give_up(&mut self, count: usize) {
        let refused = std::mem::take(&mut self.waiting);
        let mut kept = Lines::default();
        let mut from = count;
        for (index, _) in &refused {
            kept.append(self.lines.part(from..*index));
            from = index + 1;
        }
        kept.append(self.lines.part(from..self.lines.len()));
        self.lines = kept;
    }

    fn append(&mut self, other: &mut Self) {
        let before = self.lines.len();
        self.lines.append(other.lines.part(0..other.lines.len()));
        let waiting = other.waiting.drain(..);
        self.waiting
            .extend(waiting.map(|(index, done)| (before + index, done)));
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.waiting.clear();
    }
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
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The first record has come after the queue was empty.
    filled: Notify,
    /// Do not gather more: somebody waits for a record, or half of the room is taken.
    urgent: Notify,
    /// There is room again, or there never will be.
    room: Notify,
}

#[derive(Default)]
struct State {
    batch: Batch,
    closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        let index = state.batch.lines.len();
        if index >= QUEUE {
            return Err(Refused::Full);
        }
        state.batch.lines.push(at, entry);
        let urgent = done.is_some() || index + 1 == QUEUE / 2;
        state.batch.waiting.extend(done.map(|done| (index, done)));
        drop(state);
        if index == 0 {
            self.filled.notify_one();
        }
        if urgent {
            self.urgent.notify_one();
        }
        Ok(())
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
        let state = self.state();
        state.batch.waiting.is_empty() && (1..QUEUE / 2).contains(&state.batch.lines.len())
    }

    /// Adds all that waits to `batch`. An empty one is handed in for its memory, and taken for the next.
    pub(super) fn take(&self, batch: &mut Batch) {
        let mut state = self.state();
        if batch.lines.is_empty() {
            std::mem::swap(&mut state.batch, batch);
        } else {
            batch.append(&mut state.batch);
            state.batch.clear();
        }
        drop(state);
        self.room.notify_waiters();
    }

    /// Takes no more. What waits can still be taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.room.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_core::audit::{Action, Event, Outcome};

    fn event(n: usize) -> Event {
        Event::new(Action::ToolCall, Outcome::Ok).on(&n.to_string())
    }

    fn targets(batch: &Batch) -> Vec<String> {
        let bodies = batch.lines.part(0..batch.lines.len()).bodies();
        bodies
            .map(|(_, body)| {
                serde_json::from_slice::<Event>(body)
                    .unwrap()
                    .target
                    .unwrap()
                    .into()
            })
            .collect()
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
        queue.take(&mut batch);
        batch.written(2);
        assert_eq!(waiting[1].try_recv(), Ok(()));
        batch.give_up(2);
        assert!(waiting[2].try_recv().is_err() && waiting[4].try_recv().is_err());
        assert_eq!(targets(&batch), ["3", "5"]);
        queue
            .push(Timestamp::EPOCH, &event(6).entry(&event(6).who()), None)
            .unwrap();
        queue.take(&mut batch);
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
        queue.take(&mut batch);
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
            queue.take(&mut Batch::default());
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
}
