//! How many processes a server has: so many, and where one more is needed, the one that has been idle longest makes room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sallyport_core::fault::{Blame, Fault, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::upstream::conversation::Conversation;

/// What a fault of this file was about.
const OPERATION: &str = "start the process";

/// The processes that clients use at one server.
pub(crate) struct Processes {
    max: usize,
    places: Arc<Semaphore>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    processes: Vec<Weak<Conversation>>,
    /// Who waits for a process to end.
    waiting: usize,
}

/// One process may run; dropped when it has ended.
pub(crate) type Place = OwnedSemaphorePermit;

impl Processes {
    /// At most `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            places: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))),
            running: Mutex::default(),
        }
    }

    /// A place for one more process. Where there is none, the process that has been idle longest is ended, and waited
    /// for, at most for `patience`. None that runs a call, or listens to a resource for its client, is ended.
    ///
    /// # Errors
    /// A fault of ours, safe to repeat, when all are in use.
    pub(crate) async fn place(&self, patience: Duration) -> Result<Place, Fault> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.make_room().ok_or_else(|| self.full())?;
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::time::timeout(patience, place)
            .await
            .map_err(|_| self.full())?
            .map_err(|error| Fault::gateway(OPERATION, error))
    }

    /// Sees to it that a process ends for the caller alone.
    fn make_room(&self) -> Option<Waiting<'_>> {
        let mut running = self.running();
        let processes: Vec<_> = running.processes.iter().filter_map(Weak::upgrade).collect();
        let ending = processes.iter().filter(|process| !process.is_alive());
        if ending.filter(|process| !process.has_ended()).count() <= running.waiting {
            let idle = processes
                .iter()
                .filter(|process| process.is_alive())
                .filter_map(|process| Some((process.idle()?, process)));
            let (_, longest) = idle.max_by_key(|(idle, _)| *idle)?;
            longest.stop();
        }
        running.waiting += 1;
        Some(Waiting(self))
    }

    /// A process runs in a place that was given.
    pub(crate) fn started(&self, process: &Arc<Conversation>) {
        let mut running = self.running();
        running
            .processes
            .retain(|known| known.upgrade().is_some_and(|process| !process.has_ended()));
        running.processes.push(Arc::downgrade(process));
    }

    fn full(&self) -> Fault {
        let text = format!(
            "all {} processes of this server are in use; `max_processes` allows no more",
            self.max
        );
        Fault::new(Blame::Gateway, Retry::Safe, OPERATION, text)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a process to end.
struct Waiting<'a>(&'a Processes);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut running = self.0.running();
        running.waiting = running.waiting.saturating_sub(1);
    }
}
