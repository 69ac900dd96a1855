//! One child process: its pipes, its calls, its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use sallyport_mcp::error;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::calls::{Calls, Running};
use super::group::Group;
use super::lines::{LineError, Lines};
use super::outbox::Outbox;
use super::reply::InFlight;
use crate::upstream::Launcher;
use crate::upstream::ground::Ground;
use crate::upstream::inbox::{Inbox, Respond};
use crate::upstream::mailbox::mailbox;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::pace::Pace;

/// How long a guard may take besides.
const GUARD: Duration = Duration::from_millis(1500);

/// How long a child may take to end by itself, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Lines in a row that are no messages before the child is given up (ST-08).
const GARBAGE: usize = 100;

/// Messages in a row that belong to no call before the reader pauses (ST-07).
const UNASKED: usize = 1000;

/// How long it pauses.
const PAUSE: Duration = Duration::from_millis(50);

/// A running child process of a stdio server.
pub(crate) struct Process {
    pub(super) ground: Arc<Ground>,
    legacy: AtomicBool,
    pub(super) calls: Calls,
    pub(super) inbox: Arc<Inbox>,
    outbox: Outbox,
    /// The child is to end.
    stop: CancellationToken,
    /// It has ended, and so has its process group.
    ended: CancellationToken,
    told_to_end: AtomicBool,
}

impl Process {
    /// Starts a child that will be spoken to in `era`. Its tasks live on the control runtime.
    ///
    /// # Errors
    /// A fault that is safe to repeat: nothing was sent to anyone.
    pub(crate) fn start(ground: &Arc<Ground>, era: Era, inbox: Arc<Inbox>) -> Result<Arc<Self>, Fault> {
        // Pipes and the child belong to the runtime in which they are made.
        let _control = ground.deps.control.enter();
        let mut child = super::spawn(ground)?;
        let process = Arc::new(Self {
            ground: Arc::clone(ground),
            legacy: AtomicBool::new(era == Era::Legacy),
            calls: Calls::default(),
            inbox,
            outbox: Outbox::new(ground.spec.limits.message_bytes),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
            told_to_end: AtomicBool::new(false),
        });
        let tasks = &ground.tasks;
        if let Some(stdin) = child.stdin.take() {
            tasks.spawn(Arc::clone(&process).write(stdin));
        }
        if let Some(stdout) = child.stdout.take() {
            tasks.spawn(Arc::clone(&process).read(stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            let (name, counters) = (ground.spec.name.clone(), Arc::clone(&ground.counters));
            tasks.spawn(super::stderr::drain(stderr, name, ground.secrets(), counters));
        }
        tasks.spawn(Arc::clone(&process).keep(child));
        Ok(process)
    }

    /// The era in which it is spoken to.
    pub(super) fn era(&self) -> Era {
        if self.legacy.load(Ordering::Acquire) {
            Era::Legacy
        } else {
            Era::Modern
        }
    }

    /// From now on it is spoken to as a legacy server: it did not understand a modern request.
    pub(crate) fn speak_legacy(&self) {
        self.legacy.store(true, Ordering::Release);
    }

    /// Sends a request.
    ///
    /// # Errors
    /// A fault that is safe to repeat: the request was not queued.
    pub(crate) fn call(self: &Arc<Self>, outgoing: &Outgoing<'_>) -> Result<InFlight, Fault> {
        let span = outgoing.token_span()?;
        let pace = Pace::start(&self.ground.spec.limits);
        let (sender, letters) = mailbox(pace.questions().clone());
        let entered = self.calls.enter(Running {
            id: outgoing.id.clone(),
            token: outgoing.token.clone(),
            logs: outgoing.logs,
            // 2025-11-25, Cancellation: `initialize` never is.
            may_cancel: outgoing.method != "initialize",
            mailbox: sender,
        });
        let id = entered.ok_or_else(|| Fault::unreached("send the request", "the process has ended"))?;
        let number = id.to_string();
        let params: &[u8] = &outgoing.params;
        let (before, token, after) = match span {
            Some(span) => (
                params.get(..span.start()).unwrap_or_default(),
                number.as_bytes(),
                params.get(span.end()..).unwrap_or_default(),
            ),
            None => (params, &[][..], &[][..]),
        };
        let queued = self.outbox.push(&[
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            number.as_bytes(),
            b",\"method\":\"",
            outgoing.method.as_bytes(),
            b"\",\"params\":",
            before,
            token,
            after,
            b"}",
        ]);
        if let Err(error) = queued {
            self.calls.take(id);
            return Err(Fault::unreached("send the request", error));
        }
        Ok(InFlight::new(Arc::clone(self), id, letters, pace))
    }

    /// Sends a notification or an answer.
    ///
    /// # Errors
    /// A fault when it cannot be queued.
    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Fault> {
        self.outbox
            .push(&[message])
            .map_err(|error| Fault::unreached("send a message", error))
    }

    /// Gives a call up: late messages about it find nobody, and the server is told to stop.
    pub(crate) fn abandon(&self, id: u64, reason: &str) {
        if !self.calls.take(id).is_some_and(|call| call.may_cancel) {
            return;
        }
        let params = format!("{{\"requestId\":{id},\"reason\":\"{reason}\"}}");
        let message = error::notification("notifications/cancelled", Some(params.as_bytes()));
        // A process that does not read or has ended has nothing to cancel.
        let _unread = self.send(&message);
    }

    /// Whether it can be used.
    pub(crate) fn is_alive(&self) -> bool {
        !self.stop.is_cancelled() && !self.ended.is_cancelled()
    }

    /// Becomes ready when the child and its group have ended.
    pub(crate) async fn wait_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Asks it to end, politely at first; [`Self::wait_ended`] tells when it has.
    pub(crate) fn stop(&self) {
        self.told_to_end.store(true, Ordering::Release);
        self.stop.cancel();
    }

    /// A guard needs some time of its own to end what its program started, wherever that has gone to.
    fn grace_after_term(&self) -> Duration {
        match self.ground.deps.launcher {
            Launcher::Direct => GRACE,
            Launcher::Guard(_) => GRACE + GUARD,
        }
    }

    async fn write(self: Arc<Self>, stdin: tokio::process::ChildStdin) {
        let stall = self.ground.spec.limits.idle;
        let written = self.outbox.drain(stdin, stall).await;
        if let Err(error) = written
            && self.is_alive()
        {
            tracing::warn!(server = %self.ground.spec.name, %error, "a server does not take messages; it is stopped");
            self.stop.cancel();
        }
    }

    async fn read(self: Arc<Self>, stdout: tokio::process::ChildStdout) {
        let mut lines = Lines::new(stdout, self.ground.spec.limits.message_bytes);
        if let Err(reason) = self.read_lines(&mut lines).await
            && self.is_alive()
        {
            tracing::warn!(server = %self.ground.spec.name, %reason, "a server's output is unusable; it is stopped");
        }
        self.stop.cancel();
    }

    async fn read_lines(
        self: &Arc<Self>,
        lines: &mut Lines<tokio::process::ChildStdout>,
    ) -> Result<(), Unusable> {
        let (mut garbage, mut unasked) = (0, 0);
        while let Some(line) = lines.next().await? {
            match self.dispatch(line) {
                Use::Blank => {}
                Use::Call => (garbage, unasked) = (0, 0),
                Use::Other => {
                    garbage = 0;
                    unasked += 1;
                }
                Use::Garbage => {
                    garbage += 1;
                    unasked += 1;
                    self.ground.counters.garbage.add();
                    if garbage == 1 {
                        tracing::info!(server = %self.ground.spec.name, "a line on standard output is no message");
                    }
                    if garbage > GARBAGE {
                        return Err(Unusable::Garbage);
                    }
                }
            }
            if unasked >= UNASKED {
                unasked = 0;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Owns the child until it has ended.
    async fn keep(self: Arc<Self>, mut child: Child) {
        let mut group = Group::of(&child, &self.ground.deps.launcher);
        tokio::select! {
            _status = child.wait() => {}
            () = self.stop.cancelled() => {
                self.outbox.close();
                group.end(&mut child, GRACE, self.grace_after_term()).await;
            }
        }
        // What the child left behind in its group ends with it (ST-06).
        group.kill();
        self.stop.cancel();
        self.outbox.close();
        self.calls.end("the process ended");
        self.inbox.forget_questions();
        if !self.told_to_end.load(Ordering::Acquire) {
            self.ground.counters.crashes.add();
            tracing::warn!(server = %self.ground.spec.name, "a server's process ended");
        }
        self.ended.cancel();
    }
}

impl Respond for Process {
    fn respond(&self, message: Bytes) {
        // A process that has ended waits for no answer.
        let _unread = self.send(&message);
    }
}

/// What a line was; of a batch, its most useful message counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Use {
    /// Nothing.
    Blank,
    /// No message.
    Garbage,
    /// A message about something else.
    Other,
    /// About a running call.
    Call,
}

/// Why a child's output cannot be used any more.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("{GARBAGE} lines in a row are no messages")]
    Garbage,
}
