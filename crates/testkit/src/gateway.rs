//! A gateway in this process, with a clock that stands still.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sallyport::base::{self, Base};
use sallyport::config::{Adjustments, Config, Location};
use sallyport::environment::Environment;
use sallyport::keys::{self, Rotated};
use sallyport::{Gateway, Overrides, Source};
use sallyport_core::capability::Passwords as _;
use sallyport_core::{Clock as _, Secret, UserId};
use sallyport_oauth::model::User;
use sallyport_proxy::upstream::Launcher;
use sallyport_store::{Store, StoreOptions};
use sallyport_vault::SystemRandom;
use sallyport_vault::password::Argon2id;
use sallyport_vault::signing::SigningKey;

use crate::clock::ManualClock;
use crate::front::{Front, PASSWORD};
use crate::process::program;

/// A gateway whose time is the test's.
pub struct TestGateway {
    front: Front,
    clock: ManualClock,
    gateway: Gateway,
    config: Config,
    folder: tempfile::TempDir,
}

impl Deref for TestGateway {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

impl TestGateway {
    /// Starts a gateway with `more` (YAML) added to a configuration of free ports and an empty data directory.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("sallyport.yaml");
        std::fs::write(&file, written(&folder.path().join("data"), more))?;
        Self::open(folder, file, ManualClock::default()).await
    }

    /// Another gateway of the same issuer on the same data directory, by the same clock, as a second replica is.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn beside(&self) -> anyhow::Result<Self> {
        self.beside_with("").await
    }

    /// The same with `more` in its configuration.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn beside_with(&self, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("sallyport.yaml");
        let text = format!(
            "public_url: {}\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndata_dir: {}\n{more}",
            self.front.origin(),
            self.config.data_dir.display()
        );
        std::fs::write(&file, text)?;
        Self::open(folder, file, self.clock.clone()).await
    }

    async fn open(folder: tempfile::TempDir, file: PathBuf, clock: ManualClock) -> anyhow::Result<Self> {
        let source = Source {
            location: Location::find(Some(file), BTreeMap::new()),
            adjust: Adjustments::default(),
        };
        let config = base::load(&source.location, &source.adjust).await?;
        let overrides = Overrides {
            clock: Arc::new(clock.clone()),
            launcher: Some(launcher()?),
            source: Some(source),
            ..Overrides::default()
        };
        let gateway = Gateway::start(config.clone(), overrides).await?;
        Ok(Self {
            front: Front::new(gateway.addr()),
            clock,
            gateway,
            config,
            folder,
        })
    }

    /// Goes on with `more` in its configuration in place of what was there.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub async fn configure(&self, more: &str) -> anyhow::Result<()> {
        std::fs::write(
            self.folder.path().join("sallyport.yaml"),
            written(&self.data_dir(), more),
        )?;
        Ok(self.gateway.reload().await?)
    }

    /// The clock that everything in the gateway reads.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The gateway itself.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The one-time link with which the first administrator makes an account.
    ///
    /// # Errors
    /// When there is an administrator.
    pub fn setup_link(&self) -> anyhow::Result<String> {
        let link = self.gateway.setup_link().context("there is an administrator")?;
        Ok(link.expose().clone())
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Another handle of the gateway's store, as a command has it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn store(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.data_dir(), StoreOptions::default()).await?)
    }

    /// The key that signs its access tokens, as a thief of the data directory would find it.
    ///
    /// # Errors
    /// When the data directory cannot be read.
    pub async fn signing_key(&self) -> anyhow::Result<SigningKey> {
        let base = self.base().await?;
        let keys = keys::load(&base).await?;
        base.store.close().await;
        Ok(keys.active.key)
    }

    /// Replaces the signing key by the next one, as the command does.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate_keys(&self) -> anyhow::Result<Rotated> {
        let base = self.base().await?;
        let rotated = keys::rotate(&base, &keys::policy(&base)).await?;
        base.store.close().await;
        Ok(rotated)
    }

    /// What a command stands on.
    async fn base(&self) -> anyhow::Result<Base> {
        let (clock, random) = (Arc::new(self.clock.clone()), Arc::new(SystemRandom));
        Ok(Base::open(self.config.clone(), &Environment::default(), clock, random).await?)
    }

    /// Makes an account with [`PASSWORD`].
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn add_user(&self, name: &str, admin: bool) -> anyhow::Result<UserId> {
        let random = Arc::new(SystemRandom);
        let user = User {
            id: UserId::generate(&*random),
            name: name.to_owned(),
            admin,
            password: Argon2id::new(random)?.hash(&Secret::new(PASSWORD.to_owned()))?,
            created: self.clock.now(),
        };
        let store = self.store().await?;
        store.create_user(&user).await?;
        store.close().await;
        Ok(user.id)
    }

    /// Stops it as an operator would.
    pub async fn shutdown(self) {
        self.gateway.shutdown().await;
    }
}

/// A configuration of free ports with `more` in it.
fn written(data: &Path, more: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndata_dir: {}\n{more}",
        data.display()
    )
}

/// Children are guarded by the built program; the test's own has no verb for that.
fn launcher() -> anyhow::Result<Launcher> {
    let mut command = sallyport::child::guard_command();
    let own = command.first_mut().context("the guard is a program")?;
    *own = program("sallyport")?.into();
    Ok(Launcher::Guard(command))
}
