//! Password hashing, kept from taking the machine: two at a time, and a short queue (LG-04).

use std::sync::Arc;

use sallyport_core::Secret;
use sallyport_core::capability::Passwords;
use thiserror::Error;
use tokio::sync::Semaphore;

/// Hashes that are computed at a time. Each takes about 19 MiB and some tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// Hashes that may wait; more are refused at once.
const QUEUE: usize = 48;

/// Why a hash was not computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum HashingError {
    /// Too many wait already.
    #[error("too many log-ins at a time")]
    Busy,
    /// The hash function failed, or the program is going down.
    #[error("the password could not be hashed")]
    Failed,
}

pub(crate) struct Hashing {
    passwords: Arc<dyn Passwords>,
    workers: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Hashing {
    pub(crate) fn new(passwords: Arc<dyn Passwords>) -> Self {
        Self {
            passwords,
            workers: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Arc::new(Semaphore::new(AT_ONCE + QUEUE)),
        }
    }

    /// Whether the password belongs to the hash; without a hash it takes as long and says no.
    pub(crate) async fn verify(
        &self,
        password: Secret<String>,
        hash: Option<Secret<String>>,
    ) -> Result<bool, HashingError> {
        self.run(move |passwords| passwords.verify(&password, hash.as_ref()))
            .await
    }

    pub(crate) async fn hash(&self, password: Secret<String>) -> Result<Secret<String>, HashingError> {
        self.run(move |passwords| passwords.hash(&password))
            .await?
            .map_err(|_| HashingError::Failed)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Passwords) -> T + Send + 'static,
    ) -> Result<T, HashingError> {
        let place = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| HashingError::Busy)?;
        let turn = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| HashingError::Failed)?;
        let passwords = Arc::clone(&self.passwords);
        // The permits go along: a caller that leaves does not free a worker that still computes.
        let job = tokio::task::spawn_blocking(move || {
            let done = work(passwords.as_ref());
            drop((turn, place));
            done
        });
        job.await.map_err(|_| HashingError::Failed)
    }
}
