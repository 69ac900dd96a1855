//! The flight recorder's pen: steps are handed over without waiting, and written down by a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sallyport_core::watch::{Knock, Turned, WatchLogins};
use sallyport_core::{Clock, Principal, Random};
use sallyport_oauth::flight::book::PATIENCE;
use sallyport_oauth::flight::{Agent, Book, Keys, Place, Point, Refused, Rule, Sighting, Step};
use sallyport_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

/// The most steps that wait to be written down. A log-in has some ten; what comes beyond is a flood, and is only counted.
const QUEUE: usize = 1024;
/// How long steps are gathered before the store is written: a command that shows them sees them soon enough.
const GATHER: Duration = Duration::from_millis(200);
/// The most log-ins that one write takes along, so that a flood does not keep others from writing.
const BATCH: usize = 64;

enum Message {
    Saw(Sighting),
    /// Everything before this has been written when it is answered.
    Flush(oneshot::Sender<()>),
}

/// Takes down what happens to log-ins.
pub struct Logins {
    queue: mpsc::Sender<Message>,
    clock: Arc<dyn Clock>,
    lost: AtomicU64,
}

impl Logins {
    /// Goes on with what the store holds. The task runs on `control` until this is dropped.
    #[must_use]
    pub fn start(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        control: &Handle,
    ) -> Arc<Self> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let writer = Writer {
            store,
            clock: Arc::clone(&clock),
            random,
            book: Book::default(),
        };
        control.spawn(writer.run(messages));
        Arc::new(Self {
            queue,
            clock,
            lost: AtomicU64::new(0),
        })
    }

    /// Takes a step down, unless too many wait.
    pub(crate) fn saw(&self, keys: impl FnOnce() -> (Keys, Step)) {
        let Ok(place) = self.queue.try_reserve() else {
            // At the first one and then seldom: the flood itself is in the log already.
            if self.lost.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
                tracing::warn!("more happens to log-ins than can be written down; some steps are missing");
            }
            return;
        };
        let (keys, step) = keys();
        let at = self.clock.now();
        place.send(Message::Saw(Sighting { at, keys, step }));
    }

    /// Returns when everything that was seen before is in the store.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            // The task may have ended with its runtime.
            let _ = written.await;
        }
    }
}

impl WatchLogins for Logins {
    fn turned_away(&self, knock: Knock<'_>) {
        self.saw(|| {
            let keys = Keys {
                sender: Some((knock.peer, Agent::of(knock.agent))),
                grant: knock.grant.cloned(),
                ..Keys::default()
            };
            let rule = match knock.turned {
                Turned::NoToken => Rule::TokenMissing,
                Turned::Malformed => Rule::TokenMalformed,
                Turned::Proof => Rule::ProofRefused,
                Turned::Token(error) => error.into(),
                Turned::Scope => return (keys, Refused::at(Point::Mcp, Rule::TokenScope).into()),
                Turned::NotAdmitted => {
                    return (keys, Refused::at(Point::Mcp, Rule::PersonNotAdmitted).into());
                }
            };
            let endpoint = Place::of(knock.path);
            (keys, Step::Challenged { endpoint, rule })
        });
    }

    fn first_use(&self, principal: &Principal) {
        self.saw(|| (Keys::default().grant(&principal.grant), Step::Used));
    }
}

struct Writer {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    book: Book,
}

impl Writer {
    async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        match self.store.logins(self.clock.now().minus(PATIENCE)).await {
            Ok(traces) => self.book = Book::resume(traces),
            Err(error) => tracing::warn!(%error, "log-ins of before cannot be read"),
        }
        let mut due: Option<Instant> = None;
        loop {
            let message = tokio::select! {
                message = messages.recv() => message,
                () = at(due) => {
                    self.write().await;
                    due = self.book.is_changed().then(|| Instant::now() + GATHER);
                    continue;
                }
            };
            match message {
                Some(Message::Saw(sighting)) => {
                    let random = Arc::clone(&self.random);
                    self.book.see(sighting, || id(&*random));
                    if self.book.is_changed() {
                        due = due.or_else(|| Some(Instant::now() + GATHER));
                    }
                }
                Some(Message::Flush(done)) => {
                    while self.book.is_changed() {
                        self.write().await;
                    }
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                }
                None => return,
            }
        }
    }

    async fn write(&mut self) {
        let changes = self.book.changes(BATCH);
        let written = self
            .store
            .put_logins(&changes.keep, &changes.drop, self.clock.now())
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "what became of log-ins could not be written down");
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Eight hexadecimal digits: short enough to type.
fn id(random: &dyn Random) -> String {
    let mut bytes = [0; 4];
    random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
