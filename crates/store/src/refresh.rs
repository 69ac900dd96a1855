//! Refresh tokens: a family is a line of tokens under one grant, each rotated at most once.

use sallyport_core::{GrantId, Thumbprint, Timestamp};
use sallyport_oauth::model::{Digest, RefreshState, RefreshToken};
use sqlx::SqliteConnection;

use crate::columns::Columns as _;
use crate::{Store, StoreError, grants};

/// What became of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// The successor is kept, and is the only one.
    Rotated,
    /// It was rotated before, at this time, and nothing was changed.
    AlreadyRotated(Timestamp),
    /// There is no such token, or its grant has been revoked.
    Gone,
}

impl Store {
    /// Keeps the first token of a family, after the code was redeemed.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the grant is gone.
    pub async fn begin_refresh_family(&self, first: &RefreshToken) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, first, (&first.grant, first.key.as_ref())).await?;
        tx.commit().await
    }

    /// All that the rules have to know about a token that was presented.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn refresh_state(&self, digest: &Digest) -> Result<Option<RefreshState>, StoreError> {
        let row = sqlx::query(
            "SELECT g.*, r.issued, r.expires AS token_expires, r.rotated, r.successor, r.key \
             FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.digest = ?",
        )
        .bind(digest.as_slice())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let grant = grants::read(&row)?;
        let token = RefreshToken {
            digest: *digest,
            grant: grant.id.clone(),
            key: row.maybe_key("key")?,
            issued: row.time("issued")?,
            expires: row.time("token_expires")?,
        };
        let rotated = row.maybe_time("rotated")?.zip(row.maybe_digest("successor")?);
        Ok(Some(RefreshState {
            token,
            rotated,
            grant,
        }))
    }

    /// Rotates a token by compare-and-set: of any number of callers one keeps its successor (RF-02). The successor joins
    /// the family of the old token, whatever its own `grant` says, and is bound to the same key.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was changed.
    pub async fn rotate_refresh(
        &self,
        old: &Digest,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> Result<Rotation, StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "SELECT r.grant_id, r.rotated, r.key FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id \
             WHERE r.digest = ? AND g.revoked IS NULL",
        )
        .bind(old.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            tx.rollback().await?;
            return Ok(Rotation::Gone);
        };
        if let Some(at) = row.maybe_time("rotated")? {
            tx.rollback().await?;
            return Ok(Rotation::AlreadyRotated(at));
        }
        let grant = GrantId::new(row.text("grant_id")?);
        let key = row.maybe_key("key")?;
        insert(&mut tx, successor, (&grant, key.as_ref())).await?;
        sqlx::query(
            "UPDATE refresh_tokens SET rotated = ?, successor = ? WHERE digest = ? AND rotated IS NULL",
        )
        .bind(now.as_millis())
        .bind(successor.digest.as_slice())
        .bind(old.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Rotation::Rotated)
    }
}

async fn insert(
    tx: &mut SqliteConnection,
    token: &RefreshToken,
    (grant, key): (&GrantId, Option<&Thumbprint>),
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO refresh_tokens (digest, grant_id, issued, expires, key) VALUES (?, ?, ?, ?, ?)")
        .bind(token.digest.as_slice())
        .bind(grant.as_str())
        .bind(token.issued.as_millis())
        .bind(token.expires.as_millis())
        .bind(key.map(Thumbprint::as_str))
        .execute(tx)
        .await?;
    Ok(())
}
