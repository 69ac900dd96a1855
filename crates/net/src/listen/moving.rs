//! Connections that move: one whose requests are all drawn to another worker's runtime ([`crate::pull`]) is served there
//! from then on. It moves between two requests, with its seat and with what was read ahead; what was made of its head it
//! leaves behind, which belongs to the worker that made it.

use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

use super::accept::Accepted;
use super::caps::Seat;

/// Requests in a row that were all drawn to one other worker before the connection moves there. Moving costs what some ten
/// of them save. A program's reader leaves the thread where it began after half as many: connections go to where it stays.
pub(super) const AFTER: u32 = 32;

/// The same for a connection that has moved already. What it is drawn to may have gone to where it came from meanwhile, and
/// comes back after 256 calls if no others hold it there: the two do not look for each other in turn.
pub(super) const AGAIN_AFTER: u32 = 1024;

/// A connection for whom it is served by.
pub(crate) struct Arrived<T> {
    pub(super) stream: T,
    pub(super) peer: SocketAddr,
    /// What was read ahead, if it was served elsewhere before.
    pub(super) ahead: Option<BytesMut>,
}

impl<T> Arrived<T> {
    /// The connection where nothing has been read of it.
    pub(crate) fn into_parts(self) -> (T, SocketAddr) {
        (self.stream, self.peer)
    }
}

/// A connection that is to be served elsewhere.
pub(crate) struct Moving<T> {
    pub(super) to: UnboundedSender<Accepted>,
    pub(super) stream: T,
    pub(super) ahead: BytesMut,
}

impl Moving<TcpStream> {
    /// Sends it there, with its seat.
    pub(super) fn go(self, peer: SocketAddr, seat: Seat) {
        let stream = match self.stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "a connection could not be handed over"),
        };
        let moved = Accepted {
            stream,
            peer,
            seat,
            ahead: Some(self.ahead),
        };
        if self.to.send(moved).is_err() {
            tracing::error!("a worker is gone");
        }
    }
}

/// The workers of a listener, by their runtimes. It is for the accepting thread to keep them: they end with it.
#[derive(Default)]
pub(crate) struct Neighbours(Vec<(Id, WeakUnboundedSender<Accepted>)>);

impl Neighbours {
    pub(super) fn new(workers: impl Iterator<Item = (Id, WeakUnboundedSender<Accepted>)>) -> Self {
        Self(workers.collect())
    }

    /// The worker of a runtime, if it is another than the one that this is called in and still takes connections.
    fn find(&self, runtime: Id) -> Option<UnboundedSender<Accepted>> {
        let is_here = Handle::try_current().is_ok_and(|here| here.id() == runtime);
        let (_, worker) = self.0.iter().find(|(id, _)| *id == runtime && !is_here)?;
        worker.upgrade().filter(|worker| !worker.is_closed())
    }
}

/// Where the requests of a connection were drawn.
pub(super) struct Drawn {
    to: Option<Id>,
    /// So many in a row.
    requests: u32,
    /// And so many it takes.
    after: u32,
}

impl Drawn {
    /// No request has come.
    pub(super) fn new(has_moved: bool) -> Self {
        Self {
            to: None,
            requests: 0,
            after: if has_moved { AGAIN_AFTER } else { AFTER },
        }
    }

    /// A request has been answered, and was drawn there. The worker that the connection moves to now, if it does.
    pub(super) fn answered(
        &mut self,
        to: Option<Id>,
        neighbours: &Neighbours,
    ) -> Option<UnboundedSender<Accepted>> {
        if self.to != to {
            (self.to, self.requests) = (to, 0);
        }
        let to = to?;
        self.requests += 1;
        if self.requests < self.after {
            return None;
        }
        self.requests = 0;
        neighbours.find(to)
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    struct Place {
        runtime: Runtime,
        sender: UnboundedSender<Accepted>,
        receiver: UnboundedReceiver<Accepted>,
    }

    fn places() -> ([Place; 2], Neighbours) {
        let places = [(); 2].map(|()| {
            let (sender, receiver) = unbounded_channel();
            Place {
                runtime: Builder::new_current_thread().build().unwrap(),
                sender,
                receiver,
            }
        });
        let of = |place: &Place| (place.runtime.handle().id(), place.sender.downgrade());
        let neighbours = Neighbours::new(places.iter().map(of));
        (places, neighbours)
    }

    #[test]
    fn only_requests_in_a_row_that_are_drawn_to_one_place_count() {
        let ([one, two], neighbours) = places();
        let (one, two) = (one.runtime.handle().id(), two.runtime.handle().id());
        for (has_moved, after) in [(false, AFTER), (true, AGAIN_AFTER)] {
            let mut drawn = Drawn::new(has_moved);
            for other in [None, Some(two), None] {
                for _ in 1..after {
                    assert!(drawn.answered(Some(one), &neighbours).is_none());
                }
                assert!(drawn.answered(other, &neighbours).is_none());
            }
            for _ in 1..after {
                assert!(drawn.answered(Some(one), &neighbours).is_none());
            }
            assert!(drawn.answered(Some(one), &neighbours).is_some());
        }
    }

    #[test]
    fn nobody_moves_to_where_it_is_or_where_nobody_is_taken() {
        let ([one, two], neighbours) = places();
        let strange = Builder::new_current_thread().build().unwrap();
        let (here, there) = (one.runtime.handle().id(), two.runtime.handle().id());
        let _here = one.runtime.enter();
        assert!(neighbours.find(here).is_none());
        assert!(neighbours.find(strange.handle().id()).is_none());
        assert!(neighbours.find(there).is_some());
        drop(two.receiver);
        assert!(neighbours.find(there).is_none(), "the worker is gone");
    }

    #[test]
    fn neighbours_keep_no_worker_from_ending() {
        let ([_one, mut two], neighbours) = places();
        let there = two.runtime.handle().id();
        drop(two.sender);
        assert!(two.receiver.blocking_recv().is_none());
        assert!(neighbours.find(there).is_none());
    }
}
