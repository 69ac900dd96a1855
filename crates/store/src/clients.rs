//! Registered clients (RFC 7591).

use sallyport_core::{ClientId, Timestamp};
use sallyport_oauth::model::{AuthMethod, Client};
use sallyport_oauth::redirect;
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::columns::Columns as _;
use crate::{Maker, Store, StoreError};

/// When clients that have registered themselves are forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Reaping {
    /// The time.
    pub now: Timestamp,
    /// Registered before this and never used: of no use.
    pub unused: Timestamp,
    /// Registered before this, never used, and another registration that is alike is newer: of no use.
    pub alike: Timestamp,
    /// Last used before this and without a living grant: of no use. `None` keeps them for ever.
    pub idle: Option<Timestamp>,
}

impl Store {
    /// Keeps a new client that has registered itself and cannot manage its registration.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the id exists.
    pub async fn insert_client(&self, client: &Client) -> Result<(), StoreError> {
        self.register_client(client, Maker::Client, None).await
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

    /// Removes clients that have registered themselves and are of no use any more; says how many. Those that never got a
    /// token or a grant go when they were registered before `limits.unused`; of several that are alike all but the newest
    /// go when they were registered before `limits.alike`; and those that have been used go when that was before
    /// `limits.idle` and none of their grants is alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn reap_clients(&self, limits: Reaping) -> Result<u64, StoreError> {
        const UNUSED: &str = "maker = 'self' AND last_used IS NULL \
             AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.client = clients.id)";
        let mut tx = self.begin().await?;
        let unused = format!("DELETE FROM clients WHERE registered < ? AND {UNUSED}");
        let unused = sqlx::query(AssertSqlSafe(unused)).bind(limits.unused.as_millis());
        let mut gone = unused.execute(&mut *tx).await?.rows_affected();
        let alike = format!(
            "DELETE FROM clients WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER \
             (PARTITION BY coalesce(likeness, metadata) ORDER BY registered DESC, id) AS place FROM clients \
             WHERE registered < ? AND {UNUSED}) WHERE place > 1)"
        );
        let alike = sqlx::query(AssertSqlSafe(alike)).bind(limits.alike.as_millis());
        gone += alike.execute(&mut *tx).await?.rows_affected();
        if let Some(idle) = limits.idle {
            let idle = sqlx::query(
                "DELETE FROM clients WHERE maker = 'self' AND last_used < ?1 AND NOT EXISTS \
                 (SELECT 1 FROM grants WHERE grants.client = clients.id AND grants.revoked IS NULL \
                 AND grants.expires > ?2)",
            )
            .bind(idle.as_millis())
            .bind(limits.now.as_millis());
            gone += idle.execute(&mut *tx).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(gone)
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

/// The columns that hold JSON.
pub(crate) fn written(client: &Client) -> Result<(String, String), StoreError> {
    let unwritable = |_| StoreError::Corrupt {
        what: "client metadata",
    };
    let redirect_uris = serde_json::to_string(&client.redirect_uris).map_err(unwritable)?;
    let metadata = serde_json::to_string(&client.metadata).map_err(unwritable)?;
    Ok((redirect_uris, metadata))
}

/// What registrations are compared by: their metadata, loopback redirect URIs without their ports, which programs choose
/// anew each time (RFC 8252 §7.3).
pub(crate) fn likeness(client: &Client) -> String {
    let mut metadata = client.metadata.clone();
    if let Some(Value::Array(uris)) = metadata.get_mut("redirect_uris") {
        for uri in uris {
            if let Value::String(text) = uri {
                *text = redirect::without_port(text);
            }
        }
    }
    let redirects = client.redirect_uris.iter().map(|uri| redirect::without_port(uri));
    metadata.insert("redirects".to_owned(), redirects.collect::<Vec<_>>().into());
    Value::Object(metadata).to_string()
}

pub(crate) async fn insert(
    tx: &mut SqliteConnection,
    client: &Client,
    maker: Maker,
) -> Result<(), StoreError> {
    let (redirect_uris, metadata) = written(client)?;
    sqlx::query(
        "INSERT INTO clients \
         (id, auth_method, secret, redirect_uris, scopes, metadata, likeness, registered, last_used, maker) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(client.id.as_str())
    .bind(method_text(client.auth_method))
    .bind(client.secret.as_ref().map(<[u8; 32]>::as_slice))
    .bind(redirect_uris)
    .bind(client.scopes.to_string())
    .bind(metadata)
    .bind(likeness(client))
    .bind(client.registered.as_millis())
    .bind(client.last_used.map(Timestamp::as_millis))
    .bind(match maker {
        Maker::Client => "self",
        Maker::Operator => "operator",
    })
    .execute(tx)
    .await?;
    Ok(())
}

/// The names of RFC 7591 §2.
pub(crate) fn method_text(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "none",
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::PrivateKeyJwt => "private_key_jwt",
    }
}

pub(crate) fn read(row: &SqliteRow) -> Result<Client, StoreError> {
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
