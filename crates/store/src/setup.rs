//! The one-time link with which the first administrator makes an account.

use sallyport_core::Timestamp;
use sallyport_oauth::model::{Digest, User};

use crate::users::insert;
use crate::{CreateUserError, Store, StoreError};

impl Store {
    /// Keeps the hash of a setup link; an older link ends.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_setup(&self, digest: &Digest, expires: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT OR REPLACE INTO setup (one, digest, expires) VALUES (1, ?, ?)")
            .bind(digest.as_slice())
            .bind(expires.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Whether there is an administrator.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn has_admin(&self) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT 1 FROM users WHERE admin <> 0 LIMIT 1");
        Ok(row.fetch_optional(self.reader()).await?.is_some())
    }

    /// Makes the first administrator and uses the link up, at once. `false`, and nothing done, if there is an
    /// administrator already or the link is another or has ended.
    ///
    /// # Errors
    /// [`CreateUserError::NameTaken`] if a user without rights has the name; the link stays usable.
    pub async fn create_first_admin(
        &self,
        setup: &Digest,
        user: &User,
        now: Timestamp,
    ) -> Result<bool, CreateUserError> {
        let mut tx = self.begin().await?;
        let used = sqlx::query(
            "DELETE FROM setup WHERE digest = ? AND expires > ? \
             AND NOT EXISTS (SELECT 1 FROM users WHERE admin <> 0)",
        )
        .bind(setup.as_slice())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await
        .map_err(StoreError::from)?;
        if used.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        insert(&mut tx, user).await?;
        tx.commit().await?;
        Ok(true)
    }
}
