//! The body of a request, between the connection that reads it and the service that wants it. Only the connection
//! touches the socket: it reads when a piece is wanted, so that nothing is read ahead. Both live in one task as a rule, and
//! then nobody is woken; a service may also read the body elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::BodyError;

/// What both sides look at.
pub(crate) struct Inlet(Mutex<Flow>);

struct Flow {
    piece: Option<Bytes>,
    state: State,
    /// How much is still to come, where the head told it.
    left: Option<u64>,
    wanted: bool,
    /// The body is wanted in one piece.
    whole: bool,
    /// Nobody will want anything any more.
    released: bool,
    reader: Option<Waker>,
    feeder: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Broken,
}

/// What the service wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    Nothing,
    Piece,
    /// All that is missing, in one piece.
    Whole,
}

impl Inlet {
    pub(super) fn new(left: Option<u64>) -> Self {
        Self(Mutex::new(Flow {
            piece: None,
            state: State::Open,
            left,
            wanted: false,
            whole: false,
            released: false,
            reader: None,
            feeder: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, for the service.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut flow = self.lock();
        if let Some(piece) = flow.piece.take() {
            let taken = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            flow.left = flow.left.map(|left| left.saturating_sub(taken));
            return Poll::Ready(Some(Ok(piece)));
        }
        match flow.state {
            State::Ended => return Poll::Ready(None),
            State::Broken => return Poll::Ready(Some(Err(BodyError::Broken))),
            State::Open => {}
        }
        flow.wanted = true;
        flow.reader = Some(cx.waker().clone());
        if let Some(feeder) = flow.feeder.take()
            && !feeder.will_wake(cx.waker())
        {
            drop(flow);
            feeder.wake();
        }
        Poll::Pending
    }

    /// From now on the whole body is wanted at once.
    pub(crate) fn gather(&self) {
        self.lock().whole = true;
    }

    /// How much is still to come, where the head told it.
    pub(crate) fn left(&self) -> Option<u64> {
        self.lock().left
    }

    /// Whether everything has been taken.
    pub(crate) fn is_over(&self) -> bool {
        let flow = self.lock();
        flow.piece.is_none() && flow.state == State::Ended
    }

    /// The service does not want the rest.
    pub(crate) fn release(&self) {
        self.lock().released = true;
    }

    pub(super) fn is_released(&self) -> bool {
        self.lock().released
    }

    /// What is wanted; the task is woken when that changes.
    pub(super) fn want(&self, cx: &mut Context<'_>) -> Want {
        let mut flow = self.lock();
        if flow.wanted {
            return if flow.whole { Want::Whole } else { Want::Piece };
        }
        if !flow
            .feeder
            .as_ref()
            .is_some_and(|feeder| feeder.will_wake(cx.waker()))
        {
            flow.feeder = Some(cx.waker().clone());
        }
        Want::Nothing
    }

    /// Hands a piece over, and the news that it was the last.
    pub(super) fn put(&self, piece: Bytes, is_last: bool) {
        self.tell(
            Some(piece).filter(|piece| !piece.is_empty()),
            if is_last { State::Ended } else { State::Open },
        );
    }

    /// There will be no more, and it is not complete.
    pub(super) fn fail(&self) {
        self.tell(None, State::Broken);
    }

    fn tell(&self, piece: Option<Bytes>, state: State) {
        let mut flow = self.lock();
        flow.piece = piece.or(flow.piece.take());
        flow.state = state;
        flow.wanted = false;
        let reader = flow.reader.take();
        drop(flow);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}
