//! Which legacy sessions may be used.

use std::time::Duration;

use sallyport_core::PrincipalKey;
use sallyport_core::audit::Pending;
use sallyport_core::session::{KeepSessions, KnownSession, KnownSessions, SessionChanges, SessionsNotKept};

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// How long a session that was ended is remembered at least: longer than any write takes that had begun before.
const ENDED: Duration = Duration::from_secs(600);

impl Store {
    /// What is known of the sessions that were opened before.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn known_sessions(&self) -> Result<KnownSessions, StoreError> {
        let mark = sqlx::query("SELECT complete_to FROM sessions_known")
            .fetch_optional(self.reader())
            .await?;
        let rows = sqlx::query("SELECT owner, nonce, created, used, ended FROM sessions")
            .fetch_all(self.reader())
            .await?;
        let mut known = KnownSessions {
            complete_to: mark.map(|row| row.time("complete_to")).transpose()?,
            ..KnownSessions::default()
        };
        for row in &rows {
            let corrupt = |what| StoreError::Corrupt { what };
            let nonce = row.bytes("nonce")?.try_into().map_err(|_| corrupt("nonce"))?;
            if row.maybe_time("ended")?.is_some() {
                known.ended.push(nonce);
                continue;
            }
            known.live.push(KnownSession {
                owner: PrincipalKey::parse(&row.text("owner")?).ok_or(corrupt("owner"))?,
                nonce,
                created: row.time("created")?,
                used: row.time("used")?,
            });
        }
        Ok(known)
    }

    async fn end_session(&self, session: KnownSession) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO sessions (owner, nonce, created, used, ended) VALUES (?1, ?2, ?3, ?4, ?4) \
             ON CONFLICT DO UPDATE SET ended = ?4",
        )
        .bind(session.owner.as_str())
        .bind(session.nonce.as_slice())
        .bind(session.created.as_millis())
        .bind(session.used.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    async fn keep_sessions(&self, changes: SessionChanges) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for session in &changes.used {
            sqlx::query(
                "INSERT INTO sessions (owner, nonce, created, used) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET used = ?4",
            )
            .bind(session.owner.as_str())
            .bind(session.nonce.as_slice())
            .bind(session.created.as_millis())
            .bind(session.used.as_millis())
            .execute(&mut *tx)
            .await?;
        }
        for (owner, nonce) in &changes.gone {
            sqlx::query("DELETE FROM sessions WHERE owner = ? AND nonce = ? AND ended IS NULL")
                .bind(owner.as_str())
                .bind(nonce.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        // What was opened up to here and has no row is no session any more: that it was ended need not be kept.
        sqlx::query("DELETE FROM sessions WHERE ended <= ?1 AND created <= ?1")
            .bind(changes.complete_to.minus(ENDED).as_millis())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO sessions_known (one, complete_to) VALUES (1, ?1) \
             ON CONFLICT DO UPDATE SET complete_to = max(complete_to, ?1)",
        )
        .bind(changes.complete_to.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}

impl KeepSessions for Store {
    fn end(&self, session: KnownSession) -> Pending<'_, Result<(), SessionsNotKept>> {
        Box::pin(async move { self.end_session(session).await.map_err(told) })
    }

    fn keep(&self, changes: SessionChanges) -> Pending<'_, Result<(), SessionsNotKept>> {
        Box::pin(async move { self.keep_sessions(changes).await.map_err(told) })
    }
}

fn told(error: StoreError) -> SessionsNotKept {
    tracing::warn!("sessions cannot be kept: {error}");
    SessionsNotKept
}
