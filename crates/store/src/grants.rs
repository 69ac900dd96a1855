//! Grants and the authorization codes that open them.

use sallyport_core::{ClientId, GrantId, Thumbprint, Timestamp, UserId};
use sallyport_oauth::model::{AuthorizationCode, Digest, Grant, TakenCode};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

impl Store {
    /// Keeps a grant that no code opens: a token issued by command.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn insert_grant(&self, grant: &Grant) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, grant).await?;
        tx.commit().await
    }

    /// Keeps a grant and the code that opens it, at once.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then neither is kept.
    pub async fn insert_grant_with_code(
        &self,
        grant: &Grant,
        code: &AuthorizationCode,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, grant).await?;
        sqlx::query(
            "INSERT INTO codes (digest, grant_id, redirect_uri, challenge, expires, key) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(code.digest.as_slice())
        .bind(grant.id.as_str())
        .bind(&code.redirect_uri)
        .bind(&code.challenge)
        .bind(code.expires.as_millis())
        .bind(code.key.as_ref().map(Thumbprint::as_str))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Takes a code: the first caller gets it, every later one learns which grant to revoke (RFC 6749 §4.1.2). Whether it
    /// has ended, or the grant has, is for the rules to say.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then the code was not taken.
    pub async fn take_code(&self, digest: &Digest) -> Result<TakenCode, StoreError> {
        let mut tx = self.begin().await?;
        let taken =
            sqlx::query("UPDATE codes SET taken = 1 WHERE digest = ? AND taken = 0 RETURNING grant_id")
                .bind(digest.as_slice())
                .fetch_optional(&mut *tx)
                .await?;
        let row = sqlx::query(
            "SELECT g.*, c.redirect_uri, c.challenge, c.expires AS code_expires, c.key \
             FROM codes c JOIN grants g ON g.id = c.grant_id WHERE c.digest = ?",
        )
        .bind(digest.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            tx.rollback().await?;
            return Ok(TakenCode::Unknown);
        };
        let grant = read(&row)?;
        if taken.is_none() {
            tx.rollback().await?;
            return Ok(TakenCode::Replayed(grant.id));
        }
        let code = AuthorizationCode {
            digest: *digest,
            grant: grant.id.clone(),
            redirect_uri: row.text("redirect_uri")?,
            challenge: row.text("challenge")?,
            key: row.maybe_key("key")?,
            expires: row.time("code_expires")?,
        };
        tx.commit().await?;
        Ok(TakenCode::Fresh(code, grant))
    }

    /// The grant with that id.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let row = sqlx::query("SELECT * FROM grants WHERE id = ?").bind(id.as_str());
        row.fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The person's grants, newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn grants_of(&self, user: &UserId) -> Result<Vec<Grant>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM grants WHERE user = ? ORDER BY created DESC").bind(user.as_str());
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// Revokes a grant; says whether it was alive. A second revocation changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoke_grant(&self, id: &GrantId, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("UPDATE grants SET revoked = ? WHERE id = ? AND revoked IS NULL")
            .bind(now.as_millis())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Revokes every grant of a person, and forgets every consent; says which were alive.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then none was revoked.
    pub async fn revoke_grants_of(&self, user: &UserId, now: Timestamp) -> Result<Vec<GrantId>, StoreError> {
        let mut tx = self.begin().await?;
        let revoked = revoke_all(&mut tx, user, now).await?;
        sqlx::query("DELETE FROM consents WHERE user = ?")
            .bind(user.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(revoked)
    }

    /// The grants that were revoked at `since` or later: what a verifier has to know at start and when another process
    /// has revoked (JW-17).
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn revoked_since(&self, since: Timestamp) -> Result<Vec<(GrantId, Timestamp)>, StoreError> {
        let rows = sqlx::query("SELECT id, revoked FROM grants WHERE revoked IS NOT NULL AND revoked >= ?")
            .bind(since.as_millis())
            .fetch_all(self.reader())
            .await?;
        rows.iter()
            .map(|row| Ok((GrantId::new(row.text("id")?), row.time("revoked")?)))
            .collect()
    }
}

pub(crate) async fn insert(tx: &mut SqliteConnection, grant: &Grant) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO grants (id, user, client, resource, scopes, created, expires, revoked) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(grant.id.as_str())
    .bind(grant.user.as_str())
    .bind(grant.client.as_str())
    .bind(grant.resource.as_str())
    .bind(grant.scopes.to_string())
    .bind(grant.created.as_millis())
    .bind(grant.expires.as_millis())
    .bind(grant.revoked.map(Timestamp::as_millis))
    .execute(tx)
    .await?;
    Ok(())
}

pub(crate) fn read(row: &SqliteRow) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: GrantId::new(row.text("id")?),
        user: UserId::new(row.text("user")?),
        client: ClientId::new(row.text("client")?),
        resource: row.resource("resource")?,
        scopes: row.scopes("scopes")?,
        created: row.time("created")?,
        expires: row.time("expires")?,
        revoked: row.maybe_time("revoked")?,
    })
}

/// Revokes what is granted in a person's name, and says what of it was alive.
pub(crate) async fn revoke_all(
    tx: &mut SqliteConnection,
    user: &UserId,
    now: Timestamp,
) -> Result<Vec<GrantId>, StoreError> {
    let revoked =
        sqlx::query("UPDATE grants SET revoked = ? WHERE user = ? AND revoked IS NULL RETURNING id")
            .bind(now.as_millis())
            .bind(user.as_str())
            .fetch_all(tx)
            .await?;
    let grants = revoked.iter().map(|row| Ok(GrantId::new(row.text("id")?)));
    grants.collect()
}
