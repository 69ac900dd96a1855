//! The master key is replaced: while everybody works, and while the command is killed.

mod commands;
mod crash;
mod opening;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sallyport::base::{self, Base, StartError};
use sallyport::config::{Adjustments, Location};
use sallyport::environment::Environment;
use sallyport::master::rotate::{self, Rotated, Step};
use sallyport_core::capability::{OpenSecret as _, SealSecret as _};
use sallyport_core::clock::SystemClock;
use sallyport_core::{ServerName, Timestamp, UserId};
use sallyport_store::{StoredAccount, place};
use sallyport_vault::SystemRandom;

/// A data directory on which commands work.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("data_dir: {}\n", folder.path().join("data").display());
        std::fs::write(folder.path().join("sallyport.yaml"), text).unwrap();
        Self(folder)
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("data/master.key")
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.key_file()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// What a process has that starts now.
    async fn try_open(&self) -> Result<Base, StartError> {
        let location = Location::find(Some(self.0.path().join("sallyport.yaml")), BTreeMap::new());
        let config = base::load(&location, &Adjustments::default()).await?;
        let parts = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Base::open(config, &Environment::default(), parts.0, parts.1).await
    }

    async fn open(&self) -> Base {
        self.try_open().await.unwrap()
    }
}

/// Accounts whose tokens say whose they are.
async fn fill(base: &Base, accounts: u32) {
    for number in 0..accounts {
        put(base, number, &format!("tokens of {number}")).await.unwrap();
    }
}

async fn put(base: &Base, number: u32, tokens: &str) -> Result<(), sallyport_store::StoreError> {
    let id = format!("account-{number}");
    let account = StoredAccount {
        server: ServerName::parse("docs").unwrap(),
        owner: Some(UserId::new(format!("person-{number}"))),
        name: format!("{number}"),
        issuer: "https://as.test".to_owned(),
        resource: "https://docs.test/mcp".to_owned(),
        client: "c".to_owned(),
        scopes: Vec::new(),
        missing: Vec::new(),
        problem: None,
        in_use: true,
        due: Timestamp::EPOCH,
        sealed: base.vault.seal_secret(&place::account(&id), tokens.as_bytes()),
        version: 1,
        created: Timestamp::EPOCH,
        id,
    };
    base.store.put_account(&account, Timestamp::EPOCH).await
}

/// How many accounts there are, after each was opened in its own place.
async fn readable(base: &Base) -> usize {
    let accounts = base.store.accounts().await.unwrap();
    for account in &accounts {
        let opened = base
            .vault
            .open_secret(&place::account(&account.id), &account.sealed);
        let opened = opened.unwrap_or_else(|_| panic!("{} does not open", account.id));
        assert_eq!(opened.expose(), format!("tokens of {}", account.name).as_bytes());
    }
    accounts.len()
}

/// Rotates and does not wait.
async fn rotate(base: &Base) -> Result<Rotated, StartError> {
    rotate::rotate(base, async |_| Ok(())).await
}

/// Rotates until the step, the first or a later one, at which it is killed.
async fn rotate_until(base: &Base, mut last: impl FnMut(&Step) -> bool) -> Result<Rotated, StartError> {
    rotate::rotate(base, async |step| {
        if last(step) {
            return Err(StartError::Other("killed".to_owned()));
        }
        Ok(())
    })
    .await
}
