//! Whoever must leave before the time: what runs for long looks whether its caller may still be here when something was
//! revoked or the rules have changed, and only then. Ten thousand idle streams cost nothing while nobody is turned out.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Proxy;
use crate::caller::Caller;
use crate::pulse::Pulse;

/// How often it is looked whether anything was revoked. A revocation by another process is known within a second; with this
/// its streams end well within the five seconds that are promised.
const LOOK: Duration = Duration::from_secs(1);

/// The call to look.
pub(crate) struct Turnout {
    /// Counts the calls, so that nobody misses one.
    calls: AtomicU64,
}

impl Turnout {
    /// Nobody was called yet.
    pub(crate) fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
        }
    }

    /// How often was called. Whoever reads this before a check, and compares it later, has missed nothing in between.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
    }

    /// Everybody who waits for one of these looks.
    pub(crate) fn call(&self, pulses: [&Pulse; 2]) {
        self.calls.fetch_add(1, Ordering::Release);
        for pulse in pulses {
            pulse.stir();
        }
    }
}

/// What has come about for a caller who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// The next beat.
    Beat,
    /// The caller must leave now.
    TurnedOut,
}

/// Calls whenever something was revoked.
pub(crate) async fn watch(proxy: Weak<Proxy>) {
    let mut known = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(proxy) = proxy.upgrade() else { return };
        let now = proxy.verifier.revocations();
        if known.replace(now) != Some(now) {
            proxy.call_to_look();
        }
    }
}

impl Caller {
    /// Whether the caller may still be here, as far as that can change while a request runs: by the rules of the endpoint as
    /// it now is, and by what was revoked. A token that merely ends does not end what it has begun.
    fn may_stay(&self) -> bool {
        let world = self.proxy.world.load();
        let user = self.principal.user.as_str();
        let endpoint = world.endpoint(&self.endpoint.key);
        endpoint.is_none_or(|endpoint| endpoint.rules.users.admits(user))
            && !self.proxy.verifier.is_revoked(&self.principal)
    }

    /// Whether the caller must leave now.
    pub(crate) fn is_turned_out(&self) -> bool {
        self.proxy.turnout.calls() != self.calls && !self.may_stay()
    }

    /// Waits for the next beat of `pulse`, one of the proxy's, or until the caller must leave: both in one place, because
    /// every call waits here.
    pub(crate) async fn next_beat(&self, pulse: &Pulse) -> Waited {
        let from = pulse.beats();
        let mut seen = self.calls;
        loop {
            // Made before the looks, so that what comes in between is noticed.
            let stirred = pulse.stirred(self.worker.index());
            let calls = self.proxy.turnout.calls();
            if calls != seen {
                seen = calls;
                if !self.may_stay() {
                    return Waited::TurnedOut;
                }
            }
            if pulse.beats() != from {
                return Waited::Beat;
            }
            stirred.await;
        }
    }

    /// Resolves when the caller must leave.
    pub(crate) async fn turned_out(&self) {
        while self.next_beat(&self.proxy.pulse).await == Waited::Beat {}
    }
}
