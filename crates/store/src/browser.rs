//! Browsers in which somebody has logged in.

use sallyport_core::{Timestamp, UserId};
use sallyport_oauth::model::{BrowserSession, Digest, User};

use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError, users};

impl Store {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, or the user is gone.
    pub async fn insert_browser_session(&self, session: &BrowserSession) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO browser_sessions (digest, user, created, seen, expires) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(session.digest.as_slice())
        .bind(session.user.as_str())
        .bind(session.created.as_millis())
        .bind(session.seen.as_millis())
        .bind(session.expires.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The session and its person. Whether it has ended is for the rules to say.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn browser_session(
        &self,
        digest: &Digest,
    ) -> Result<Option<(BrowserSession, User)>, StoreError> {
        let row = sqlx::query(
            "SELECT u.*, s.created AS began, s.seen, s.expires \
             FROM browser_sessions s JOIN users u ON u.id = s.user WHERE s.digest = ?",
        )
        .bind(digest.as_slice())
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let user = users::read(&row)?;
        let session = BrowserSession {
            digest: *digest,
            user: UserId::new(user.id.as_str()),
            created: row.time("began")?,
            seen: row.time("seen")?,
            expires: row.time("expires")?,
        };
        Ok(Some((session, user)))
    }

    /// The person's sessions, the one seen last first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn browser_sessions_of(&self, user: &UserId) -> Result<Vec<BrowserSession>, StoreError> {
        let rows = sqlx::query("SELECT * FROM browser_sessions WHERE user = ? ORDER BY seen DESC")
            .bind(user.as_str());
        let rows = rows.fetch_all(self.reader()).await?;
        let session = |row: &SqliteRow| {
            Ok(BrowserSession {
                digest: row.digest("digest")?,
                user: user.clone(),
                created: row.time("created")?,
                seen: row.time("seen")?,
                expires: row.time("expires")?,
            })
        };
        rows.iter().map(session).collect()
    }

    /// Ends every session of a person.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then none has ended.
    pub async fn delete_browser_sessions_of(&self, user: &UserId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM browser_sessions WHERE user = ?")
            .bind(user.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Remembers that the browser was seen; the caller does so once a minute at most.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn touch_browser_session(&self, digest: &Digest, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE browser_sessions SET seen = ? WHERE digest = ?")
            .bind(now.as_millis())
            .bind(digest.as_slice())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn delete_browser_session(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM browser_sessions WHERE digest = ?").bind(digest.as_slice());
        let done = done.execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}
