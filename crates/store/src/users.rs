//! Local users.

use sallyport_core::{GrantId, Secret, Timestamp, UserId};
use sallyport_oauth::model::User;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use thiserror::Error;

use crate::columns::Columns as _;
use crate::grants::revoke_all;
use crate::{Store, StoreError};

/// Why a user was not created.
#[derive(Debug, Error)]
pub enum CreateUserError {
    /// Somebody has that name, in whatever case.
    #[error("the name is taken")]
    NameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user that was removed, and the grants that were revoked by it.
#[derive(Clone)]
pub struct RemovedUser {
    /// The person.
    pub user: User,
    /// The grants that were alive; their access tokens have to be refused from now on.
    pub grants: Vec<GrantId>,
}

/// What became of a new password.
#[derive(Clone)]
pub enum PasswordSet {
    /// It counts from now on.
    Done {
        /// The person, as before.
        user: User,
        /// The grants that were alive; their access tokens have to be refused from now on.
        grants: Vec<GrantId>,
    },
    /// There is nobody of that name.
    NoUser,
    /// The person logs in at an identity provider.
    OfProvider,
}

impl Store {
    /// Creates a user.
    ///
    /// # Errors
    /// [`CreateUserError::NameTaken`] if the name is taken, without regard to case.
    pub async fn create_user(&self, user: &User) -> Result<(), CreateUserError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, user).await?;
        Ok(tx.commit().await?)
    }

    /// The user of that name, without regard to case.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT * FROM users WHERE name_key = ?").bind(key(name));
        row.fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The user with that id.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let row = sqlx::query("SELECT * FROM users WHERE id = ?").bind(id.as_str());
        row.fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// All users, by name.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY name_key")
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Removes a user together with the browser sessions and consents, and revokes the grants, all at once (RF-08).
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was removed.
    pub async fn remove_user(&self, name: &str, now: Timestamp) -> Result<Option<RemovedUser>, StoreError> {
        let mut tx = self.begin().await?;
        // Sessions and consents go by reference.
        let removed = sqlx::query("DELETE FROM users WHERE name_key = ? RETURNING *").bind(key(name));
        let Some(row) = removed.fetch_optional(&mut *tx).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let user = read(&row)?;
        let grants = revoke_all(&mut tx, &user.id, now).await?;
        tx.commit().await?;
        Ok(Some(RemovedUser { user, grants }))
    }

    /// Gives the local user of that name another password, ends the browser sessions and revokes the grants, all at once
    /// (RF-08): whoever knew the former one is out.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was changed.
    pub async fn set_password(
        &self,
        name: &str,
        password: &Secret<String>,
        now: Timestamp,
    ) -> Result<PasswordSet, StoreError> {
        let mut tx = self.begin().await?;
        let found = sqlx::query("SELECT * FROM users WHERE name_key = ?").bind(key(name));
        let Some(row) = found.fetch_optional(&mut *tx).await? else {
            tx.rollback().await?;
            return Ok(PasswordSet::NoUser);
        };
        let user = read(&row)?;
        let done = sqlx::query(
            "UPDATE users SET password = ?2 WHERE id = ?1 \
             AND NOT EXISTS (SELECT 1 FROM identities WHERE identities.user = users.id)",
        )
        .bind(user.id.as_str())
        .bind(password.expose())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(PasswordSet::OfProvider);
        }
        sqlx::query("DELETE FROM browser_sessions WHERE user = ?")
            .bind(user.id.as_str())
            .execute(&mut *tx)
            .await?;
        let grants = revoke_all(&mut tx, &user.id, now).await?;
        tx.commit().await?;
        Ok(PasswordSet::Done { user, grants })
    }
}

/// Names are compared without regard to case, as people type them.
fn key(name: &str) -> String {
    name.to_lowercase()
}

pub(crate) async fn insert(tx: &mut SqliteConnection, user: &User) -> Result<(), CreateUserError> {
    let done = sqlx::query(
        "INSERT INTO users (id, name, name_key, admin, password, created) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (name_key) DO NOTHING",
    )
    .bind(user.id.as_str())
    .bind(&user.name)
    .bind(key(&user.name))
    .bind(i64::from(user.admin))
    .bind(user.password.expose())
    .bind(user.created.as_millis())
    .execute(tx)
    .await
    .map_err(StoreError::from)?;
    if done.rows_affected() == 0 {
        return Err(CreateUserError::NameTaken);
    }
    Ok(())
}

pub(crate) fn read(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        id: UserId::new(row.text("id")?),
        name: row.text("name")?,
        admin: row.flag("admin")?,
        password: Secret::new(row.text("password")?),
        created: row.time("created")?,
    })
}
