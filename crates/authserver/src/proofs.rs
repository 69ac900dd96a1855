//! Proofs of possession (RFC 9449): the nonces that they have to have, and which of them were used.
//!
//! Nothing of it is on a disk. A nonce is made from the minute and from what this process drew at its start; so a proof
//! that another process has seen, or this one before a restart, has a nonce that is none here, and the memory of proofs has to
//! reach back no further than the nonces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::capability::{DeriveKeyed, ProofError, ProvedRequest, VerifyProof};
use sallyport_core::{Random, Thumbprint, Timestamp};
use sallyport_oauth::dpop::{Proof, WINDOW};

/// How often the nonce changes. The one before counts as well, so that a nonce is good for one to two minutes.
const TURN: Duration = Duration::from_secs(60);

/// How long a proof can be good: its `iat` may be this far from our clock, either way.
const LIFE: Duration = Duration::from_secs(2 * WINDOW.as_secs());

/// The most proofs of one key that are remembered at once: some hundred requests a second.
const MAX_OF_KEY: usize = 50_000;

/// The most proofs that are remembered at once, of 32 bytes each.
const MAX_PROOFS: usize = 500_000;

type Hash = [u8; 32];

/// The proofs that one process sees.
pub struct Proofs {
    derive: Arc<dyn DeriveKeyed>,
    /// Drawn at the start: no other process, and not this one after a restart, makes the same nonces.
    start: [u8; 16],
    used: Mutex<Used>,
}

impl Proofs {
    /// The proofs of a process that is just starting.
    #[must_use]
    pub fn new(derive: Arc<dyn DeriveKeyed>, random: &dyn Random) -> Self {
        let mut start = [0; 16];
        random.fill(&mut start);
        Self {
            derive,
            start,
            used: Mutex::default(),
        }
    }

    /// The proof, if it was made for this request.
    pub(crate) fn read(&self, request: &ProvedRequest<'_>, now: Timestamp) -> Result<Proof, ProofError> {
        let proof = Proof::read(request.proof)?;
        let turn = turn(now);
        let is_ours = |nonce: &str| [turn, turn - 1].iter().any(|turn| self.nonce_of(*turn) == nonce);
        proof.check(request, now, is_ours)?;
        Ok(proof)
    }

    /// Uses a proof up.
    pub(crate) fn count(&self, proof: &Proof, now: Timestamp) -> Result<(), ProofError> {
        let hash = self.derive.derive("dpop-proof", proof.id().as_bytes());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.count(proof.key(), hash, now)
    }

    fn nonce_of(&self, turn: i64) -> String {
        let input = [&self.start[..], &turn.to_be_bytes()].concat();
        let mac = self.derive.derive("dpop-nonce", &input);
        URL_SAFE_NO_PAD.encode(mac.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

impl VerifyProof for Proofs {
    fn verify_proof(
        &self,
        request: ProvedRequest<'_>,
        key: &Thumbprint,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        let proof = self.read(&request, now)?;
        if proof.key() != key {
            return Err(ProofError::Key);
        }
        self.count(&proof, now)
    }

    fn nonce(&self, now: Timestamp) -> String {
        self.nonce_of(turn(now))
    }
}

fn turn(now: Timestamp) -> i64 {
    let turn = i64::try_from(TURN.as_millis()).unwrap_or(i64::MAX);
    now.as_millis().div_euclid(turn)
}

/// Two halves that take turns: what was used in the older one is over before it is emptied.
#[derive(Default)]
struct Used {
    newer: Half,
    older: Half,
    since: Timestamp,
}

#[derive(Default)]
struct Half {
    of_key: HashMap<Thumbprint, HashSet<Hash>>,
    all: usize,
}

impl Used {
    fn count(&mut self, key: &Thumbprint, hash: Hash, now: Timestamp) -> Result<(), ProofError> {
        if now.since(self.since) >= LIFE {
            let gap = now.since(self.since) >= LIFE + LIFE;
            self.older = std::mem::take(&mut self.newer);
            if gap {
                self.older = Half::default();
            }
            self.since = now;
        }
        let known = |half: &Half| half.of_key.get(key).is_some_and(|used| used.contains(&hash));
        if known(&self.newer) || known(&self.older) {
            return Err(ProofError::Replayed);
        }
        let half = &mut self.newer;
        let used = half.of_key.entry(key.clone()).or_default();
        if used.len() >= MAX_OF_KEY || half.all >= MAX_PROOFS {
            return Err(ProofError::Full);
        }
        used.insert(hash);
        half.all += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn hash(n: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn au_10_a_proof_counts_once_for_as_long_as_it_can_be_good() {
        let key = Thumbprint::new("k");
        for begin in 0..LIFE.as_secs() {
            let mut used = Used::default();
            // Whatever was counted before, and whenever the halves last took turns.
            used.count(&key, hash(0), NOW).unwrap();
            let at = NOW.plus(Duration::from_secs(begin));
            used.count(&key, hash(1), at).unwrap();
            for after in 0..=LIFE.as_secs() {
                let again = used.count(&key, hash(1), at.plus(Duration::from_secs(after)));
                assert_eq!(again, Err(ProofError::Replayed), "{begin} {after}");
            }
            assert_eq!(
                used.count(&Thumbprint::new("other"), hash(1), at.plus(LIFE)),
                Ok(())
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_one_key_does_not_fill_it() {
        let (key, mut used) = (Thumbprint::new("k"), Used::default());
        for n in 0..MAX_OF_KEY {
            used.count(&key, hash(n), NOW).unwrap();
        }
        assert_eq!(used.count(&key, hash(MAX_OF_KEY), NOW), Err(ProofError::Full));
        let other = Thumbprint::new("other");
        assert_eq!(used.count(&other, hash(0), NOW), Ok(()));
        used.newer.all = MAX_PROOFS;
        assert_eq!(used.count(&other, hash(1), NOW), Err(ProofError::Full));
        assert_eq!(used.count(&other, hash(1), NOW.plus(LIFE)), Ok(()));
        used.count(&other, hash(2), NOW.plus(LIFE * 4)).unwrap();
        assert!(used.older.of_key.is_empty());
    }
}
