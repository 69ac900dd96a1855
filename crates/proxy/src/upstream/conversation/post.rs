//! A porter's post on one runtime. What one thread writes for each call, and what two do, are on different cache lines.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::sync::Notify;

/// What the calls of one runtime have in common.
pub(super) struct Post<T> {
    pub(super) runtime: Handle,
    /// What each of them holds: references to it are counted by their thread alone.
    pub(super) held: Weak<T>,
    /// The porter has left; nobody may wait for it.
    gone: AtomicBool,
    own: Own,
    shared: Shared,
}

/// What only the post's runtime writes, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own {
    /// How many calls it has made.
    calls: AtomicU32,
    /// How many the reader's runtime had made when that was last looked at.
    readers: AtomicU32,
}

/// What the reader writes too.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shared {
    /// There is something to write, to wake, or to end.
    news: Notify,
    /// Calls for which something has come.
    waiting: Mutex<Vec<Waker>>,
}

impl<T> Post<T> {
    /// A post on a runtime where none was; the reader's has made so many calls.
    pub(super) fn new(runtime: Handle, held: Weak<T>, readers: u32) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            held,
            gone: AtomicBool::new(false),
            own: Own {
                calls: AtomicU32::new(0),
                readers: AtomicU32::new(readers),
            },
            shared: Shared::default(),
        })
    }

    /// Counts a call. Of several at once on a runtime of many threads some may be missed.
    pub(super) fn count(&self) -> u32 {
        let calls = self.calls().wrapping_add(1);
        self.own.calls.store(calls, Ordering::Relaxed);
        calls
    }

    /// How many it has counted.
    pub(super) fn calls(&self) -> u32 {
        self.own.calls.load(Ordering::Relaxed)
    }

    /// The porter has left.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Leaves a call that is to be woken.
    pub(super) fn leave(&self, call: Waker) {
        let mut waiting = self.waiting();
        if self.is_gone() {
            drop(waiting);
            return call.wake();
        }
        waiting.push(call);
    }

    /// Wakes all that were left. `room` is empty, and keeps its room for the next time.
    pub(super) fn wake_all(&self, room: &mut Vec<Waker>) {
        std::mem::swap(&mut *self.waiting(), room);
        room.drain(..).for_each(Waker::wake);
    }

    /// Nobody is to wait any more.
    fn leave_for_good(&self) {
        self.gone.store(true, Ordering::Release);
        self.wake_all(&mut Vec::new());
    }

    /// There is something to write, to wake, or to end.
    pub(super) fn tell(&self) {
        self.shared.news.notify_one();
    }

    /// Calls have been left.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Looks how many calls the reader's runtime has made; true if they are as many as the last time.
    pub(super) fn sees_readers(&self, readers: u32) -> bool {
        self.own.readers.swap(readers, Ordering::Relaxed) == readers
    }

    /// The conversation has ended.
    pub(super) fn end(&self) {
        self.leave_for_good();
        self.tell();
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A porter at work. It leaves for good when this is dropped, whatever ends its task.
pub(super) struct AtWork<T>(Arc<Post<T>>);

impl<T> Drop for AtWork<T> {
    fn drop(&mut self) {
        self.0.leave_for_good();
    }
}

impl<T> AtWork<T> {
    pub(super) fn at(post: &Arc<Post<T>>) -> Self {
        Self(Arc::clone(post))
    }

    /// Works until the conversation ends: `write` writes what waits. It comes after those whose requests are there already
    /// or come meanwhile: each write may have to wake the server, which costs more than all that is said with it.
    pub(super) async fn serve(self, write: impl Fn() + Send) {
        let mut room = Vec::new();
        while !self.0.is_gone() {
            self.0.shared.news.notified().await;
            self.0.wake_all(&mut room);
            tokio::task::yield_now().await;
            write();
        }
    }
}
