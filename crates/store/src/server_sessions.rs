//! What servers call the sessions that they have for clients' sessions.

use sallyport_core::session::{ServerSession, SessionNonce};
use sallyport_core::{PrincipalKey, ServerName};
use sqlx::SqliteConnection;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// Keeps a session at a server for as long as its client's session, if that may be used.
pub(super) async fn keep(db: &mut SqliteConnection, session: &ServerSession) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO server_sessions (owner, nonce, server, sealed) SELECT owner, nonce, ?3, ?4 FROM sessions \
         WHERE owner = ?1 AND nonce = ?2 AND ended IS NULL ON CONFLICT DO UPDATE SET sealed = ?4",
    )
    .bind(session.owner.as_str())
    .bind(session.nonce.as_slice())
    .bind(session.server.as_str())
    .bind(&session.sealed)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets a session at a server, unless another one has taken its place.
pub(super) async fn forget(db: &mut SqliteConnection, session: &ServerSession) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM server_sessions WHERE owner = ? AND nonce = ? AND server = ? AND sealed = ?")
        .bind(session.owner.as_str())
        .bind(session.nonce.as_slice())
        .bind(session.server.as_str())
        .bind(&session.sealed)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets all sessions at servers of a client's session.
pub(super) async fn forget_all(
    db: &mut SqliteConnection,
    owner: &PrincipalKey,
    nonce: SessionNonce,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM server_sessions WHERE owner = ? AND nonce = ?")
        .bind(owner.as_str())
        .bind(nonce.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

impl Store {
    pub(super) async fn session_at_server(
        &self,
        owner: &PrincipalKey,
        nonce: SessionNonce,
        server: &ServerName,
    ) -> Result<Option<String>, StoreError> {
        sqlx::query("SELECT sealed FROM server_sessions WHERE owner = ? AND nonce = ? AND server = ?")
            .bind(owner.as_str())
            .bind(nonce.as_slice())
            .bind(server.as_str())
            .fetch_optional(self.reader())
            .await?
            .map(|row| row.text("sealed"))
            .transpose()
    }
}
