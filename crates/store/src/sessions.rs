//! Which legacy sessions may be used.

use std::time::Duration;

use sallyport_core::audit::Pending;
use sallyport_core::session::{
    Fate, KeepSessions, KnownSession, SessionChanges, SessionNonce, SessionsUnavailable,
};
use sallyport_core::{PrincipalKey, ServerName, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError, server_sessions};

/// How long a session that was ended is remembered: until no process can have it in memory, or write of it, any more.
const ENDED: Duration = Duration::from_secs(600);

type Id = (PrincipalKey, SessionNonce);

impl Store {
    async fn end_session(&self, session: KnownSession) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO sessions (owner, nonce, created, used, ended) VALUES (?1, ?2, ?3, ?4, ?4) \
             ON CONFLICT DO UPDATE SET ended = ?4, wishes = NULL",
        )
        .bind(session.owner.as_str())
        .bind(session.nonce.as_slice())
        .bind(session.created.as_millis())
        .bind(session.used.as_millis())
        .execute(&mut *tx)
        .await?;
        server_sessions::forget_all(&mut tx, &session.owner, session.nonce).await?;
        tx.commit().await
    }

    async fn keep_sessions(&self, changes: SessionChanges) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for session in &changes.used {
            sqlx::query(
                "INSERT INTO sessions (owner, nonce, created, used, wishes) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET used = max(used, ?4), wishes = coalesce(?5, wishes)",
            )
            .bind(session.owner.as_str())
            .bind(session.nonce.as_slice())
            .bind(session.created.as_millis())
            .bind(session.used.as_millis())
            .bind(&session.wishes)
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
        for session in &changes.ended_at_servers {
            server_sessions::forget(&mut tx, session).await?;
        }
        for session in &changes.at_servers {
            server_sessions::keep(&mut tx, session).await?;
        }
        give_up(&mut tx, &changes).await?;
        tx.commit().await
    }

    async fn fate_of_session(&self, owner: &PrincipalKey, nonce: SessionNonce) -> Result<Fate, StoreError> {
        let row = sqlx::query("SELECT used, ended, wishes FROM sessions WHERE owner = ? AND nonce = ?")
            .bind(owner.as_str())
            .bind(nonce.as_slice())
            .fetch_optional(self.reader())
            .await?;
        Ok(match row {
            None => Fate::Unknown,
            Some(row) if row.maybe_time("ended")?.is_some() => Fate::Ended,
            Some(row) => Fate::Used {
                used: row.time("used")?,
                wishes: row.maybe_text("wishes")?,
            },
        })
    }

    async fn sessions_ended_since(&self, time: Timestamp) -> Result<Vec<Id>, StoreError> {
        let rows = sqlx::query("SELECT owner, nonce FROM sessions WHERE ended >= ?")
            .bind(time.as_millis())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(id).collect()
    }
}

/// Gives up what is beyond the number and the times.
async fn give_up(db: &mut SqliteConnection, changes: &SessionChanges) -> Result<(), StoreError> {
    let mut owners: Vec<_> = changes
        .used
        .iter()
        .map(|session| session.owner.as_str())
        .collect();
    owners.sort_unstable();
    owners.dedup();
    let most = i64::try_from(changes.per_principal).unwrap_or(i64::MAX);
    for owner in owners {
        sqlx::query(
            "DELETE FROM sessions WHERE owner = ?1 AND ended IS NULL AND nonce NOT IN (\
             SELECT nonce FROM sessions WHERE owner = ?1 AND ended IS NULL ORDER BY used DESC LIMIT ?2)",
        )
        .bind(owner)
        .bind(most)
        .execute(&mut *db)
        .await?;
    }
    sqlx::query("DELETE FROM sessions WHERE ended IS NULL AND used < ?")
        .bind(changes.now.minus(changes.idle).as_millis())
        .execute(&mut *db)
        .await?;
    sqlx::query("DELETE FROM sessions WHERE ended < ?")
        .bind(changes.now.minus(ENDED).as_millis())
        .execute(db)
        .await?;
    Ok(())
}

fn id(row: &SqliteRow) -> Result<Id, StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let owner = PrincipalKey::parse(&row.text("owner")?).ok_or(corrupt("owner"))?;
    let nonce = row.bytes("nonce")?.try_into().map_err(|_| corrupt("nonce"))?;
    Ok((owner, nonce))
}

impl KeepSessions for Store {
    fn end(&self, session: KnownSession) -> Pending<'_, Result<(), SessionsUnavailable>> {
        Box::pin(async move { self.end_session(session).await.map_err(told) })
    }

    fn keep(&self, changes: SessionChanges) -> Pending<'_, Result<(), SessionsUnavailable>> {
        Box::pin(async move { self.keep_sessions(changes).await.map_err(told) })
    }

    fn fate<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
    ) -> Pending<'a, Result<Fate, SessionsUnavailable>> {
        Box::pin(async move { self.fate_of_session(owner, nonce).await.map_err(told) })
    }

    fn at_server<'a>(
        &'a self,
        owner: &'a PrincipalKey,
        nonce: SessionNonce,
        server: &'a ServerName,
    ) -> Pending<'a, Result<Option<String>, SessionsUnavailable>> {
        Box::pin(async move {
            let found = self.session_at_server(owner, nonce, server).await;
            found.map_err(told)
        })
    }

    fn ended_since(&self, time: Timestamp) -> Pending<'_, Result<Vec<Id>, SessionsUnavailable>> {
        Box::pin(async move { self.sessions_ended_since(time).await.map_err(told) })
    }
}

/// Said quietly: whoever asks tries again soon, and says so once.
fn told(error: StoreError) -> SessionsUnavailable {
    tracing::debug!("the store of sessions: {error}");
    SessionsUnavailable
}
