//! The tasks that the gateway has seen come, until their ids are no longer good. After a restart the table is empty: then
//! `tasks/list` does not name the earlier ones, whose ids are good all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use sallyport_core::audit::{Event, Outcome};
use sallyport_core::{PrincipalKey, ServerName, Timestamp};
use sallyport_mcp::session::TaskSeal;
use sallyport_mcp::tasks::{Bounds, Status};
use tokio_util::task::AbortOnDropHandle;

use super::questions::Questions;
use crate::hub::SessionEars;
use crate::record::Books;
use crate::sync::lock;
use crate::upstream::Hold;

/// A task by its server and the server's own id.
type Remote = (ServerName, Box<str>);

/// One task.
pub(crate) struct Kept {
    /// As its client knows it.
    pub(super) id: Box<str>,
    /// Whose it is.
    pub(super) owner: PrincipalKey,
    /// The key of the endpoint at which it was made.
    pub(super) endpoint: Arc<str>,
    /// What the id stands for.
    pub(super) task: TaskSeal,
    /// Where it is carried out; kept open for it.
    pub(super) hold: Hold,
    /// The ears of the legacy session that made it.
    pub(super) session: Option<Weak<SessionEars>>,
    /// The raw token of its progress, if its client wants any.
    pub(super) progress_token: Option<Bytes>,
    /// Whether its client knows of it; else the gateway sees it to its end within the call.
    pub(super) told: bool,
    /// What its server asks.
    pub(super) questions: Questions,
    /// The bounds within which its client is told of it.
    pub(super) bounds: Bounds,
    /// The record of its end, but for how it ended.
    end: Event,
    seen: Mutex<Seen>,
    /// An open `tasks/result` at a legacy server, by which it asks its questions.
    pub(super) waiting: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What was last seen of a task.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The raw object with its members, under its client's id.
    pub(super) state: Bytes,
    pub(super) ended: bool,
}

/// What is to be kept of a new task.
pub(super) struct New {
    pub(super) id: Box<str>,
    pub(super) owner: PrincipalKey,
    pub(super) endpoint: Arc<str>,
    pub(super) task: TaskSeal,
    pub(super) hold: Hold,
    pub(super) session: Option<Weak<SessionEars>>,
    pub(super) progress_token: Option<Bytes>,
    pub(super) told: bool,
    pub(super) state: Bytes,
    pub(super) end: Event,
    pub(super) bounds: Bounds,
}

impl Kept {
    fn new(new: New) -> Self {
        Self {
            id: new.id,
            owner: new.owner,
            endpoint: new.endpoint,
            task: new.task,
            hold: new.hold,
            session: new.session,
            progress_token: new.progress_token,
            told: new.told,
            questions: Questions::default(),
            bounds: new.bounds,
            end: new.end,
            seen: Mutex::new(Seen {
                state: new.state,
                ended: false,
            }),
            waiting: Mutex::default(),
        }
    }

    /// What was last seen of it.
    pub(super) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Notes what was seen. True if it has ended, and that was not known.
    fn see(&self, state: Bytes, status: Status) -> bool {
        let mut seen = lock(&self.seen);
        let ends = status.is_terminal() && !seen.ended;
        seen.ended |= ends;
        seen.state = state;
        drop(seen);
        if ends {
            // Nothing is asked any more.
            lock(&self.waiting).take();
        }
        ends
    }

    fn has_ended(&self) -> bool {
        lock(&self.seen).ended
    }
}

/// A principal has as many tasks as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMany;

/// All tasks.
pub(crate) struct Tasks {
    state: Mutex<State>,
    books: Books,
}

#[derive(Default)]
struct State {
    by_remote: HashMap<Remote, Arc<Kept>>,
    /// Oldest first.
    by_owner: HashMap<PrincipalKey, Vec<Arc<Kept>>>,
}

impl Tasks {
    /// None yet.
    pub(crate) fn new(books: Books) -> Self {
        Self {
            state: Mutex::default(),
            books,
        }
    }

    /// Notes what was seen of a task: the raw object with its members under the client's id. Its end is recorded when it is
    /// first seen.
    pub(super) fn saw(&self, kept: &Kept, state: Bytes, status: Status) {
        if !kept.see(state, status) {
            return;
        }
        let mut end = kept.end.clone();
        end.outcome = match status {
            Status::Failed => Outcome::Failed,
            Status::Cancelled => Outcome::Cancelled,
            _ => Outcome::Ok,
        };
        if self.books.audit.record(&end).is_err() {
            tracing::error!("the end of a task could not be recorded: the audit trail cannot be written");
        }
    }

    /// Keeps a task. Of those that have ended the oldest makes room.
    ///
    /// # Errors
    /// [`TooMany`] when the principal has `limit` that run; also when the server gave another principal's task the same
    /// id: then nobody could tell whose it is.
    pub(super) fn enter(&self, new: New, limit: usize) -> Result<Arc<Kept>, TooMany> {
        let remote = (new.task.server.clone(), Box::from(new.task.task.as_str()));
        let mut state = self.state();
        if state
            .by_remote
            .get(&remote)
            .is_some_and(|kept| kept.owner != new.owner)
        {
            return Err(TooMany);
        }
        state.remove(&remote);
        let own = state.by_owner.entry(new.owner.clone()).or_default();
        let told = own.iter().filter(|kept| kept.told).count();
        let mut leaves = None;
        if new.told && told >= limit {
            let ended = own.iter().find(|kept| kept.told && kept.has_ended());
            leaves = Some(Arc::clone(ended.ok_or(TooMany)?));
        }
        if let Some(kept) = &leaves {
            state.remove(&kept.remote());
        }
        let kept = Arc::new(Kept::new(new));
        let own = state.by_owner.entry(kept.owner.clone()).or_default();
        own.push(Arc::clone(&kept));
        state.by_remote.insert(remote, Arc::clone(&kept));
        drop(state);
        // What it holds is let go without the lock.
        drop(leaves);
        Ok(kept)
    }

    /// Whether a principal has as many tasks that run as it may.
    pub(super) fn is_full(&self, owner: &PrincipalKey, limit: usize) -> bool {
        let state = self.state();
        let own = state.by_owner.get(owner).map(Vec::as_slice).unwrap_or_default();
        own.len() >= limit && own.iter().filter(|kept| kept.told && !kept.has_ended()).count() >= limit
    }

    /// A task by its server and the server's own id.
    pub(super) fn get(&self, server: &ServerName, task: &str) -> Option<Arc<Kept>> {
        let remote = (server.clone(), Box::from(task));
        self.state().by_remote.get(&remote).cloned()
    }

    /// A principal's tasks at an endpoint, oldest first.
    pub(super) fn of(&self, owner: &PrincipalKey, endpoint: &str) -> Vec<Arc<Kept>> {
        let state = self.state();
        let own = state.by_owner.get(owner).into_iter().flatten();
        own.filter(|kept| kept.told && *kept.endpoint == *endpoint)
            .cloned()
            .collect()
    }

    /// Forgets a task.
    pub(super) fn forget(&self, kept: &Kept) {
        let forgotten = self.state().remove(&kept.remote());
        drop(forgotten);
    }

    /// Forgets those whose ids are no longer good.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut state = self.state();
        let over: Vec<_> = state
            .by_remote
            .iter()
            .filter(|(_, kept)| kept.task.expires <= now)
            .map(|(remote, _)| remote.clone())
            .collect();
        let forgotten: Vec<_> = over.iter().filter_map(|remote| state.remove(remote)).collect();
        drop(state);
        drop(forgotten);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    fn remove(&mut self, remote: &Remote) -> Option<Arc<Kept>> {
        let kept = self.by_remote.remove(remote)?;
        if let Some(own) = self.by_owner.get_mut(&kept.owner) {
            own.retain(|other| !Arc::ptr_eq(other, &kept));
            if own.is_empty() {
                self.by_owner.remove(&kept.owner);
            }
        }
        Some(kept)
    }
}

impl Kept {
    fn remote(&self) -> Remote {
        (self.task.server.clone(), Box::from(self.task.task.as_str()))
    }
}
