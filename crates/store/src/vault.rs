//! What the vault keeps here: the root of its hashes, which master keys may seal, and what is left of former ones.

use std::time::Duration;

use sallyport_core::Timestamp;
use sqlx::SqliteConnection;

use crate::columns::Columns as _;
use crate::sealed::{self, KeyId};
use crate::{Store, StoreError};

/// What is left of a master key that was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFormerKey {
    /// Its id.
    pub id: KeyId,
    /// What opens the states that clients carry, sealed.
    pub sealed: Vec<u8>,
    /// When the last of them has ended.
    pub until: Timestamp,
}

/// What a store without a root tells of where its hashes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It is new.
    New,
    /// There is something in it, but nothing sealed.
    Used,
    /// It was sealed under this key.
    Sealed(KeyId),
}

impl Store {
    /// The root of the keyed hashes, sealed; `None` in a store that was never opened with a vault that keeps one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn vault_root(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT sealed FROM vault_root")
            .fetch_optional(self.reader())
            .await?;
        row.map(|row| row.bytes("sealed")).transpose()
    }

    /// Keeps the root, if there is none: of two processes that start together one makes it, and both read it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_vault_root(&self, sealed: &[u8]) -> Result<(), StoreError> {
        let query = sqlx::query("INSERT OR IGNORE INTO vault_root (one, sealed) VALUES (1, ?)").bind(sealed);
        self.write_at_once(query).await.map(drop)
    }

    /// Where the hashes of a store without a root come from.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn vault_origin(&self) -> Result<Origin, StoreError> {
        if let Some((key, _)) = self.sealed_by().await?.into_iter().next() {
            let key = key
                .try_into()
                .map_err(|_| StoreError::Corrupt { what: "sealed value" })?;
            return Ok(Origin::Sealed(key));
        }
        let used = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM audit) OR EXISTS (SELECT 1 FROM users) \
             OR EXISTS (SELECT 1 FROM clients) OR EXISTS (SELECT 1 FROM grants) AS used",
        );
        let used = used.fetch_one(self.reader()).await?.flag("used")?;
        Ok(if used { Origin::Used } else { Origin::New })
    }

    /// Lets a master key seal. `known` are the keys of whoever asks: the root has to be under one of them, or the store
    /// has gone on to keys that the asker does not know.
    ///
    /// # Errors
    /// [`StoreError::OtherKeys`] if it has; [`StoreError`] if the store failed.
    pub async fn admit_key(&self, key: KeyId, known: &[KeyId]) -> Result<(), StoreError> {
        if may_seal(self.reader().acquire().await?.as_mut(), key).await? {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let root = sqlx::query("SELECT substr(sealed, 2, 8) AS key FROM vault_root");
        if let Some(row) = root.fetch_optional(&mut *tx).await? {
            let under = row.bytes("key")?;
            if !known.iter().any(|known| known.as_slice() == under) {
                tx.rollback().await?;
                return Err(StoreError::OtherKeys);
            }
        }
        sqlx::query(
            "INSERT INTO vault_keys (id, seals) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET seals = 1, \
             sealed = NULL, until = NULL",
        )
        .bind(key.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Whether a master key may seal.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn key_may_seal(&self, key: KeyId) -> Result<bool, StoreError> {
        may_seal(self.reader().acquire().await?.as_mut(), key).await
    }

    /// Takes from a master key the leave to seal, if nothing is sealed under it; says how much still is. From then on
    /// nothing can be written that is sealed under it, by whatever process.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn drop_key(&self, key: KeyId) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let left = sealed::count(&mut tx, key).await?;
        if left > 0 {
            tx.rollback().await?;
            return Ok(left);
        }
        sqlx::query("UPDATE vault_keys SET seals = 0 WHERE id = ?")
            .bind(key.as_slice())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(0)
    }

    /// Keeps what is left of a master key that has sealed, for `life` from `now` on; what is kept already stays.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn keep_former_key(
        &self,
        key: KeyId,
        sealed: &[u8],
        (now, life): (Timestamp, Duration),
    ) -> Result<(), StoreError> {
        let query =
            sqlx::query("UPDATE vault_keys SET sealed = ?, until = ? WHERE id = ? AND sealed IS NULL")
                .bind(sealed)
                .bind(now.plus(life).as_millis())
                .bind(key.as_slice());
        self.write_at_once(query).await.map(drop)
    }

    /// What is left of former master keys, and has not ended at `now`.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn former_keys(&self, now: Timestamp) -> Result<Vec<StoredFormerKey>, StoreError> {
        let rows = sqlx::query("SELECT * FROM vault_keys WHERE sealed IS NOT NULL AND until > ? ORDER BY id")
            .bind(now.as_millis())
            .fetch_all(self.reader())
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let id = row.bytes("id")?.try_into();
            Ok(StoredFormerKey {
                id: id.map_err(|_| StoreError::Corrupt { what: "key id" })?,
                sealed: row.bytes("sealed")?,
                until: row.time("until")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

async fn may_seal(connection: &mut SqliteConnection, key: KeyId) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM vault_keys WHERE id = ? AND seals = 1").bind(key.as_slice());
    Ok(row.fetch_optional(connection).await?.is_some())
}
