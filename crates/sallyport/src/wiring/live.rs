//! What runs, and how it takes over changes: of the file, and of the store by other processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sallyport_accounts::Accounts;
use sallyport_authserver::{Approvals, Logins, Proofs, Settings};
use sallyport_core::Timestamp;
use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_net::layers::{Doors, DoorsOptions};
use sallyport_oauth::{own_name, token_set};
use sallyport_proxy::{Metrics, Proxy, upstream::Upstreams};
use sallyport_store::AuditTrail;
use sallyport_vault::signing::{Signer, VerifyingKey};
use sallyport_vault::verifier::Verifier;

use super::issuers::{self, Issuers};
use super::plan::{self, Plan};
use crate::base::{Base, StartError};
use crate::config::{Config, Problems};
use crate::keys::{self, Policy};
use crate::lock::Lock;

/// No access token lives longer: those of the command line, and those of the largest `access_ttl`.
const LONGEST_TOKEN: Duration = Duration::from_secs(30 * 86_400);

/// After what time the signing keys are looked at again when that failed.
const RETRY_KEYS: Duration = Duration::from_secs(30);

/// The running gateway.
pub(super) struct Live {
    pub(super) base: Base,
    /// The configuration in force.
    pub(super) config: ArcSwap<Config>,
    /// The origin that clients use; fixed while it runs.
    pub(super) origin: String,
    pub(super) listening: Vec<SocketAddr>,
    pub(super) signer: Arc<Signer>,
    /// When there is something to do about the signing keys, in milliseconds since the epoch.
    pub(super) keys_due: AtomicI64,
    pub(super) verifier: Arc<Verifier>,
    pub(super) proofs: Arc<Proofs>,
    /// Our own tokens, and those of the issuers that are trusted.
    pub(super) issuers: Arc<Issuers>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) trail: Arc<AuditTrail>,
    pub(super) lock: Arc<Lock>,
    pub(super) logins: Arc<Logins>,
    pub(super) approvals: Arc<Approvals>,
    pub(super) doors: ArcSwap<Doors>,
    pub(super) started: Timestamp,
    pub(super) ready: AtomicBool,
    /// What the operator should know of.
    pub(super) notes: ArcSwap<Vec<String>>,
    /// Why the file was refused when it was read last.
    pub(super) refused: ArcSwap<Vec<String>>,
}

/// Plans from a configuration and what the store holds now.
pub(super) async fn plan_now(base: &Base, config: &Config, origin: &str) -> Result<Plan, StartError> {
    let stored = base.stored_servers().await?;
    // Before the people, so that nobody is seen as an identity without a name.
    let identities = base.store.identities().await?;
    let groups = base.store.groups().await?;
    let users = base.store.users().await?;
    let mut clients = base.store.operator_clients().await?;
    clients.retain(own_name::is_allowed);
    plan::plan(&plan::Sources {
        config,
        stored: &stored,
        users: &users,
        identities: &identities,
        groups: &groups,
        clients: &clients,
        origin,
        derive: &*base.vault,
    })
}

/// A time as it is kept, the end of time for never.
fn millis(due: Option<Timestamp>) -> i64 {
    due.map_or(i64::MAX, Timestamp::as_millis)
}

/// When there is something to do about the signing keys.
pub(super) fn due(due: Option<Timestamp>) -> AtomicI64 {
    AtomicI64::new(millis(due))
}

/// The doors of a configuration.
pub(super) fn doors(config: &Config, origin: &str, listening: &[SocketAddr]) -> Result<Doors, StartError> {
    let unusable =
        |error: &dyn std::fmt::Display| StartError::Other(format!("`public_url` cannot be used: {error}"));
    let public_url = url::Url::parse(origin).map_err(|error| unusable(&error))?;
    let allowed: Vec<String> = config
        .root
        .allowed_origins
        .iter()
        .map(|origin| origin.as_str().to_owned())
        .collect();
    let proxies: Vec<_> = config
        .root
        .trusted_proxies
        .iter()
        .map(|network| network.0)
        .collect();
    let options = DoorsOptions {
        public_url: &public_url,
        listen: listening,
        allowed_origins: &allowed,
        trusted_proxies: &proxies,
    };
    Doors::new(&options).map_err(|error| unusable(&error))
}

/// The directory in which programs run that configure none.
pub(super) fn run_dir(data_dir: &Path) -> Result<PathBuf, StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let dir = data_dir.join("run");
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir);
    made.map_err(StartError::io("make the directory in which programs run"))?;
    Ok(dir)
}

impl Live {
    /// Takes over what other processes changed in the store: servers, users, keys, revocations.
    pub(super) async fn refresh(&self) {
        let config = self.config.load_full();
        let done = async {
            self.refresh_revoked().await?;
            self.refresh_api_keys().await?;
            self.refresh_keys().await?;
            let plan = plan_now(&self.base, &config, &self.origin).await?;
            self.take_over(plan);
            Ok::<_, StartError>(())
        };
        if let Err(error) = done.await {
            tracing::error!(%error, "changes in the store were not taken over");
        }
    }

    /// The grants and tokens that were revoked, by whatever process.
    pub(super) async fn refresh_revoked(&self) -> Result<(), StartError> {
        let now = self.base.clock.now();
        let since = now.minus(LONGEST_TOKEN);
        self.verifier
            .load_revoked(self.base.store.revoked_since(since).await?);
        self.verifier
            .load_revoked_tokens(self.base.store.revoked_tokens(now).await?);
        Ok(())
    }

    /// The API keys that are good.
    pub(super) async fn refresh_api_keys(&self) -> Result<(), StartError> {
        let keys = self.base.store.api_keys(self.base.clock.now()).await?;
        let keys = keys
            .into_iter()
            .map(|(digest, grant)| (digest, token_set::bearer(&grant), grant.created));
        self.verifier.replace_api_keys(keys);
        Ok(())
    }

    async fn refresh_keys(&self) -> Result<(), StartError> {
        let keys = keys::load(&self.base).await?;
        let known = self.signer.verifying_keys();
        if !known.iter().map(VerifyingKey::kid).eq(keys.kids()) {
            let others = keys.others();
            // What verifies comes first: no token is signed that this process does not know.
            let verifying = std::iter::once(&keys.active.key).chain(&others);
            let verifying: Vec<_> = verifying.map(|key| key.verifying().clone()).collect();
            self.verifier.replace_keys(&verifying)?;
            self.signer.replace(&keys.active.key, &others)?;
        }
        let policy = Policy::from(&self.config.load().root.auth.tokens);
        self.keys_due.store(millis(keys.due(&policy)), Ordering::Relaxed);
        Ok(())
    }

    /// Does what is due about the signing keys.
    pub(super) async fn tend_keys(&self) {
        let now = self.base.clock.now();
        if now.as_millis() < self.keys_due.load(Ordering::Relaxed) {
            return;
        }
        let policy = Policy::from(&self.config.load().root.auth.tokens);
        let done = async {
            if let Some(kid) = keys::tend(&self.base, &policy).await? {
                tracing::info!(kid, "another key signs access tokens");
                let event = Event::new(Action::KeyRotate, Outcome::Ok).on(&kid);
                if self.trail.record(&event.because("by schedule")).is_err() {
                    tracing::error!("a rotation could not be recorded: the audit trail cannot be written");
                }
            }
            self.refresh_keys().await
        };
        if let Err(error) = done.await {
            // Tried again, but not every second.
            self.keys_due
                .store(now.plus(RETRY_KEYS).as_millis(), Ordering::Relaxed);
            tracing::error!(%error, "the signing keys could not be tended");
        }
    }

    /// Takes over what was approved by other processes.
    pub(super) async fn refresh_approved(&self) {
        let lock = Arc::clone(&self.lock);
        let changed = tokio::task::spawn_blocking(move || lock.refresh()).await;
        if changed.unwrap_or_default() {
            self.refresh().await;
        }
    }

    fn take_over(&self, mut plan: Plan) {
        plan.proxy.curator = self.lock.curator();
        // First, so that a server that is new finds its accounts.
        self.accounts.apply(plan.accounts);
        self.proxy.apply(plan.proxy);
        self.upstreams.accounts_changed();
        self.settings.store(Arc::new(plan.settings));
        let before = self.notes.swap(Arc::new(plan.notes.clone()));
        for note in plan.notes.iter().filter(|note| !before.contains(note)) {
            tracing::warn!(note, "note");
        }
    }

    /// Takes over a file that was read again, or says why not; then everything stays as it is.
    pub(super) async fn reload(&self, read: Result<Config, Problems>) -> Result<(), Problems> {
        match read {
            Ok(config) => {
                let config = self.hold_fixed(config);
                if let Err(error) = self.change_to(config).await {
                    self.refuse(vec![error.to_string()]);
                }
                Ok(())
            }
            Err(problems) => {
                self.refuse(problems.iter().map(ToString::to_string).collect());
                Err(problems)
            }
        }
    }

    async fn change_to(&self, config: Config) -> Result<(), StartError> {
        let doors = doors(&config, &self.origin, &self.listening)?;
        let plan = plan_now(&self.base, &config, &self.origin).await?;
        let others = issuers::trusted(&config.root.auth.issuers, &self.origin)?;
        let same = config.root.auth.issuers == self.config.load().root.auth.issuers;
        self.lock
            .reload(&config)
            .map_err(|error| StartError::Other(error.to_string()))?;
        // Before any token lives that long.
        let longest = config.root.auth.tokens.access_ttl.0;
        self.base.store.note_token_life(longest).await?;
        self.record(Outcome::Ok);
        self.doors.store(Arc::new(doors));
        if !same {
            self.issuers.trust(others);
        }
        self.config.store(Arc::new(config));
        self.take_over(plan);
        self.refresh_keys().await?;
        if !same {
            self.issuers.prepare().await;
        }
        self.refused.store(Arc::default());
        tracing::info!("the configuration was taken over");
        Ok(())
    }

    fn refuse(&self, lines: Vec<String>) {
        self.record(Outcome::Failed);
        tracing::error!(
            problems = %lines.join("\n"),
            "the configuration was not taken over; what was in force stays in force"
        );
        self.refused.store(Arc::new(lines));
    }

    fn record(&self, outcome: Outcome) {
        if self.trail.record(&Event::new(Action::Reload, outcome)).is_err() {
            tracing::error!("a reload could not be recorded: the audit trail cannot be written");
        }
    }

    /// What cannot change while the gateway runs stays as it is, and is named.
    fn hold_fixed(&self, mut config: Config) -> Config {
        let now = self.config.load();
        let mut fixed = Vec::new();
        macro_rules! hold {
            ($($name:literal => $($field:ident).+);+ $(;)?) => {
                $(if config.$($field).+ != now.$($field).+ {
                    fixed.push($name);
                    config.$($field).+ = now.$($field).+.clone();
                })+
            };
        }
        hold! {
            "listen" => root.listen;
            "admin_listen" => root.admin_listen;
            "tcp_listen" => root.tcp_listen;
            "public_url" => root.public_url;
            "data_dir" => data_dir;
            "workers" => root.workers;
            "egress" => root.egress;
            "auth.mode" => root.auth.mode;
            "limits.connections" => root.limits.connections;
            "limits.header_timeout" => root.limits.header_timeout;
            "limits.drain" => root.limits.drain;
        }
        if !fixed.is_empty() {
            tracing::warn!(
                keys = fixed.join(", "),
                "these changes take effect at the next start"
            );
        }
        config
    }

    /// What grows with time is cut.
    pub(super) async fn sweep(&self) {
        let now = self.base.clock.now();
        self.verifier.forget_revoked(now.minus(LONGEST_TOKEN));
        self.verifier.forget_ended(now);
        if let Err(error) = self.base.store.sweep(now).await
            && !self.base.store.is_closed()
        {
            tracing::warn!(%error, "what has ended could not be removed from the store");
        }
    }
}
