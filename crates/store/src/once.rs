//! What has to be remembered for a while so that it does not count again: revoked access tokens, and the statements with
//! which clients signed in; and whose the tokens are that were exchanged.

use sallyport_core::{ClientId, Timestamp, TokenId};
use sallyport_oauth::model::Digest;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

impl Store {
    /// Revokes one access token, which ends at `expires` by itself, and what was exchanged for it, and for that (RFC 8693).
    /// A second revocation changes nothing. All that is revoked now, each with its end.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was revoked.
    pub async fn revoke_token(
        &self,
        token: &TokenId,
        expires: Timestamp,
    ) -> Result<Vec<(TokenId, Timestamp)>, StoreError> {
        let mut tx = self.begin().await?;
        // UNION leaves out what is there already, so that it ends whatever the rows say.
        let rows = sqlx::query(
            "WITH RECURSIVE ended (jti, expires) AS (VALUES (?, ?) UNION SELECT e.jti, e.expires \
             FROM exchanged e JOIN ended ON e.origin = ended.jti) SELECT jti, expires FROM ended",
        )
        .bind(token.as_str())
        .bind(expires.as_millis())
        .fetch_all(&mut *tx)
        .await?;
        let mut ended = Vec::with_capacity(rows.len());
        for row in rows {
            let (token, expires) = (TokenId::new(row.text("jti")?), row.time("expires")?);
            sqlx::query("INSERT OR IGNORE INTO revoked_tokens (jti, expires) VALUES (?, ?)")
                .bind(token.as_str())
                .bind(expires.as_millis())
                .execute(&mut *tx)
                .await?;
            ended.push((token, expires));
        }
        tx.commit().await?;
        Ok(ended)
    }

    /// Remembers an access token that a client got in exchange for `origin`, until it ends at `expires`: when the client
    /// is deleted, or `origin` is revoked, it is revoked too.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then the token must not be given out.
    pub async fn keep_exchanged(
        &self,
        (token, client): (&TokenId, &ClientId),
        origin: &TokenId,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO exchanged (jti, client, origin, expires) VALUES (?, ?, ?, ?)")
            .bind(token.as_str())
            .bind(client.as_str())
            .bind(origin.as_str())
            .bind(expires.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// The access tokens that were revoked one by one and have not ended at `now`: what a verifier has to know at start
    /// and when another process has revoked (JW-17).
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoked_tokens(&self, now: Timestamp) -> Result<Vec<(TokenId, Timestamp)>, StoreError> {
        let rows =
            sqlx::query("SELECT jti, expires FROM revoked_tokens WHERE expires > ?").bind(now.as_millis());
        let rows = rows.fetch_all(self.reader()).await?;
        rows.iter()
            .map(|row| Ok((TokenId::new(row.text("jti")?), row.time("expires")?)))
            .collect()
    }

    /// Uses up a client's statement, by the hash of its `jti`; `false` if it was used before. Of any number of callers,
    /// in whatever process, one is told yes.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then it must not count.
    pub async fn use_assertion(
        &self,
        client: &ClientId,
        digest: &Digest,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("INSERT OR IGNORE INTO assertions (client, digest, expires) VALUES (?, ?, ?)")
            .bind(client.as_str())
            .bind(digest.as_slice())
            .bind(expires.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
