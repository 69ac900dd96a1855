//! Porters: on every runtime whose calls take part in a conversation, one that writes what they say and wakes them when
//! something has come for them. A thread is woken once for all that one read has brought it, and its calls leave
//! together, with one write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

/// Calls in a row from one runtime, with none from the one that reads, before that one reads in its place.
const MOVES_AFTER: u32 = 256;

/// What the calls of one runtime have in common.
#[derive(Debug)]
pub(crate) struct Porter {
    runtime: Option<Handle>,
    /// There is something to write, to wake, or to end.
    news: Notify,
    /// Calls for which something has come.
    waiting: Mutex<Vec<Waker>>,
    /// The porter has left; nobody may wait for it.
    gone: AtomicBool,
}

impl Porter {
    fn new(runtime: Option<Handle>) -> Arc<Self> {
        Arc::new(Self {
            gone: AtomicBool::new(runtime.is_none()),
            runtime,
            news: Notify::new(),
            waiting: Mutex::default(),
        })
    }

    /// One that has left: whoever waits is woken at once.
    pub(crate) fn alone() -> Arc<Self> {
        Self::new(None)
    }

    /// Leaves a call that is to be woken; [`Porters::wake`] does.
    pub(crate) fn leave(&self, call: Waker) {
        let mut waiting = self.waiting();
        if self.gone.load(Ordering::Acquire) {
            drop(waiting);
            return call.wake();
        }
        waiting.push(call);
    }

    /// There is something to write.
    pub(super) fn write(&self) {
        self.news.notify_one();
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.into_iter().for_each(Waker::wake);
    }

    fn is_at(&self, runtime: Id) -> bool {
        self.runtime.as_ref().is_some_and(|handle| handle.id() == runtime)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A porter at work. It leaves for good when this is dropped, whatever ends its task.
pub(super) struct AtWork(Arc<Porter>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.wake_all();
    }
}

impl AtWork {
    /// Works until the conversation ends: `write` writes what waits.
    pub(super) async fn serve(self, write: impl Fn() + Send) {
        while !self.0.gone.load(Ordering::Acquire) {
            self.0.news.notified().await;
            self.0.wake_all();
            write();
        }
    }
}

/// All porters of a conversation.
#[derive(Debug, Default)]
pub(super) struct Porters {
    state: Mutex<State>,
    /// Another runtime should read.
    moves: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    porters: Vec<Arc<Porter>>,
    /// Where the server is read.
    reader: Option<Id>,
    /// The runtime of the last calls, and how many they were.
    last: Option<Id>,
    row: u32,
    ended: bool,
}

impl Porters {
    /// The porter of the runtime that this is called in. `begin` has a new one work there.
    pub(super) fn here(&self, begin: impl FnOnce(&Handle, AtWork)) -> Option<Arc<Porter>> {
        let here = Handle::try_current().ok()?;
        let mut state = self.state();
        state
            .porters
            .retain(|porter| !porter.gone.load(Ordering::Acquire));
        if state.ended {
            return None;
        }
        self.count(&mut state, here.id());
        if let Some(porter) = state.porters.iter().find(|porter| porter.is_at(here.id())) {
            return Some(Arc::clone(porter));
        }
        let porter = Porter::new(Some(here.clone()));
        state.porters.push(Arc::clone(&porter));
        drop(state);
        begin(&here, AtWork(Arc::clone(&porter)));
        Some(porter)
    }

    fn count(&self, state: &mut State, here: Id) {
        if state.last == Some(here) {
            state.row = state.row.saturating_add(1);
        } else {
            (state.last, state.row) = (Some(here), 1);
        }
        if state.row.is_multiple_of(MOVES_AFTER) && state.reader != Some(here) {
            self.moves.store(true, Ordering::Release);
        }
    }

    /// Whether the server is better read elsewhere than on the runtime that asks.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.moves.load(Ordering::Acquire)
    }

    /// The runtime on which the server is to be read from now on, if another than before.
    pub(super) fn move_reader(&self) -> Option<Handle> {
        self.moves.store(false, Ordering::Release);
        let state = self.state();
        let busiest = state.last.filter(|last| state.reader != Some(*last))?;
        let mut there = state.porters.iter().filter(|porter| porter.is_at(busiest));
        let porter = there.find(|porter| !porter.gone.load(Ordering::Acquire))?;
        porter.runtime.clone()
    }

    /// The server is read on the runtime that this is called in.
    pub(super) fn reads_here(&self) {
        self.state().reader = Handle::try_current().ok().map(|here| here.id());
    }

    /// Wakes the calls that were left: those of the reader's own runtime at once, others by their porters.
    pub(super) fn wake(&self) {
        let mut own = None;
        {
            let state = self.state();
            for porter in &state.porters {
                if state.reader.is_some_and(|reader| porter.is_at(reader)) {
                    own = Some(Arc::clone(porter));
                } else if !porter.waiting().is_empty() {
                    porter.news.notify_one();
                }
            }
        }
        if let Some(own) = own {
            own.wake_all();
        }
    }

    /// The conversation has ended, and with it its porters.
    pub(super) fn end(&self) {
        let porters = {
            let mut state = self.state();
            state.ended = true;
            std::mem::take(&mut state.porters)
        };
        for porter in porters {
            porter.gone.store(true, Ordering::Release);
            porter.news.notify_one();
            porter.wake_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    /// A thread with a runtime of its own, as each data thread is.
    async fn elsewhere<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(work)
        });
        tokio::task::spawn_blocking(|| thread.join())
            .await
            .expect("joined")
            .expect("no panic")
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn working(runtime: &Handle, at_work: AtWork) {
        runtime.spawn(at_work.serve(|| {}));
    }

    #[tokio::test]
    async fn the_reader_goes_where_all_calls_come_from() {
        let porters = Arc::new(Porters::default());
        porters.reads_here();
        let (calling, none) = (Arc::clone(&porters), MOVES_AFTER - 1);
        for call in 0..none {
            elsewhere({
                let porters = Arc::clone(&porters);
                async move { porters.here(working).is_some() }
            })
            .await;
            assert!(!porters.is_elsewhere(), "{call}: each came from another");
        }
        let there = elsewhere(async move {
            for _ in 0..none {
                calling.here(working);
            }
            assert!(!calling.is_elsewhere(), "not yet");
            calling.here(working);
            assert!(calling.is_elsewhere());
            Handle::current().id()
        });
        assert_ne!(there.await, Handle::current().id());
        assert!(
            porters.move_reader().is_none(),
            "that runtime has ended meanwhile"
        );
        for _ in 0..=MOVES_AFTER {
            porters.here(working);
        }
        assert!(!porters.is_elsewhere(), "it is here already");
    }

    #[tokio::test]
    async fn calls_are_woken_together_by_their_own_porter() {
        let porters = Arc::new(Porters::default());
        porters.reads_here();
        let here = porters.here(working).expect("a porter");
        let woken = Arc::new(Woken::default());
        here.leave(Waker::from(Arc::clone(&woken)));
        here.leave(Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Acquire), 0, "not before the read is done");
        porters.wake();
        assert_eq!(woken.0.load(Ordering::Acquire), 2);
        let reading = Arc::clone(&porters);
        elsewhere(async move { reading.reads_here() }).await;
        here.leave(Waker::from(Arc::clone(&woken)));
        porters.wake();
        assert_eq!(woken.0.load(Ordering::Acquire), 2, "it is for its porter to do");
        tokio::task::yield_now().await;
        assert_eq!(woken.0.load(Ordering::Acquire), 3);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_porter_that_has_left() {
        let porters = Arc::new(Porters::default());
        let there = Arc::clone(&porters);
        let gone = elsewhere(async move { there.here(working).expect("a porter") }).await;
        let woken = Arc::new(Woken::default());
        gone.leave(Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Acquire), 1, "its runtime has ended");
        let here = porters.here(working).expect("a porter");
        here.leave(Waker::from(Arc::clone(&woken)));
        porters.end();
        assert_eq!(woken.0.load(Ordering::Acquire), 2, "so has the conversation");
        assert!(porters.here(working).is_none());
    }
}
