//! What the endpoints share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use sallyport_core::account::KeepAccounts;
use sallyport_core::audit::{Audit, AuditUnavailable, Event};
use sallyport_core::capability::{DeriveKeyed, Passwords, RevokeTokens, SealState, SignToken, VerifyToken};
use sallyport_core::{Clock, Random, Timestamp};
use sallyport_net::Egress;
use sallyport_store::Store;

use crate::answers::Answered;
use crate::approvals::Approvals;
use crate::documents::Documents;
use crate::fetching::Fetching;
use crate::hashing::Hashing;
use crate::key_sets::KeySets;
use crate::limits::Limits;
use crate::logins::Logins;
use crate::proofs::Proofs;
use crate::provider::Discovered;
use crate::settings::Settings;

/// Called with the reason of each failed authentication: a closed set of labels.
pub type MetricHook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// What the authorization server is made from.
#[derive(Clone)]
pub struct Parts {
    /// Clients, people, grants.
    pub store: Store,
    /// Signs access tokens.
    pub signer: Arc<dyn SignToken>,
    /// Seals what forms carry.
    pub sealer: Arc<dyn SealState>,
    /// Hashes bearer secrets for the store.
    pub derive: Arc<dyn DeriveKeyed>,
    /// Hashes and checks passwords.
    pub passwords: Arc<dyn Passwords>,
    /// Knows access tokens that are shown to be revoked or introspected.
    pub verify: Arc<dyn VerifyToken>,
    /// Ends access tokens at once.
    pub revoke: Arc<dyn RevokeTokens>,
    /// Believes that clients hold the keys that their tokens are bound to.
    pub proofs: Arc<Proofs>,
    /// The calls that wait for a person's yes.
    pub approvals: Arc<Approvals>,
    /// The audit trail.
    pub audit: Arc<dyn Audit>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// The settings in force.
    pub settings: Arc<ArcSwap<Settings>>,
    /// How documents are fetched in which clients describe themselves.
    pub egress: Arc<Egress>,
    /// Counts failures.
    pub metrics: MetricHook,
    /// Takes down what happens to log-ins.
    pub logins: Arc<Logins>,
    /// Connects people's accounts at servers, and opens none of them for us.
    pub accounts: Arc<dyn KeepAccounts>,
}

/// The state of the router.
pub(crate) type Shared = Arc<App>;

pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) limits: Limits,
    pub(crate) hashing: Hashing,
    pub(crate) answered: Answered,
    pub(crate) documents: Documents,
    pub(crate) key_sets: KeySets,
    pub(crate) discovered: Discovered,
    /// When unused clients were last looked for, in milliseconds since the epoch.
    reaped: AtomicI64,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        let throttle = parts.settings.load().throttle;
        let limits = Limits::new(throttle);
        let fetching = Arc::new(Fetching::new(Arc::clone(&parts.egress), throttle));
        let documents = Documents::new(Arc::clone(&fetching));
        let hashing = Hashing::new(Arc::clone(&parts.passwords));
        Self {
            parts,
            limits,
            hashing,
            answered: Answered::default(),
            documents,
            key_sets: KeySets::new(fetching),
            discovered: Discovered::default(),
            reaped: AtomicI64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(crate) fn count(&self, reason: &'static str) {
        (self.parts.metrics)(reason);
    }

    /// Writes a record that the answer waits for. What it records is done only if this has succeeded: a trail that
    /// cannot be written stops the deed, and nothing is half done.
    pub(crate) async fn record(&self, event: Event) -> Result<(), AuditUnavailable> {
        self.parts.audit.record_durably(event).await
    }

    /// Writes a record of something refused.
    pub(crate) fn note(&self, event: Event) -> Result<(), AuditUnavailable> {
        self.parts.audit.record(&event)
    }

    /// Whether it is time to look for unused clients again. Of many callers at a time one is told yes.
    pub(crate) fn reaping_is_due(&self, now: Timestamp) -> bool {
        const EVERY: i64 = 10 * 60 * 1000;
        let last = self.reaped.load(Ordering::Relaxed);
        now.as_millis().saturating_sub(last) >= EVERY
            && self
                .reaped
                .compare_exchange(last, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
