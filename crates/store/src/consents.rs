//! Remembered consents: one for each person, client and resource.

use sallyport_core::{ClientId, Resource, UserId};
use sallyport_oauth::model::Consent;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

impl Store {
    /// What the person has said yes to, if anything.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn consent(
        &self,
        user: &UserId,
        client: &ClientId,
        resource: &Resource,
    ) -> Result<Option<Consent>, StoreError> {
        let row = sqlx::query("SELECT * FROM consents WHERE user = ? AND client = ? AND resource = ?")
            .bind(user.as_str())
            .bind(client.as_str())
            .bind(resource.as_str())
            .fetch_optional(self.reader())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Consent {
            user: user.clone(),
            client: client.clone(),
            resource: resource.clone(),
            scopes: row.scopes("scopes")?,
            redirect: row.text("redirect")?,
            given: row.time("given")?,
        }))
    }

    /// Forgets what the person has said yes to.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn forget_consent(
        &self,
        user: &UserId,
        client: &ClientId,
        resource: &Resource,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM consents WHERE user = ? AND client = ? AND resource = ?")
            .bind(user.as_str())
            .bind(client.as_str())
            .bind(resource.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Remembers a yes in place of an older one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the user is gone.
    pub async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO consents (user, client, resource, scopes, redirect, given) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(consent.user.as_str())
        .bind(consent.client.as_str())
        .bind(consent.resource.as_str())
        .bind(consent.scopes.to_string())
        .bind(&consent.redirect)
        .bind(consent.given.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}
