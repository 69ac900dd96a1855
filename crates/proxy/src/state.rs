//! The `requestState` that modern clients carry (2026-07-28, Multi Round-Trip Requests): sealed, for one principal, one
//! call with its arguments, a limited time, and once.

use std::collections::HashMap;
use std::sync::Mutex;

use sallyport_core::capability::Purpose;
use sallyport_core::{PrincipalKey, Timestamp};
use sallyport_mcp::session::{RequestStateSeal, Resume};

use crate::call::Call;
use crate::refusal::Refusal;
use crate::sync::lock;

/// How many used states of one principal are remembered: more than one a second for as long as they are good.
const MAX_USED: usize = 1024;

/// How many of all principals, some 10 MB. A person needs 256 clients to fill it.
const MAX_USED_IN_ALL: usize = 262_144;

/// Seals what a call goes on with.
pub(crate) fn seal(call: &Call, resume: Resume) -> String {
    let proxy = &call.caller.proxy;
    let seal = RequestStateSeal {
        server: call.route.server.clone(),
        method: call.route.what.method().as_str().to_owned(),
        resume,
        expires: proxy.books.clock.now().plus(call.caller.limits.parked_for),
    };
    proxy
        .sealer
        .seal(Purpose::RequestState, &call.binding(), &seal.encode())
}

/// Opens what a client brought back for this call. It is used up by that.
///
/// # Errors
/// One and the same for a state that was changed, is another's, belongs to another call, is too old or was used before
/// (IS-07).
pub(crate) fn open(call: &Call, state: &str) -> Result<Resume, Refusal> {
    let proxy = &call.caller.proxy;
    let plain = proxy.sealer.open(Purpose::RequestState, &call.binding(), state);
    let seal = plain.and_then(|plain| RequestStateSeal::decode(&plain));
    let seal = seal.ok_or_else(expired)?;
    let now = proxy.books.clock.now();
    let fits = seal.server == call.route.server && seal.method == call.route.what.method().as_str();
    if !fits || seal.expires <= now {
        return Err(expired());
    }
    if let Resume::Relayed { nonce, .. } | Resume::Visited { nonce, .. } = &seal.resume
        && !proxy.used.take(&call.caller.key, *nonce, seal.expires, now)
    {
        return Err(expired());
    }
    Ok(seal.resume)
}

/// The error for a state that is no good; the client may start over.
pub(crate) fn expired() -> Refusal {
    Refusal::params("The requestState is not valid, or not any more")
}

/// The states that have been used, until they would have expired.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    /// Until when each is good.
    of: HashMap<PrincipalKey, HashMap<[u8; 16], Timestamp>>,
    in_all: usize,
}

impl Used {
    /// Uses a state. False if it was used before.
    fn take(&self, owner: &PrincipalKey, nonce: [u8; 16], expires: Timestamp, now: Timestamp) -> bool {
        let mut states = lock(&self.0);
        let own = states.of.get(owner).map_or(0, HashMap::len);
        if own >= MAX_USED || states.in_all >= MAX_USED_IN_ALL {
            states.forget(now);
        }
        if states.in_all >= MAX_USED_IN_ALL {
            return false;
        }
        let own = states.of.entry(owner.clone()).or_default();
        // Full of live ones: to accept what cannot be remembered would let it be used twice.
        let is_new = own.len() < MAX_USED && own.insert(nonce, expires).is_none();
        states.in_all += usize::from(is_new);
        is_new
    }

    /// Forgets what has expired.
    pub(crate) fn sweep(&self, now: Timestamp) {
        lock(&self.0).forget(now);
    }
}

impl States {
    fn forget(&mut self, now: Timestamp) {
        self.of.retain(|_, own| {
            own.retain(|_, expires| *expires > now);
            !own.is_empty()
        });
        self.in_all = self.of.values().map(HashMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(user: &str) -> PrincipalKey {
        PrincipalKey::parse(&format!("{}:{user}:client", user.len())).expect("a key")
    }

    #[test]
    fn p_52_a_state_is_used_once() {
        let used = Used::default();
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        let alice = principal("alice");
        assert!(used.take(&alice, [1; 16], later, now));
        assert!(!used.take(&alice, [1; 16], later, now));
        used.sweep(later);
        assert!(lock(&used.0).of.is_empty());
    }

    #[test]
    fn p_142_used_states_at_the_limit_and_one_past_it() {
        let used = Used::default();
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        let nonce = |n: usize| (n as u128).to_be_bytes();
        let (alice, bob) = (principal("alice"), principal("bob"));
        for n in 0..MAX_USED {
            assert!(used.take(&alice, nonce(n), later, now), "{n}");
        }
        assert!(!used.take(&alice, nonce(MAX_USED), later, now), "one past it");
        assert!(
            used.take(&bob, nonce(MAX_USED), later, now),
            "nobody else is kept from anything"
        );
        assert!(
            !used.take(&alice, nonce(0), later, now),
            "none is forgotten for that"
        );
        assert!(
            used.take(&alice, nonce(MAX_USED), Timestamp::from_secs(20), later),
            "in time there is room"
        );
        assert_eq!(lock(&used.0).in_all, 1);
    }
}
