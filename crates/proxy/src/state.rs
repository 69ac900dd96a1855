//! The `requestState` that modern clients carry (2026-07-28, Multi Round-Trip Requests): sealed, for one principal, one
//! call with its arguments, a limited time, and once.

use std::collections::HashMap;
use std::sync::Mutex;

use sallyport_core::Timestamp;
use sallyport_core::capability::Purpose;
use sallyport_mcp::session::{RequestStateSeal, Resume};

use crate::call::Call;
use crate::refusal::Refusal;
use crate::sync::lock;

/// How many used states are remembered.
const MAX_USED: usize = 65_536;

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
        && !proxy.used.take(*nonce, seal.expires, now)
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
pub(crate) struct Used(Mutex<HashMap<[u8; 16], Timestamp>>);

impl Used {
    /// Uses a state. False if it was used before.
    fn take(&self, nonce: [u8; 16], expires: Timestamp, now: Timestamp) -> bool {
        let mut used = lock(&self.0);
        if used.len() >= MAX_USED {
            used.retain(|_, expires| *expires > now);
        }
        // Full of live ones: to accept what cannot be remembered would let it be used twice.
        used.len() < MAX_USED && used.insert(nonce, expires).is_none()
    }

    /// Forgets what has expired.
    pub(crate) fn sweep(&self, now: Timestamp) {
        lock(&self.0).retain(|_, expires| *expires > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_52_a_state_is_used_once() {
        let used = Used::default();
        let (now, later) = (Timestamp::from_secs(0), Timestamp::from_secs(9));
        assert!(used.take([1; 16], later, now));
        assert!(!used.take([1; 16], later, now));
        used.sweep(later);
        assert!(lock(&used.0).is_empty());
    }
}
