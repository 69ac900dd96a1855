//! API keys: secrets that stand for a grant until it ends. Only their keyed hashes are kept.

use sallyport_core::{GrantId, Timestamp};
use sallyport_oauth::model::{Digest, Grant};

use crate::columns::Columns as _;
use crate::{Store, StoreError, grants};

impl Store {
    /// Keeps an API key with its grant. One that it takes the place of ends at the time that is given with it, if it would not
    /// end before.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing is changed.
    pub async fn insert_api_key(
        &self,
        grant: &Grant,
        digest: &Digest,
        replaces: Option<(&GrantId, Timestamp)>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if let Some((old, ends)) = replaces {
            sqlx::query("UPDATE grants SET expires = ?1 WHERE id = ?2 AND expires > ?1")
                .bind(ends.as_millis())
                .bind(old.as_str())
                .execute(&mut *tx)
                .await?;
        }
        grants::insert(&mut tx, grant).await?;
        sqlx::query("INSERT INTO api_keys (digest, grant_id) VALUES (?, ?)")
            .bind(digest.as_slice())
            .bind(grant.id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// The API keys that are good at `now`, each with its grant.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn api_keys(&self, now: Timestamp) -> Result<Vec<(Digest, Grant)>, StoreError> {
        let rows = sqlx::query(
            "SELECT k.digest, g.* FROM api_keys k JOIN grants g ON g.id = k.grant_id \
             WHERE g.revoked IS NULL AND g.expires > ?",
        )
        .bind(now.as_millis());
        let rows = rows.fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| Ok((row.digest("digest")?, grants::read(row)?)))
            .collect()
    }

    /// The grants that are alive at `now`, the newest first, and whether each is that of an API key.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn living_grants(&self, now: Timestamp) -> Result<Vec<(Grant, bool)>, StoreError> {
        let rows = sqlx::query(
            "SELECT g.*, k.digest IS NOT NULL AS is_key FROM grants g LEFT JOIN api_keys k ON k.grant_id = g.id \
             WHERE g.revoked IS NULL AND g.expires > ? ORDER BY g.created DESC, g.id",
        )
        .bind(now.as_millis());
        let rows = rows.fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| Ok((grants::read(row)?, row.flag("is_key")?)))
            .collect()
    }
}
