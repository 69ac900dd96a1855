//! The process group of a child: everything that it started and left in it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

use crate::upstream::Launcher;

/// A child's process group; ended at the latest when dropped.
pub(super) struct Group {
    leader: Option<Pid>,
    /// Whether the leader is a guard, which has more to end than its group.
    guarded: bool,
}

impl Group {
    /// The group that the child leads.
    pub(super) fn of(child: &Child, launcher: &Launcher) -> Self {
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: raw.and_then(Pid::from_raw),
            guarded: matches!(launcher, Launcher::Guard(_)),
        }
    }

    /// Ends the child after its standard input was closed: waits, sends SIGTERM, waits, sends SIGKILL (2025-11-25,
    /// Lifecycle, Shutdown). The child is reaped on return.
    pub(super) async fn end(&mut self, child: &mut Child, grace: Duration, after_term: Duration) {
        if timeout(grace, child.wait()).await.is_ok() {
            return;
        }
        self.signal(Signal::TERM);
        if timeout(after_term, child.wait()).await.is_ok() {
            return;
        }
        self.signal(Signal::KILL);
        // A process that was killed ends; an error means that it was reaped already.
        let _reaped = child.wait().await;
    }

    /// Kills what is left of the group. To be called right after the leader was reaped: later the number might be
    /// another group's.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.leader = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // No such group: then there is nothing left to end.
            let _ended = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.guarded {
            self.signal(Signal::TERM);
        } else {
            self.kill();
        }
    }
}
