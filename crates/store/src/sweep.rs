//! Removing what has ended, so that the store grows with use and not with time.

use std::time::Duration;

use sallyport_core::Timestamp;

use crate::{Store, StoreError};

/// How long ended codes and refresh tokens are kept, so that a replay is still told from a stranger's guess.
const REPLAYS: Duration = Duration::from_secs(24 * 3600);

/// How long ended grants are kept: longer than any access token that was issued under one.
const GRANTS: Duration = Duration::from_secs(30 * 24 * 3600);

/// In the order of what refers to what. Each takes the time before which a row has ended, and a bound on how much one
/// pass may do while others wait for the write lock.
const STATEMENTS: [(&str, Duration); 12] = [
    (
        "DELETE FROM browser_sessions WHERE digest IN \
         (SELECT digest FROM browser_sessions WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM departures WHERE state IN (SELECT state FROM departures WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM account_departures WHERE state IN \
         (SELECT state FROM account_departures WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM codes WHERE digest IN (SELECT digest FROM codes WHERE expires <= ? LIMIT 1000)",
        REPLAYS,
    ),
    (
        "DELETE FROM refresh_tokens WHERE digest IN \
         (SELECT digest FROM refresh_tokens WHERE expires <= ? LIMIT 1000)",
        REPLAYS,
    ),
    (
        "DELETE FROM revoked_tokens WHERE jti IN \
         (SELECT jti FROM revoked_tokens WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM exchanged WHERE jti IN (SELECT jti FROM exchanged WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM assertions WHERE (client, digest) IN \
         (SELECT client, digest FROM assertions WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM pushed_requests WHERE digest IN \
         (SELECT digest FROM pushed_requests WHERE expires <= ? LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM devices WHERE device IN (SELECT device FROM devices WHERE expires <= ? LIMIT 1000)",
        REPLAYS,
    ),
    (
        "DELETE FROM vault_keys WHERE id IN \
         (SELECT id FROM vault_keys WHERE until <= ? AND seals = 0 LIMIT 1000)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE expires <= ? LIMIT 100)",
        GRANTS,
    ),
];

impl Store {
    /// Removes what has ended of sessions, codes, tokens, statements, pushed requests and grants, some thousand at a time; says how many. To be
    /// called every few minutes, and again at once while it says more than nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (sql, kept) in STATEMENTS {
            let mut tx = self.begin().await?;
            let ended = sqlx::query(sql).bind(now.minus(kept).as_millis());
            removed += ended.execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
        }
        Ok(removed)
    }
}
