//! The ring of signing keys, sealed by the vault before they come here: one that signs, the next, and those that still verify.

use std::time::Duration;

use sallyport_core::Timestamp;
use sqlx::SqliteConnection;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredKey {
    /// Its key id.
    pub kid: String,
    /// The name of its algorithm (RFC 7518 §3.1).
    pub alg: String,
    /// The private key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it signs; `None` for the next one.
    pub signs: Option<Timestamp>,
    /// When it stopped signing; it verifies until its last token has ended.
    pub retired: Option<Timestamp>,
    /// The longest life of the tokens that clients get under it.
    pub longest: Duration,
    /// When the last of its tokens ends: of those with a life of their own while it signs, of all once it is retired.
    pub until: Timestamp,
}

impl Store {
    /// All signing keys, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY created DESC, kid");
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(StoredKey {
                kid: row.text("kid")?,
                alg: row.text("alg")?,
                sealed: row.bytes("sealed")?,
                created: row.time("created")?,
                signs: row.maybe_time("signs")?,
                retired: row.maybe_time("retired")?,
                longest: Duration::from_millis(row.number("longest")?),
                until: row.time("until")?,
            })
        };
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// Keeps the first signing key; `false`, and nothing done, if there is one already: of two processes that start
    /// together one makes the key, and the other reads it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn insert_first_signing_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let any = sqlx::query("SELECT 1 FROM signing_keys WHERE signs IS NOT NULL AND retired IS NULL")
            .fetch_optional(&mut *tx)
            .await?;
        if any.is_some() {
            tx.rollback().await?;
            return Ok(false);
        }
        insert(&mut tx, key).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Keeps the key that signs next. One of another algorithm, which has signed nothing, goes; `false`, and nothing done,
    /// if there is one of this algorithm already.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn insert_next_signing_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let same = sqlx::query("SELECT 1 FROM signing_keys WHERE signs IS NULL AND alg = ?").bind(&key.alg);
        if same.fetch_optional(&mut *tx).await?.is_some() {
            tx.rollback().await?;
            return Ok(false);
        }
        sqlx::query("DELETE FROM signing_keys WHERE signs IS NULL")
            .execute(&mut *tx)
            .await?;
        insert(&mut tx, key).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The next key signs from now on, and the one that signs is retired; `false`, and nothing done, if they are not those:
    /// of many who rotate at once, one does.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn rotate_signing_keys(
        &self,
        active: &str,
        next: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        // The life of its tokens stays with the next one, which may have been made before it was longer.
        let promoted = sqlx::query(
            "UPDATE signing_keys SET signs = ?1, \
             longest = max(longest, (SELECT longest FROM signing_keys WHERE kid = ?2)) \
             WHERE kid = ?3 AND signs IS NULL \
             AND EXISTS (SELECT 1 FROM signing_keys WHERE kid = ?2 AND signs IS NOT NULL AND retired IS NULL)",
        )
        .bind(now.as_millis())
        .bind(active)
        .bind(next)
        .execute(&mut *tx)
        .await?;
        if promoted.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        sqlx::query("UPDATE signing_keys SET retired = ?1, until = max(until, ?1 + longest) WHERE kid = ?2")
            .bind(now.as_millis())
            .bind(active)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes how long the tokens live that clients get from now on.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then no such token may be signed.
    pub async fn note_token_life(&self, longest: Duration) -> Result<(), StoreError> {
        let millis = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE signing_keys SET longest = ?1 WHERE retired IS NULL AND longest < ?1")
            .bind(millis)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Notes that a key signs a token with a life of its own.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then the token may not be given out.
    pub async fn note_token_end(&self, kid: &str, until: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE signing_keys SET until = ?1 WHERE kid = ?2 AND until < ?1")
            .bind(until.as_millis())
            .bind(kid)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Removes the retired keys whose last token ended at `time` or before; says how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn remove_ended_signing_keys(&self, time: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let removed = sqlx::query("DELETE FROM signing_keys WHERE retired IS NOT NULL AND until <= ?")
            .bind(time.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(removed.rows_affected())
    }
}

async fn insert(tx: &mut SqliteConnection, key: &StoredKey) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO signing_keys (kid, alg, sealed, created, signs, retired, longest, until) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&key.kid)
    .bind(&key.alg)
    .bind(key.sealed.as_slice())
    .bind(key.created.as_millis())
    .bind(key.signs.map(Timestamp::as_millis))
    .bind(key.retired.map(Timestamp::as_millis))
    .bind(i64::try_from(key.longest.as_millis()).unwrap_or(i64::MAX))
    .bind(key.until.as_millis())
    .execute(tx)
    .await?;
    Ok(())
}
