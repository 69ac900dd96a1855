//! The grants whose tokens are refused before their time, and single tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use sallyport_core::{GrantId, Principal, Timestamp, TokenId};

/// A set with an epoch: whoever has looked at the set in the current epoch need not look again, so that revocation costs
/// a request one load and nothing more.
pub(super) struct Revoked {
    /// With the time of the revocation, where the store has told it.
    grants: RwLock<HashMap<GrantId, Option<Timestamp>>>,
    /// With the time at which they end by themselves.
    tokens: RwLock<HashMap<TokenId, Timestamp>>,
    epoch: AtomicU64,
}

impl Default for Revoked {
    fn default() -> Self {
        Self {
            grants: RwLock::default(),
            tokens: RwLock::default(),
            epoch: AtomicU64::new(Self::UNCHECKED + 1),
        }
    }
}

impl Revoked {
    /// An epoch that never is.
    pub(super) const UNCHECKED: u64 = 0;

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the principal's grant or token has been revoked.
    pub(super) fn contains(&self, principal: &Principal) -> bool {
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        grants.contains_key(&principal.grant) || tokens.contains_key(&principal.token)
    }

    pub(super) fn insert_tokens(&self, revoked: impl IntoIterator<Item = (TokenId, Timestamp)>) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let before = tokens.len();
        tokens.extend(revoked);
        if tokens.len() != before {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets the tokens that have ended.
    pub(super) fn forget_ended(&self, now: Timestamp) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, until| *until > now);
    }

    pub(super) fn insert(&self, grant: GrantId) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        if grants.insert(grant, None).is_none() {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn extend(&self, revoked: impl IntoIterator<Item = (GrantId, Timestamp)>) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        let before = grants.len();
        grants.extend(revoked.into_iter().map(|(grant, time)| (grant, Some(time))));
        if grants.len() != before {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn forget_before(&self, time: Timestamp) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|_, revoked| revoked.is_none_or(|revoked| revoked >= time));
    }
}
