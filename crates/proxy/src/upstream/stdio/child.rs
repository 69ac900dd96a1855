//! One child process: its pipes and its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::fault::Fault;
use sallyport_mcp::Era;
use tokio::io::AsyncRead;
use tokio::process::Child;

use super::group::Group;
use super::lines::Lines;
use super::processes::Place;
use crate::upstream::Launcher;
use crate::upstream::conversation::{Carrier, Conversation, Messages, Unusable};
use crate::upstream::ground::Ground;
use crate::upstream::inbox::Inbox;

/// How long a guard may take besides.
const GUARD: Duration = Duration::from_millis(1500);

/// How long a child may take to end by itself, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Starts a child that will be spoken to in `era`. Its tasks live on the control runtime. `place` is given back when the
/// child has ended.
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
    let conversation = Conversation::new(ground, Carrier::Process, era, inbox);
    let tasks = &ground.tasks;
    if let Some(stdin) = child.stdin.take() {
        let writer = Arc::clone(&conversation);
        tasks.spawn(async move {
            let stall = writer.ground.spec.limits.idle;
            let written = writer.outbox().drain(stdin, stall).await;
            writer.written(written);
        });
    }
    if let Some(stdout) = child.stdout.take() {
        let reader = Arc::clone(&conversation);
        let lines = Lines::new(stdout, ground.spec.limits.message_bytes);
        tasks.spawn(async move { reader.read(lines).await });
    }
    if let Some(stderr) = child.stderr.take() {
        let (name, counters) = (ground.spec.name.clone(), Arc::clone(&ground.counters));
        tasks.spawn(super::stderr::drain(stderr, name, ground.secrets(), counters));
    }
    if place.is_some() {
        ground.processes.started(&conversation);
    }
    tasks.spawn(keep(Arc::clone(&conversation), child, place));
    Ok(conversation)
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

impl<R: AsyncRead + Unpin + Send> Messages for Lines<R> {
    async fn next(&mut self) -> Result<Option<Bytes>, Unusable> {
        let line = self.next_line().await;
        line.map_err(|error| Fault::upstream("read standard output", error).into())
    }
}
