//! How often one peer or person may try things.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sallyport_core::Timestamp;
use sallyport_oauth::rate::{Limiter, Wait, peer_key};

use crate::settings::Throttle;

/// The most keys that one limiter keeps.
const CAPACITY: usize = 10_000;

pub(crate) struct Limits {
    registrations: Mutex<Limiter<IpAddr>>,
    pushed: Mutex<Limiter<IpAddr>>,
    user_and_peer: Mutex<Limiter<(String, IpAddr)>>,
    user: Mutex<Limiter<String>>,
    peer: Mutex<Limiter<IpAddr>>,
    user_codes: Mutex<Limiter<IpAddr>>,
    token_failures: Mutex<Limiter<IpAddr>>,
}

impl Limits {
    pub(crate) fn new(throttle: Throttle) -> Self {
        Self {
            registrations: Mutex::new(Limiter::new(throttle.registrations, CAPACITY)),
            pushed: Mutex::new(Limiter::new(throttle.pushed, CAPACITY)),
            user_and_peer: Mutex::new(Limiter::new(throttle.logins_per_user_and_peer, CAPACITY)),
            user: Mutex::new(Limiter::new(throttle.logins_per_user, CAPACITY)),
            peer: Mutex::new(Limiter::new(throttle.logins_per_peer, CAPACITY)),
            user_codes: Mutex::new(Limiter::new(throttle.user_codes, CAPACITY)),
            token_failures: Mutex::new(Limiter::new(throttle.token_failures, CAPACITY)),
        }
    }

    pub(crate) fn registration(&self, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        lock(&self.registrations).take(&peer_key(peer), now)
    }

    /// Counts a pushed authorization request.
    pub(crate) fn pushed(&self, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        lock(&self.pushed).take(&peer_key(peer), now)
    }

    /// Counts a try to log in before it is made, so that tries in parallel are counted too. All three must allow it; a
    /// refused try costs nothing anywhere.
    pub(crate) fn login(&self, name: &str, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        let (pair, peer) = ((name.to_lowercase(), peer_key(peer)), peer_key(peer));
        lock(&self.user_and_peer).check(&pair, now)?;
        lock(&self.user).check(&pair.0, now)?;
        lock(&self.peer).take(&peer, now)?;
        lock(&self.user).take(&pair.0, now)?;
        lock(&self.user_and_peer).take(&pair, now)
    }

    /// The person got in: earlier slips from here are forgiven.
    pub(crate) fn logged_in(&self, name: &str, peer: IpAddr) {
        let (pair, peer) = ((name.to_lowercase(), peer_key(peer)), peer_key(peer));
        lock(&self.peer).give_back(&peer);
        lock(&self.user).give_back(&pair.0);
        lock(&self.user_and_peer).forget(&pair);
    }

    /// Counts a try that names nobody: the setup page, a log-in through a provider.
    pub(crate) fn anonymous(&self, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        lock(&self.peer).take(&peer_key(peer), now)
    }

    /// Somebody from there got in by another way than a password.
    pub(crate) fn let_in(&self, peer: IpAddr) {
        lock(&self.peer).give_back(&peer_key(peer));
    }

    /// Counts the look for a device's code before it is made.
    pub(crate) fn user_code(&self, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        lock(&self.user_codes).take(&peer_key(peer), now)
    }

    /// It was a right one: only wrong ones count.
    pub(crate) fn user_code_found(&self, peer: IpAddr) {
        lock(&self.user_codes).give_back(&peer_key(peer));
    }

    /// Whether the peer may ask for tokens: only its failures count.
    pub(crate) fn token(&self, peer: IpAddr, now: Timestamp) -> Result<(), Wait> {
        lock(&self.token_failures).check(&peer_key(peer), now)
    }

    pub(crate) fn token_failed(&self, peer: IpAddr, now: Timestamp) {
        // A failure that is one too many is counted as it is: the next request is refused.
        let _ = lock(&self.token_failures).take(&peer_key(peer), now);
    }
}

/// A limiter is consistent after every step of its own, so a thread that died in between has left nothing broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
