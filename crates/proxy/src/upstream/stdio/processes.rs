//! How many processes a server has: so many in all and so many of one principal. Where one more is needed, the one that has
//! been idle longest makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sallyport_core::PrincipalKey;
use sallyport_core::fault::{Blame, Fault, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::spec;
use crate::upstream::conversation::Conversation;

/// What a fault of this file was about.
const OPERATION: &str = "start the process";

/// The processes that clients use at one server.
pub(crate) struct Processes {
    /// At once: of all, and of one principal.
    max: usize,
    share: usize,
    places: Arc<Semaphore>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    processes: Vec<(PrincipalKey, Weak<Conversation>)>,
    /// The places of each principal that has a process, or waits for one.
    shares: HashMap<PrincipalKey, Arc<Semaphore>>,
    /// How many wait for a process of this principal to end, or of anybody.
    waiting: HashMap<Option<PrincipalKey>, usize>,
}

/// One process may run; dropped when it has ended.
pub(crate) struct Place {
    owner: PrincipalKey,
    _share: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Place {
    /// Whose process it is.
    pub(crate) fn owner(&self) -> &PrincipalKey {
        &self.owner
    }
}

impl Processes {
    /// As many at once as the specification says.
    pub(crate) fn new(spec: &spec::Processes) -> Self {
        let max = spec.max.min(Semaphore::MAX_PERMITS);
        Self {
            max,
            share: spec.per_principal.min(max),
            places: Arc::new(Semaphore::new(max)),
            running: Mutex::default(),
        }
    }

    /// A place for one more process of this principal. Where it has as many as it may, its process that has been idle
    /// longest is ended, and waited for, at most for `patience`; where all have as many as they may, anybody's is. None
    /// that runs a call, or listens to a resource for its client, is ended.
    ///
    /// # Errors
    /// A fault of ours, safe to repeat, when all are in use.
    pub(crate) async fn place(&self, owner: &PrincipalKey, patience: Duration) -> Result<Place, Fault> {
        let places = self.share_of(owner);
        let share = self.one_of(&places, Some(owner), patience).await?;
        let place = self.one_of(&self.places, None, patience).await?;
        Ok(Place {
            owner: owner.clone(),
            _share: share,
            _place: place,
        })
    }

    /// One of these places, which are all, or those of one principal.
    async fn one_of(
        &self,
        places: &Arc<Semaphore>,
        owner: Option<&PrincipalKey>,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.make_room(owner).ok_or_else(|| self.full(owner))?;
        let place = Arc::clone(places).acquire_owned();
        tokio::time::timeout(patience, place)
            .await
            .map_err(|_| self.full(owner))?
            .map_err(|error| Fault::gateway(OPERATION, error))
    }

    fn share_of(&self, owner: &PrincipalKey) -> Arc<Semaphore> {
        let mut running = self.running();
        running
            .shares
            .retain(|_, places| Arc::strong_count(places) > 1 || places.available_permits() < self.share);
        let places = running.shares.entry(owner.clone());
        Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(self.share))))
    }

    /// Sees to it that a process ends for the caller alone: one of this principal, or anybody's.
    fn make_room(&self, owner: Option<&PrincipalKey>) -> Option<Waiting<'_>> {
        let mut running = self.running();
        let waiting = running.waiting.get(&owner.cloned()).copied().unwrap_or_default();
        let own = running
            .processes
            .iter()
            .filter(|(other, _)| owner.is_none_or(|owner| owner == other));
        let processes: Vec<_> = own.filter_map(|(_, process)| process.upgrade()).collect();
        let ending = processes.iter().filter(|process| !process.is_alive());
        if ending.filter(|process| !process.has_ended()).count() <= waiting {
            let idle = processes
                .iter()
                .filter(|process| process.is_alive())
                .filter_map(|process| Some((process.idle()?, process)));
            let (_, longest) = idle.max_by_key(|(idle, _)| *idle)?;
            longest.stop();
        }
        running.waiting.insert(owner.cloned(), waiting + 1);
        Some(Waiting(self, owner.cloned()))
    }

    /// A process runs in a place that was given.
    pub(crate) fn started(&self, owner: &PrincipalKey, process: &Arc<Conversation>) {
        let mut running = self.running();
        running
            .processes
            .retain(|(_, known)| known.upgrade().is_some_and(|process| !process.has_ended()));
        running.processes.push((owner.clone(), Arc::downgrade(process)));
    }

    fn full(&self, owner: Option<&PrincipalKey>) -> Fault {
        let text = match owner {
            None => format!(
                "all {} processes of this server are in use; `max_processes` allows no more",
                self.max
            ),
            Some(_) => format!(
                "all {} processes that one person and client may have at this server are in use; \
                 `max_processes_per_principal` allows no more",
                self.share
            ),
        };
        Fault::new(Blame::Gateway, Retry::Safe, OPERATION, text)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a process to end.
struct Waiting<'a>(&'a Processes, Option<PrincipalKey>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut running = self.0.running();
        if let Some(waiting) = running.waiting.get_mut(&self.1) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                running.waiting.remove(&self.1);
            }
        }
    }
}
