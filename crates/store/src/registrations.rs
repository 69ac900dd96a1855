//! The management of registrations (RFC 7592): their tokens, their change and their end.

use sallyport_core::{ClientId, GrantId, Timestamp};
use sallyport_oauth::model::{Client, Digest};
use sqlx::SqliteConnection;

use crate::clients::{insert, likeness, method_text, read, written};
use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// Who has registered a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maker {
    /// The client (RFC 7591).
    Client,
    /// The operator; it is never forgotten for not being used.
    Operator,
}

/// The token with which a client manages its registration, as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistrationToken {
    /// Its hash.
    pub digest: Digest,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

impl Store {
    /// Keeps a new client and the token of its registration, at once.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the id exists; then neither is kept.
    pub async fn register_client(
        &self,
        client: &Client,
        maker: Maker,
        token: Option<&RegistrationToken>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, client, maker).await?;
        if let Some(token) = token {
            put(&mut tx, &client.id, token).await?;
        }
        tx.commit().await
    }

    /// The token of a client's registration.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn registration_token(
        &self,
        client: &ClientId,
    ) -> Result<Option<RegistrationToken>, StoreError> {
        let row = sqlx::query("SELECT digest, expires FROM registration_tokens WHERE client = ?");
        let row = row.bind(client.as_str()).fetch_optional(self.reader()).await?;
        row.map(|row| {
            Ok(RegistrationToken {
                digest: row.digest("digest")?,
                expires: row.maybe_time("expires")?,
            })
        })
        .transpose()
    }

    /// Gives a registration another token, the former one ends; `false` if there is no such client.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_registration_token(
        &self,
        client: &ClientId,
        token: &RegistrationToken,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let known = sqlx::query("SELECT 1 FROM clients WHERE id = ?").bind(client.as_str());
        if known.fetch_optional(&mut *tx).await?.is_none() {
            tx.rollback().await?;
            return Ok(false);
        }
        put(&mut tx, client, token).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Replaces a registration and its token, if `old` still is its token; `false`, and nothing done, if not. Of two
    /// changes at once one is made.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was changed.
    pub async fn replace_client(
        &self,
        client: &Client,
        old: &Digest,
        next: &RegistrationToken,
    ) -> Result<bool, StoreError> {
        let (redirect_uris, metadata) = written(client)?;
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE registration_tokens SET digest = ?, expires = ? WHERE client = ? AND digest = ?",
        )
        .bind(next.digest.as_slice())
        .bind(next.expires.map(Timestamp::as_millis))
        .bind(client.id.as_str())
        .bind(old.as_slice())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        sqlx::query(
            "UPDATE clients SET auth_method = ?, secret = ?, redirect_uris = ?, scopes = ?, metadata = ?, \
             likeness = ? WHERE id = ?",
        )
        .bind(method_text(client.auth_method))
        .bind(client.secret.as_ref().map(<[u8; 32]>::as_slice))
        .bind(redirect_uris)
        .bind(client.scopes.to_string())
        .bind(metadata)
        .bind(likeness(client))
        .bind(client.id.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a client: its registration, what people said yes to, and every grant. The grants that were alive; `None` if
    /// there is no such client.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was changed.
    pub async fn delete_client(
        &self,
        id: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Vec<GrantId>>, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM clients WHERE id = ?").bind(id.as_str());
        if done.execute(&mut *tx).await?.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        let ended = end_grants(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    /// Ends every grant to a client and what people said yes to; its registration stays. The grants that were alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was changed.
    pub async fn revoke_client(&self, id: &ClientId, now: Timestamp) -> Result<Vec<GrantId>, StoreError> {
        let mut tx = self.begin().await?;
        let ended = end_grants(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(ended)
    }

    /// The clients that the operator has registered.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn operator_clients(&self) -> Result<Vec<Client>, StoreError> {
        let rows = sqlx::query("SELECT * FROM clients WHERE maker = 'operator' ORDER BY registered, id");
        let rows = rows.fetch_all(self.reader()).await?;
        rows.iter().map(read).collect()
    }

    /// Every registered client and who has made it, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn clients(&self) -> Result<Vec<(Client, Maker)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM clients ORDER BY registered, id");
        let rows = rows.fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| {
                let maker = match row.text("maker")?.as_str() {
                    "self" => Maker::Client,
                    "operator" => Maker::Operator,
                    _ => return Err(StoreError::Corrupt { what: "maker" }),
                };
                Ok((read(row)?, maker))
            })
            .collect()
    }
}

async fn put(
    tx: &mut SqliteConnection,
    client: &ClientId,
    token: &RegistrationToken,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO registration_tokens (client, digest, expires) VALUES (?, ?, ?)")
        .bind(client.as_str())
        .bind(token.digest.as_slice())
        .bind(token.expires.map(Timestamp::as_millis))
        .execute(tx)
        .await?;
    Ok(())
}

async fn end_grants(
    tx: &mut SqliteConnection,
    id: &ClientId,
    now: Timestamp,
) -> Result<Vec<GrantId>, StoreError> {
    sqlx::query("DELETE FROM consents WHERE client = ?")
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
    let ended =
        sqlx::query("UPDATE grants SET revoked = ? WHERE client = ? AND revoked IS NULL RETURNING id")
            .bind(now.as_millis())
            .bind(id.as_str())
            .fetch_all(&mut *tx)
            .await?;
    ended.iter().map(|row| row.text("id").map(GrantId::new)).collect()
}
