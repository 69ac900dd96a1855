//! What a client is told: answers wait for room, everything else is bounded where it is made, and a client that takes
//! nothing for long is given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use sallyport_net::duplex::Outgoing;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Ended;
use crate::stream::{Events, MAX_QUEUED};

/// How long a client may take nothing of what waits to be written: 30 s, as over HTTP. Then the conversation is over.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The least bytes per second that a client takes of a long message.
const RATE: usize = 16 << 10;

/// How many messages share one write, at most: enough for a burst, few enough that the first is not late.
const TOGETHER: usize = 64;

/// Where answers go, and what belongs to their requests.
#[derive(Clone)]
pub(super) struct Mouth {
    queue: UnboundedSender<Said>,
    room: Arc<Semaphore>,
}

/// What waits to be written.
pub(super) struct Waiting {
    queue: UnboundedReceiver<Said>,
    room: Arc<Semaphore>,
}

/// A message and the room that it takes until it is written.
type Said = (Bytes, Option<OwnedSemaphorePermit>);

/// The two ends of what is said.
pub(super) fn mouth() -> (Mouth, Waiting) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(MAX_QUEUED));
    let mouth = Mouth {
        queue: sender,
        room: Arc::clone(&room),
    };
    let waiting = Waiting {
        queue: receiver,
        room,
    };
    (mouth, waiting)
}

impl Mouth {
    /// Says a message once there is room for it: [`MAX_QUEUED`] bytes wait at most, or one longer message alone. Who
    /// produces faster than the client reads is held up here.
    pub(super) async fn say(&self, message: Bytes) {
        let bytes = u32::try_from(message.len().min(MAX_QUEUED)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await;
        // Nobody writes any more: the conversation is over.
        let Ok(room) = room else { return };
        let _ = self.queue.send((message, Some(room)));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.room.close();
    }
}

impl Waiting {
    fn ready(&mut self) -> Option<Said> {
        self.queue.try_recv().ok()
    }
}

/// Writes until nobody has anything to say any more, then closes the connection in good order. `notices` are what belongs
/// to no request; answers go first, so that the one to `initialize` is the first word of a session.
///
/// # Errors
/// The client is too slow, or has left.
pub(super) async fn write(outgoing: Outgoing, answers: Waiting, notices: Events) -> Result<(), Ended> {
    let cut = notices.cut();
    tokio::select! {
        biased;
        () = cut.happens() => Err(Ended::Slow),
        written = write_all(outgoing, answers, notices) => written,
    }
}

async fn write_all(mut outgoing: Outgoing, mut answers: Waiting, mut notices: Events) -> Result<(), Ended> {
    let mut quiet = false;
    loop {
        let said = tokio::select! {
            biased;
            Some(said) = answers.queue.recv() => said,
            notice = notices.next(), if !quiet => match notice {
                Some(notice) => (notice, None),
                None => {
                    quiet = true;
                    continue;
                }
            },
            else => break,
        };
        let mut taken = Vec::new();
        let mut next = Some(said);
        while let Some((message, room)) = next {
            let time = patience(message.len());
            in_time(time, outgoing.feed(message)).await?;
            taken.push(room);
            next = match answers.ready() {
                _ if taken.len() >= TOGETHER => None,
                Some(said) => Some(said),
                None => notices.ready().map(|notice| (notice, None)),
            };
        }
        in_time(patience(MAX_QUEUED), outgoing.flush()).await?;
    }
    in_time(PATIENCE, outgoing.close()).await
}

fn patience(bytes: usize) -> Duration {
    PATIENCE + Duration::from_secs(u64::try_from(bytes / RATE).unwrap_or(u64::MAX))
}

async fn in_time<E>(time: Duration, writing: impl Future<Output = Result<(), E>>) -> Result<(), Ended> {
    match timeout(time, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Slow),
    }
}
