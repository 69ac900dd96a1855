//! Registered clients (RFC 7591).

use sallyport_core::{ClientId, Timestamp};
use sallyport_oauth::model::{AuthMethod, Client};
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

impl Store {
    /// Keeps a new client.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the id exists.
    pub async fn insert_client(&self, client: &Client) -> Result<(), StoreError> {
        let unwritable = |_| StoreError::Corrupt {
            what: "client metadata",
        };
        let redirect_uris = serde_json::to_string(&client.redirect_uris).map_err(unwritable)?;
        let metadata = serde_json::to_string(&client.metadata).map_err(unwritable)?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO clients (id, auth_method, secret, redirect_uris, scopes, metadata, registered, last_used) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(client.id.as_str())
        .bind(method_text(client.auth_method))
        .bind(client.secret.as_ref().map(<[u8; 32]>::as_slice))
        .bind(redirect_uris)
        .bind(client.scopes.to_string())
        .bind(metadata)
        .bind(client.registered.as_millis())
        .bind(client.last_used.map(Timestamp::as_millis))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The client with that id.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let row = sqlx::query("SELECT * FROM clients WHERE id = ?").bind(id.as_str());
        row.fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Remembers that a token was issued to the client, to the minute: a refresh a minute costs no further write.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn touch_client(&self, id: &ClientId, now: Timestamp) -> Result<(), StoreError> {
        const MINUTE: i64 = 60_000;
        let known = self.client(id).await?.and_then(|client| client.last_used);
        if known.is_some_and(|last| now.as_millis().saturating_sub(last.as_millis()) < MINUTE) {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE clients SET last_used = ? WHERE id = ?")
            .bind(now.as_millis())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Removes clients that were registered before `registered_before` and never got a token or a grant; says how many.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn reap_clients(&self, registered_before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "DELETE FROM clients WHERE last_used IS NULL AND registered < ? \
             AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client = clients.id)",
        )
        .bind(registered_before.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// How many clients are registered.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn count_clients(&self) -> Result<u64, StoreError> {
        sqlx::query("SELECT count(*) AS n FROM clients")
            .fetch_one(self.reader())
            .await?
            .number("n")
    }
}

/// The names of RFC 7591 §2.
fn method_text(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "none",
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::PrivateKeyJwt => "private_key_jwt",
    }
}

fn read(row: &SqliteRow) -> Result<Client, StoreError> {
    let auth_method = match row.text("auth_method")?.as_str() {
        "none" => AuthMethod::None,
        "client_secret_basic" => AuthMethod::ClientSecretBasic,
        "client_secret_post" => AuthMethod::ClientSecretPost,
        "private_key_jwt" => AuthMethod::PrivateKeyJwt,
        _ => return Err(StoreError::Corrupt { what: "auth_method" }),
    };
    Ok(Client {
        id: ClientId::new(row.text("id")?),
        auth_method,
        secret: row.maybe_digest("secret")?,
        redirect_uris: row.json("redirect_uris")?,
        scopes: row.scopes("scopes")?,
        metadata: row.json("metadata")?,
        registered: row.time("registered")?,
        last_used: row.maybe_time("last_used")?,
    })
}
