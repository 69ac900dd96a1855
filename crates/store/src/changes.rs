//! How a running gateway learns that another process has changed users, servers, keys, grants or tokens.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::{Store, StoreError};

/// A quarter of the second within which a command takes effect.
const POLL: Duration = Duration::from_millis(250);

impl Store {
    /// A number that grows with every change of users, servers, signing keys and revocations, by whatever process; other
    /// writes (sessions, tokens, audit) do not move it. It is looked at every 250 ms, until the last receiver is dropped.
    ///
    /// Must be called within a Tokio runtime.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let store = self.clone();
        tokio::spawn(async move {
            let mut poll = Poll::default();
            let mut tick = tokio::time::interval(POLL);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    _ = tick.tick() => {}
                }
                match poll.value(&store).await {
                    Ok(Some(value)) => {
                        sender.send_if_modified(|known| std::mem::replace(known, value) != value);
                    }
                    Ok(None) => {}
                    Err(error) => poll.failed(&error),
                }
            }
        });
        receiver
    }
}

#[derive(Default)]
struct Poll {
    /// `data_version` tells a connection of the commits of all others, so it has to be always the same one.
    connection: Option<SqliteConnection>,
    version: Option<i64>,
    failing: bool,
}

impl Poll {
    /// The number, if anything at all was committed since it was asked for last.
    async fn value(&mut self, store: &Store) -> Result<Option<u64>, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(store.reading().connect().await?),
        };
        let version: i64 = sqlx::query("PRAGMA data_version")
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let value: i64 = sqlx::query("SELECT value FROM changes")
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
        self.version = Some(version);
        self.failing = false;
        u64::try_from(value).map(Some).map_err(|_| StoreError::Corrupt {
            what: "count of changes",
        })
    }

    fn failed(&mut self, error: &StoreError) {
        self.connection = None;
        self.version = None;
        // Four lines a second would bury everything else.
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "changes by other processes cannot be seen");
        }
    }
}
