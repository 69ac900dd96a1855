//! Calls of several threads at once.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::calls::Calls;
use super::porter::Porters;
use super::post::AtWork;
use crate::exchange::Message;
use crate::upstream::mailbox::{Terms, mailbox_of_call};
use crate::upstream::outgoing::Logs;

/// Runtimes that follow each other on a thread, rounds of calls on each, and calls at once.
const RUNTIMES: usize = 20;
const ROUNDS: usize = 20;
const TOGETHER: usize = 8;

struct Server {
    calls: Calls,
    porters: Porters<()>,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn working(runtime: &Handle, at_work: AtWork<()>, held: Arc<()>) {
    runtime.spawn(async move {
        let _held = held;
        at_work.serve(|| {}).await;
    });
}

impl Server {
    /// A call that the server answers with its id.
    async fn call(self: Arc<Self>, to: UnboundedSender<u64>) {
        let (porter, _held) = self.porters.here(|| (), working).expect("a porter");
        let terms = Terms {
            id: Bytes::new(),
            token: None,
            logs: Logs::None,
            may_cancel: true,
        };
        let (mailbox, mut letters) = mailbox_of_call(porter, terms, 0);
        let id = self.calls.enter(mailbox).expect("alive");
        to.send(id).expect("it reads");
        let answer = letters.next().await.expect("an answer");
        assert!(matches!(answer, Message::Terminal(bytes) if bytes == id.to_string()));
    }

    /// Takes what there is, a number of times; true if there is no more.
    async fn read(&self, from: &mut UnboundedReceiver<u64>) -> bool {
        self.porters.reads_here();
        let mut room = Vec::new();
        for _ in 0..50 {
            let mut ids = Vec::new();
            if from.recv_many(&mut ids, 16).await == 0 {
                return true;
            }
            for id in ids {
                let call = self.calls.take(id).expect("it runs");
                let answer = Message::Terminal(id.to_string().into());
                call.deliver_by(answer, |porter, call| self.porters.leave(porter, call));
            }
            self.porters.wake(&mut room);
        }
        false
    }
}

#[test]
fn no_call_is_left_asleep_while_runtimes_come_and_go_and_the_reader_moves() {
    let server = Arc::new(Server {
        calls: Calls::default(),
        porters: Porters::new(),
    });
    let (to, mut from) = unbounded_channel();
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (server, to) = (Arc::clone(&server), to.clone());
            thread::spawn(move || {
                for _ in 0..RUNTIMES {
                    runtime().block_on(async {
                        for _ in 0..ROUNDS {
                            let call = |_| tokio::spawn(Arc::clone(&server).call(to.clone()));
                            for call in (0..TOGETHER).map(call).collect::<Vec<_>>() {
                                call.await.expect("its own answer");
                            }
                        }
                    });
                }
            })
        })
        .collect();
    drop(to);
    let reader = thread::spawn({
        let server = Arc::clone(&server);
        move || {
            let places = [runtime(), runtime()];
            let mut places = places.iter().cycle();
            while places
                .next()
                .is_some_and(|place| !place.block_on(server.read(&mut from)))
            {}
        }
    });
    let ended = std::time::Instant::now() + Duration::from_secs(60);
    while !reader.is_finished() {
        assert!(std::time::Instant::now() < ended, "a call is asleep");
        thread::sleep(Duration::from_millis(5));
    }
    for caller in callers {
        caller.join().expect("no panic");
    }
    assert!(server.calls.idle().is_some());
}
