//! One child process: its pipes and its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::runtime::Handle;

use super::group::Group;
use super::lines::{LineError, Lines};
use super::processes::Place;
use crate::upstream::Launcher;
use crate::upstream::conversation::{Carrier, Conversation, Messages, Outbox, Read, Reading, Unusable};
use crate::upstream::ground::Ground;
use crate::upstream::inbox::Inbox;

/// How long a guard may take besides.
const GUARD: Duration = Duration::from_millis(1500);

/// How long a child may take to end by itself, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Starts a child that will be spoken to in `era`. Its tasks live on the control runtime, but what it says is read where
/// most of its calls come from. `place` is given back when the child has ended.
///
/// # Errors
/// A fault that is safe to repeat: nothing was sent to anyone.
pub(crate) fn start(
    ground: &Arc<Ground>,
    era: Era,
    inbox: Arc<Inbox>,
    place: Option<Place>,
) -> Result<Arc<Conversation>, Fault> {
    // Pipes and the child belong to the runtime in which they are made.
    let _control = ground.deps.control.enter();
    let mut child = super::spawn(ground)?;
    let (stdin, stdout) = pipes(&mut child).map_err(|error| Fault::unreached("start the process", error))?;
    let limit = ground.spec.limits.message_bytes;
    let outbox = Outbox::of_pipe(limit, stdin);
    let conversation = Conversation::new(ground, Carrier::Process, era, inbox, outbox);
    let tasks = &ground.tasks;
    let writer = Arc::clone(&conversation);
    tasks.spawn(async move {
        let written = writer.outbox().drain(writer.ground.spec.limits.idle).await;
        writer.written(written);
    });
    let reader = Reader {
        conversation: Arc::clone(&conversation),
        done: false,
    };
    read_on(
        &ground.deps.control,
        reader,
        Reading::moving(Lines::new(stdout, limit)),
    );
    if let Some(stderr) = child.stderr.take() {
        let (name, counters) = (ground.spec.name.clone(), Arc::clone(&ground.counters));
        tasks.spawn(super::stderr::drain(stderr, name, ground.secrets(), counters));
    }
    if let Some(place) = &place {
        ground.processes.started(place.owner(), &conversation);
    }
    tasks.spawn(keep(Arc::clone(&conversation), child, place));
    Ok(conversation)
}

/// The child's standard input and output.
fn pipes(child: &mut Child) -> io::Result<(pipe::Sender, pipe::Receiver)> {
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let stdin = child.stdin.take().ok_or_else(missing)?.into_owned_fd()?;
    let stdout = child.stdout.take().ok_or_else(missing)?.into_owned_fd()?;
    Ok((
        pipe::Sender::from_owned_fd(stdin)?,
        pipe::Receiver::from_owned_fd(stdout)?,
    ))
}

/// Who reads a child. A runtime that ends takes its reader with it, and the child is not used any more.
struct Reader {
    conversation: Arc<Conversation>,
    done: bool,
}

impl Reader {
    /// There is nothing more to read.
    fn finish(mut self) {
        self.done = true;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.done {
            self.conversation.stop();
        }
    }
}

/// Reads a child on this runtime, and goes on wherever most of its calls come from.
fn read_on(runtime: &Handle, reader: Reader, mut reading: Reading<Lines<pipe::Receiver>>) {
    let tasks = reader.conversation.ground.tasks.clone();
    tasks.spawn_on(runtime, async move {
        loop {
            if reading.here(&reader.conversation).await == Read::All {
                return reader.finish();
            }
            if let Some(elsewhere) = reader.conversation.move_reader() {
                return match moved(reading, &elsewhere) {
                    Ok(reading) => read_on(&elsewhere, reader, reading),
                    Err(error) => {
                        tracing::warn!(%error, "a process is stopped: its output cannot be read on")
                    }
                };
            }
        }
    });
}

fn moved(
    reading: Reading<Lines<pipe::Receiver>>,
    runtime: &Handle,
) -> io::Result<Reading<Lines<pipe::Receiver>>> {
    let _there = runtime.enter();
    reading.exchange(Lines::moved)
}

/// Owns the child until it has ended.
async fn keep(conversation: Arc<Conversation>, mut child: Child, place: Option<Place>) {
    let launcher = &conversation.ground.deps.launcher;
    let mut group = Group::of(&child, launcher);
    tokio::select! {
        _status = child.wait() => {}
        () = conversation.stopping() => {
            conversation.outbox().close();
            group.end(&mut child, GRACE, grace_after_term(launcher)).await;
        }
    }
    // What the child left behind in its group ends with it (ST-06).
    group.kill();
    // Whoever waits for the end may start another one.
    drop(place);
    conversation.finish();
}

/// A guard needs some time of its own to end what its program started, wherever that has gone to.
fn grace_after_term(launcher: &Launcher) -> Duration {
    match launcher {
        Launcher::Direct => GRACE,
        Launcher::Guard(_) => GRACE + GUARD,
    }
}

impl Messages for Lines<pipe::Receiver> {
    async fn next(&mut self) -> Result<Option<Bytes>, Unusable> {
        let line = self.next_line().await;
        line.map_err(unreadable)
    }

    fn ready(&mut self) -> Result<Option<Bytes>, Unusable> {
        Self::ready(self).map_err(unreadable)
    }
}

fn unreadable(error: LineError) -> Unusable {
    Fault::upstream("read standard output", error).into()
}
