//! Pushed authorization requests (RFC 9126).

use sallyport_core::{ClientId, Timestamp};
use sallyport_oauth::model::{Digest, PushedRequest};

use crate::columns::Columns as _;
use crate::{Store, StoreError};

impl Store {
    /// Keeps a pushed request, unless `most` of them wait at `request.pushed` already: then nothing is kept, and it is `false`.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the name exists.
    pub async fn push_request(
        &self,
        digest: &Digest,
        request: &PushedRequest,
        most: u64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let waiting = sqlx::query("SELECT count(*) AS n FROM pushed_requests WHERE expires > ?")
            .bind(request.pushed.as_millis())
            .fetch_one(&mut *tx)
            .await?;
        if waiting.number("n")? >= most {
            tx.rollback().await?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO pushed_requests (digest, client, params, pushed, expires) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(digest.as_slice())
        .bind(request.client.as_str())
        .bind(&request.params)
        .bind(request.pushed.as_millis())
        .bind(request.expires.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The pushed request under this name, whatever became of it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn pushed_request(&self, digest: &Digest) -> Result<Option<PushedRequest>, StoreError> {
        let row = sqlx::query("SELECT * FROM pushed_requests WHERE digest = ?").bind(digest.as_slice());
        let row = row.fetch_optional(self.reader()).await?;
        row.map(|row| {
            Ok(PushedRequest {
                client: ClientId::new(row.text("client")?),
                params: row.text("params")?,
                pushed: row.time("pushed")?,
                expires: row.time("expires")?,
                opened: row.flag("opened")?,
                answered: row.flag("answered")?,
            })
        })
        .transpose()
    }

    /// Remembers that a browser has come with the request, which from now on ends at `expires`. Only the first time
    /// counts.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn open_pushed(&self, digest: &Digest, expires: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE pushed_requests SET opened = 1, expires = ? WHERE digest = ? AND opened = 0")
            .bind(expires.as_millis())
            .bind(digest.as_slice())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Uses the request up; `false` if it was answered before, or is over. Of any number of callers, in whatever process,
    /// one is told yes.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then the request must not be answered.
    pub async fn answer_pushed(&self, digest: &Digest, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE pushed_requests SET answered = 1 WHERE digest = ? AND answered = 0 AND expires > ?",
        )
        .bind(digest.as_slice())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
