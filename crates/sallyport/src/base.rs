//! What every verb stands on: the configuration that holds, the store, and the vault.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sallyport_core::capability::{OpenSecret as _, SealSecret as _};
use sallyport_core::{Clock, Random, ServerName};
use sallyport_store::audit::AuditError;
use sallyport_store::{AuditTrail, Store, StoreError, StoreOptions, place};
use sallyport_vault::source::MasterKeySource;
use sallyport_vault::{KeyError, KeyId, Vault};
use thiserror::Error;

use crate::config::servers::Server;
use crate::config::{Adjustments, Config, Location, Problems, parse_server};
use crate::environment::Environment;
use crate::master;

/// Why nothing was started. Each text holds the mend.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong: exit 78.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The data directory or the store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key, or a key under it, cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The audit trail cannot be trusted or written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The store is sealed under a key that was not given.
    #[error(
        "the store is sealed under the master key {sealed}, and {given}: put back the key that it was made with; \
         after a change of the key, give the former one as a retired one (`SALLYPORT_MASTER_KEY_RETIRED`, or a line \
         `retired KEY` of the key file)"
    )]
    OtherKey {
        /// The key that the store names.
        sealed: KeyId,
        /// What was found instead.
        given: String,
    },
    /// A stored value does not open.
    #[error(
        "{0} does not open with this master key; use the key that it was made with, or remove and add it again"
    )]
    Sealed(String),
    /// Something else does not fit together.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// With what was being done.
    pub fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// The configuration, the store and the vault of one data directory.
#[derive(Clone)]
pub struct Base {
    /// The configuration.
    pub config: Config,
    /// The store.
    pub store: Store,
    /// The vault.
    pub vault: Arc<Vault>,
    /// Where its master keys come from.
    pub keys: MasterKeySource,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// Reads the configuration, and looks into an existing store for the servers that only a command defined.
///
/// # Errors
/// Every problem at once.
pub async fn load(location: &Location, adjust: &Adjustments) -> Result<Config, Problems> {
    let draft = location.read(adjust);
    let stored = if draft.needs_stored() {
        stored_names(draft.data_dir()).await
    } else {
        BTreeSet::new()
    };
    draft.finish(&stored)
}

async fn stored_names(data_dir: &Path) -> BTreeSet<String> {
    if !data_dir.join("sallyport.db").exists() {
        return BTreeSet::new();
    }
    let names = async {
        let store = Store::open(data_dir, StoreOptions::default()).await?;
        let servers = store.servers().await?;
        store.close().await;
        Ok::<_, StoreError>(
            servers
                .into_iter()
                .map(|server| server.name.to_string())
                .collect(),
        )
    };
    names.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "servers that were added by command cannot be read");
        BTreeSet::new()
    })
}

impl Base {
    /// Opens what a configuration names; makes it where there is nothing yet.
    ///
    /// # Errors
    /// [`StartError`], above all for a data directory that is open to others.
    pub async fn open(
        config: Config,
        environment: &Environment,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let store = Store::open(&config.data_dir, StoreOptions::default()).await?;
        let keys = environment.master_key(&config.data_dir)?;
        let vault = master::open(&store, &keys, clock.now(), &random).await?;
        Ok(Self {
            config,
            store,
            vault: Arc::new(vault),
            keys,
            clock,
            random,
        })
    }

    /// The audit trail, running on the current runtime.
    ///
    /// # Errors
    /// [`StartError::Audit`].
    pub async fn trail(&self) -> Result<AuditTrail, StartError> {
        Ok(AuditTrail::start(&self.store, self.vault.clone(), Arc::clone(&self.clock)).await?)
    }

    /// The origin that clients use: `public_url`, or the address that is listened on.
    #[must_use]
    pub fn public_origin(&self, listening: std::net::SocketAddr) -> String {
        public_origin(&self.config, listening)
    }

    /// Keeps a server that was added by command; `json` describes it as the file would.
    ///
    /// # Errors
    /// [`StartError::Store`].
    pub async fn put_server(&self, name: &ServerName, json: &str) -> Result<(), StartError> {
        let sealed = self.vault.seal_secret(&place::server(name), json.as_bytes());
        Ok(self.store.put_server(name, &sealed).await?)
    }

    /// The servers that were added by command, by name.
    ///
    /// # Errors
    /// [`StartError::Sealed`] if one was sealed with another master key; [`StartError::Config`] if one was written by a
    /// version with other rules.
    pub async fn stored_servers(&self) -> Result<Vec<(ServerName, Server)>, StartError> {
        let mut servers = Vec::new();
        for stored in self.store.servers().await? {
            let name = stored.name;
            let sealed = || StartError::Sealed(format!("the server `{name}`"));
            let plain = self
                .vault
                .open_secret(&place::server(&name), &stored.sealed)
                .map_err(|_| sealed())?;
            let json = std::str::from_utf8(plain.expose()).map_err(|_| sealed())?;
            let server = parse_server(name.as_str(), json)?;
            servers.push((name, server));
        }
        Ok(servers)
    }
}

/// The origin that clients use: `public_url`, or the address that is listened on. Never with a slash at the end.
#[must_use]
pub fn public_origin(config: &Config, listening: std::net::SocketAddr) -> String {
    match &config.root.public_url {
        Some(public) => public.value.url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{listening}"),
    }
}
