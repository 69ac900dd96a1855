//! The running requests of one legacy session, or of one conversation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;

/// Running requests by raw id, so that `notifications/cancelled` finds them. One id may run twice: a client that does so
/// gets both answers (JR-14).
#[derive(Debug, Default)]
pub(crate) struct Running {
    calls: Mutex<Vec<(u64, Bytes, CancellationToken)>>,
    next: AtomicU64,
}

/// A running request; forgotten on drop.
pub(crate) struct RunningCall {
    running: Arc<Running>,
    number: u64,
    token: CancellationToken,
}

impl RunningCall {
    /// Cancelled by the client.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
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
        let token = CancellationToken::new();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.calls).push((number, id, token.clone()));
        RunningCall {
            running: Arc::clone(self),
            number,
            token,
        }
    }

    /// Cancels what runs under this id. Unknown ids are none of our concern (P-67).
    pub(crate) fn cancel(&self, id: &[u8]) {
        let calls = lock(&self.calls);
        for (.., token) in calls.iter().filter(|(_, running, _)| running == id) {
            token.cancel();
        }
    }

    /// Cancels everything.
    pub(crate) fn cancel_all(&self) {
        lock(&self.calls).iter().for_each(|(.., token)| token.cancel());
    }

    /// Whether nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.calls).is_empty()
    }
}
