//! Servers that were added by command. What describes one may hold credentials, so it comes here sealed.

use sallyport_core::ServerName;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// A server as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredServer {
    /// Its name.
    pub name: ServerName,
    /// What it is, sealed.
    pub sealed: Vec<u8>,
}

impl Store {
    /// Keeps a server in place of one of the same name.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_server(&self, name: &ServerName, sealed: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO servers (name, sealed) VALUES (?, ?) \
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(name.as_str())
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// All servers, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn servers(&self) -> Result<Vec<StoredServer>, StoreError> {
        let rows = sqlx::query("SELECT name, sealed FROM servers ORDER BY name")
            .fetch_all(self.reader())
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let name =
                ServerName::parse(&row.text("name")?).map_err(|_| StoreError::Corrupt { what: "name" })?;
            Ok(StoredServer {
                name,
                sealed: row.bytes("sealed")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Removes a server; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn remove_server(&self, name: &ServerName) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM servers WHERE name = ?").bind(name.as_str());
        let done = done.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
