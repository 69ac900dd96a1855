//! Accounts at the servers behind the gateway: it is an OAuth client there, for each person by their own account.
//!
//! This is the one place in which tokens of servers are opened. The pages ask it to connect and disconnect
//! ([`KeepAccounts`](sallyport_core::account::KeepAccounts)), the data path for the one header that it is about to send
//! ([`UseAccounts`](sallyport_core::account::UseAccounts)); neither gets to see more. The rules are those of
//! `sallyport_oauth::server_login`.
#![forbid(unsafe_code)]

mod client;
mod connect;
mod discover;
mod keep;
mod own;
mod purse;
mod record;
mod settings;
mod using;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::audit::{Action, Audit, Event, Outcome};
use sallyport_core::capability::{DeriveKeyed, OpenSecret, SealSecret};
use sallyport_core::{Clock, Random, ServerName, UserId};
use sallyport_net::Egress;
use sallyport_oauth::server_login::Challenge;
use sallyport_store::Store;

use own::OwnTokens;
use purse::Purse;
pub use settings::{ServerLogin, Settings};
pub use using::Using;

/// What accounts are kept with.
#[derive(Clone)]
pub struct Deps {
    /// Where they are kept.
    pub store: Store,
    /// Opens tokens and secrets.
    pub opener: Arc<dyn OpenSecret>,
    /// Seals them.
    pub sealer: Arc<dyn SealSecret>,
    /// Makes what is kept of states, and links.
    pub derive: Arc<dyn DeriveKeyed>,
    /// The trail: what is connected, renewed and lost.
    pub audit: Arc<dyn Audit>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance: states.
    pub random: Arc<dyn Random>,
    /// The one way out over the network.
    pub egress: Arc<Egress>,
    /// Where tokens are renewed, so that nobody who leaves breaks it off.
    pub control: tokio::runtime::Handle,
}

/// The accounts at all servers.
pub struct Accounts {
    deps: Deps,
    settings: ArcSwap<Settings>,
    /// What servers said that were asked without a token.
    challenges: Mutex<HashMap<ServerName, Challenge>>,
    purse: Purse,
    own: OwnTokens,
}

impl Accounts {
    /// With the servers as they are configured.
    #[must_use]
    pub fn new(deps: Deps, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            deps,
            settings: ArcSwap::from_pointee(settings),
            challenges: Mutex::default(),
            purse: Purse::default(),
            own: OwnTokens::default(),
        })
    }

    /// Takes over another configuration.
    pub fn apply(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.forget();
    }

    /// Something was changed in the store, maybe by another process: what is in memory counts no more.
    pub fn forget(&self) {
        self.purse.clear();
    }

    /// How a server is logged in at, if it can be.
    fn login(&self, server: &ServerName) -> Option<Arc<ServerLogin>> {
        self.settings.load().servers.get(server).cloned()
    }

    /// What a link to the page of `server` says for whom it is: nothing that can be guessed or used.
    fn link(&self, user: &UserId, server: &ServerName) -> String {
        let input = format!("{server} {user}");
        let mac = self.deps.derive.derive("connect-link", input.as_bytes());
        let mut text = URL_SAFE_NO_PAD.encode(mac);
        text.truncate(22);
        text
    }

    fn event(action: Action, outcome: Outcome, server: &ServerName, user: Option<&UserId>) -> Event {
        Event {
            user: user.cloned(),
            server: Some(server.clone()),
            ..Event::new(action, outcome)
        }
    }

    /// Records what has happened already; that it could not be recorded is in the log.
    fn note(&self, event: &Event) {
        if self.deps.audit.record(event).is_err() {
            tracing::error!("the audit trail cannot be written");
        }
    }
}

/// A map is whole after every step of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
