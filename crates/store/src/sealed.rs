//! Everything that is sealed, wherever it is: by which master keys, and how it comes under another one.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::columns::Columns as _;
use crate::place;
use crate::{Store, StoreError};

/// The id of a master key.
pub type KeyId = [u8; 8];

/// Where sealed values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sealed {
    /// The root of the keyed hashes.
    Root,
    /// What is left of master keys that were given up.
    FormerKeys,
    /// The private keys that sign access tokens.
    SigningKeys,
    /// Servers that were added by command.
    Servers,
    /// Our secrets at authorization servers.
    ServerClients,
    /// Tokens of accounts at servers.
    Accounts,
}

/// A sealed value in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedRecord {
    /// Its row, within its table.
    pub row: String,
    /// What it is bound to.
    pub place: String,
    /// The value.
    pub sealed: Vec<u8>,
}

/// A value that takes the place of another, if that is still the same.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// What was read.
    pub before: SealedRecord,
    /// The same under another master key.
    pub sealed: Vec<u8>,
}

impl Sealed {
    /// All places.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::FormerKeys,
        Self::SigningKeys,
        Self::Servers,
        Self::ServerClients,
        Self::Accounts,
    ];

    /// The table; what tells its rows apart; what its values are bound to.
    const fn columns(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Root => ("vault_root", "'1'", "'1'"),
            Self::FormerKeys => ("vault_keys", "hex(id)", "hex(id)"),
            Self::SigningKeys => ("signing_keys", "kid", "kid"),
            Self::Servers => ("servers", "name", "name"),
            // URLs hold no space.
            Self::ServerClients => (
                "server_clients",
                "issuer || ' ' || redirect_uri",
                "issuer || ' ' || id",
            ),
            Self::Accounts => ("accounts", "id", "id"),
        }
    }
}

impl Store {
    /// The next sealed values that are not under `key`, in the order of their rows, from after `row` on.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn sealed_otherwise(
        &self,
        place: Sealed,
        key: KeyId,
        row: &str,
        limit: u32,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        let (table, row_is, bound) = place.columns();
        let sql = format!(
            "SELECT {row_is} AS row, {bound} AS bound, sealed FROM {table} \
             WHERE {row_is} > ? AND sealed IS NOT NULL AND substr(sealed, 2, 8) <> ? ORDER BY {row_is} LIMIT ?"
        );
        // Names of tables and columns only.
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(row)
            .bind(key.as_slice())
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(SealedRecord {
                row: row.text("row")?,
                place: place::of(table, &row.text("bound")?),
                sealed: row.bytes("sealed")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts values in the place of those that they were made from, in one transaction. What somebody else has changed or
    /// removed meanwhile stays as it is; says how many were put.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or a value is under a key that may not seal; then nothing was put.
    pub async fn reseal(&self, place: Sealed, values: &[Resealed]) -> Result<u64, StoreError> {
        let (table, row_is, _) = place.columns();
        let sql = format!("UPDATE {table} SET sealed = ? WHERE {row_is} = ? AND sealed = ?");
        let mut put = 0;
        let mut tx = self.begin().await?;
        for value in values {
            let done = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(value.sealed.as_slice())
                .bind(&value.before.row)
                .bind(value.before.sealed.as_slice())
                .execute(&mut *tx)
                .await?;
            put += done.rows_affected();
        }
        tx.commit().await?;
        Ok(put)
    }

    /// How many values are sealed under each key, by the key's id.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn sealed_by(&self) -> Result<Vec<(Vec<u8>, u64)>, StoreError> {
        let parts = Sealed::ALL.map(|place| {
            let (table, ..) = place.columns();
            format!("SELECT substr(sealed, 2, 8) AS key FROM {table} WHERE sealed IS NOT NULL")
        });
        let all = parts.join(" UNION ALL ");
        let sql = format!("SELECT key, count(*) AS number FROM ({all}) GROUP BY key ORDER BY key");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| Ok((row.bytes("key")?, row.number("number")?)))
            .collect()
    }
}

/// How many values are sealed under a key, as of this transaction.
pub(crate) async fn count(tx: &mut SqliteConnection, key: KeyId) -> Result<u64, StoreError> {
    let mut found = 0;
    for place in Sealed::ALL {
        let (table, ..) = place.columns();
        let sql = format!("SELECT count(*) AS number FROM {table} WHERE substr(sealed, 2, 8) = ?");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(key.as_slice());
        found += row.fetch_one(&mut *tx).await?.number("number")?;
    }
    Ok(found)
}
