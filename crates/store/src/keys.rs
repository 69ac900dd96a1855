//! Signing keys, sealed by the vault before they come here.

use sallyport_core::Timestamp;
use sqlx::SqliteConnection;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredKey {
    /// Its key id.
    pub kid: String,
    /// The private key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stopped signing; it verifies until its last token has ended.
    pub retired: Option<Timestamp>,
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
                sealed: row.bytes("sealed")?,
                created: row.time("created")?,
                retired: row.maybe_time("retired")?,
            })
        };
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// Keeps a new signing key.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the key id exists.
    pub async fn insert_signing_key(&self, key: &StoredKey) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, key).await?;
        tx.commit().await
    }

    /// Keeps the first signing key; `false`, and nothing done, if there is one already: of two processes that start
    /// together one makes the key, and the other reads it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn insert_first_signing_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let any = sqlx::query("SELECT 1 FROM signing_keys LIMIT 1")
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

    /// Marks a key as no longer signing; says whether it was.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn retire_signing_key(&self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("UPDATE signing_keys SET retired = ? WHERE kid = ? AND retired IS NULL")
            .bind(now.as_millis())
            .bind(kid)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

async fn insert(tx: &mut SqliteConnection, key: &StoredKey) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO signing_keys (kid, sealed, created, retired) VALUES (?, ?, ?, ?)")
        .bind(&key.kid)
        .bind(key.sealed.as_slice())
        .bind(key.created.as_millis())
        .bind(key.retired.map(Timestamp::as_millis))
        .execute(tx)
        .await?;
    Ok(())
}
