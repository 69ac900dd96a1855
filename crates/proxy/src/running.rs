//! The running requests of one legacy session, or of one conversation.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use futures_util::{Stream, StreamExt as _};

use crate::sync::lock;

/// Running requests by raw id, so that `notifications/cancelled` finds them. One id may run twice: a client that does so
/// gets both answers (JR-14).
#[derive(Debug, Default)]
pub(crate) struct Running {
    calls: Mutex<Vec<(u64, Bytes, Arc<Cancel>)>>,
    next: AtomicU64,
}

/// A running request; forgotten on drop.
pub(crate) struct RunningCall {
    running: Arc<Running>,
    number: u64,
    cancel: Arc<Cancel>,
}

/// Tells a running request that nobody wants it any more. One task at a time waits for that: what a call needs of a
/// cancellation token, and no more.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    told: AtomicBool,
    waiting: AtomicWaker,
}

impl Cancel {
    fn tell(&self) {
        self.told.store(true, Ordering::Release);
        self.waiting.wake();
    }

    /// Whether it was told; the task is woken when it is.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Noted down before the second look, so that what is told between the two is not missed.
        if !self.told.load(Ordering::Acquire) {
            self.waiting.register(cx.waker());
        }
        if self.told.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// What is said until the request is cancelled.
pub(crate) struct Until<S> {
    said: S,
    cancel: Arc<Cancel>,
}

impl<S: Stream + Unpin> Stream for Until<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.cancel.poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.said.poll_next_unpin(cx)
    }
}

impl RunningCall {
    /// What tells that the client cancels it.
    pub(crate) fn cancel(&self) -> Arc<Cancel> {
        Arc::clone(&self.cancel)
    }

    /// Resolves when the client cancels it.
    pub(crate) async fn cancelled(&self) {
        poll_fn(|cx| self.cancel.poll(cx)).await;
    }

    /// The stream, until the client cancels the request.
    pub(crate) fn until<S: Stream + Unpin>(&self, said: S) -> Until<S> {
        Until {
            said,
            cancel: Arc::clone(&self.cancel),
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let mut calls = lock(&self.running.calls);
        if let Some(place) = calls.iter().position(|(number, ..)| *number == self.number) {
            calls.swap_remove(place);
        }
    }
}

impl Running {
    /// Notes a running request.
    pub(crate) fn begin(self: &Arc<Self>, id: Bytes) -> RunningCall {
        let cancel = Arc::<Cancel>::default();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.calls).push((number, id, Arc::clone(&cancel)));
        RunningCall {
            running: Arc::clone(self),
            number,
            cancel,
        }
    }

    /// Cancels what runs under this id. Unknown ids are none of our concern (P-67).
    pub(crate) fn cancel(&self, id: &[u8]) {
        let calls = lock(&self.calls);
        for (.., cancel) in calls.iter().filter(|(_, running, _)| running == id) {
            cancel.tell();
        }
    }

    /// Cancels everything.
    pub(crate) fn cancel_all(&self) {
        lock(&self.calls).iter().for_each(|(.., cancel)| cancel.tell());
    }

    /// Whether nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.calls).is_empty()
    }
}
