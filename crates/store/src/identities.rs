//! People of identity providers, and their log-ins that are on the way.

use sallyport_core::{Timestamp, UserId};
use sallyport_oauth::model::{Digest, User};
use sallyport_oauth::provider::Identity;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{CreateUserError, Store, StoreError, users};

/// The most log-ins that are on their way at once; then the oldest are given up.
const ON_THEIR_WAY: u32 = 10_000;

/// A log-in that has gone out to a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The hash of its `state`.
    pub state: Digest,
    /// The hash of the secret of the browser that began it.
    pub browser: Digest,
    /// The provider's name.
    pub provider: String,
    /// Where the person goes afterwards: a path of ours.
    pub next: String,
    /// When it no longer counts.
    pub expires: Timestamp,
}

impl Store {
    /// The person with that identity, as known here.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn user_of(&self, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
        let row = sqlx::query(
            "SELECT u.* FROM users u JOIN identities i ON i.user = u.id WHERE i.issuer = ? AND i.subject = ?",
        )
        .bind(issuer)
        .bind(subject);
        let row = row.fetch_optional(self.reader()).await?;
        row.as_ref().map(users::read).transpose()
    }

    /// Everybody who has come through a provider.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn identities(&self) -> Result<Vec<(UserId, Identity)>, StoreError> {
        let rows = sqlx::query("SELECT * FROM identities");
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// Keeps a new person and who that is at the provider, at once.
    ///
    /// # Errors
    /// [`CreateUserError::NameTaken`] if somebody has the name, or the identity has a person meanwhile.
    pub async fn create_user_of(
        &self,
        user: &User,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), CreateUserError> {
        let mut tx = self.begin().await?;
        let known = sqlx::query("SELECT 1 FROM identities WHERE issuer = ? AND subject = ?")
            .bind(&identity.issuer)
            .bind(&identity.subject);
        let known = known.fetch_optional(&mut *tx).await.map_err(StoreError::from)?;
        if known.is_some() {
            tx.rollback().await?;
            return Err(CreateUserError::NameTaken);
        }
        users::insert(&mut tx, user).await?;
        put(&mut tx, &user.id, identity, now).await?;
        Ok(tx.commit().await?)
    }

    /// Renews what the provider says about a person, and whether the person is an administrator.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn renew_identity(
        &self,
        user: &User,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE users SET admin = ?1 WHERE id = ?2 AND admin != ?1")
            .bind(i64::from(user.admin))
            .bind(user.id.as_str())
            .execute(&mut *tx)
            .await?;
        put(&mut tx, &user.id, identity, now).await?;
        tx.commit().await
    }

    /// Keeps a log-in that goes out to a provider.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn depart(&self, departure: &Departure) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "DELETE FROM departures WHERE state IN (SELECT state FROM departures ORDER BY expires \
             LIMIT max(0, (SELECT count(*) FROM departures) + 1 - ?))",
        )
        .bind(ON_THEIR_WAY)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO departures (state, browser, provider, next, expires) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(departure.state.as_slice())
        .bind(departure.browser.as_slice())
        .bind(&departure.provider)
        .bind(&departure.next)
        .bind(departure.expires.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Takes the log-in that comes back, if this browser began it at this provider: of any number of callers one gets it.
    /// Whoever else has learned the `state` uses nothing up. Whether it still counts is for the rules to say.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn arrive(
        &self,
        state: &Digest,
        browser: &Digest,
        provider: &str,
    ) -> Result<Option<Departure>, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sqlx::query(
            "DELETE FROM departures WHERE state = ? AND browser = ? AND provider = ? RETURNING *",
        )
        .bind(state.as_slice())
        .bind(browser.as_slice())
        .bind(provider)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = taken else {
            tx.rollback().await?;
            return Ok(None);
        };
        let departure = Departure {
            state: row.digest("state")?,
            browser: row.digest("browser")?,
            provider: row.text("provider")?,
            next: row.text("next")?,
            expires: row.time("expires")?,
        };
        tx.commit().await?;
        Ok(Some(departure))
    }
}

async fn put(
    tx: &mut SqliteConnection,
    user: &UserId,
    identity: &Identity,
    now: Timestamp,
) -> Result<(), StoreError> {
    let groups = serde_json::Value::from(identity.groups.clone()).to_string();
    sqlx::query(
        "INSERT INTO identities (user, provider, issuer, subject, label, groups, seen) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (user) DO UPDATE SET provider = excluded.provider, label = excluded.label, \
         groups = excluded.groups, seen = excluded.seen",
    )
    .bind(user.as_str())
    .bind(&identity.provider)
    .bind(&identity.issuer)
    .bind(&identity.subject)
    .bind(&identity.label)
    .bind(groups)
    .bind(now.as_millis())
    .execute(tx)
    .await?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<(UserId, Identity), StoreError> {
    let identity = Identity {
        provider: row.text("provider")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        label: row.maybe_text("label")?,
        groups: row.json("groups")?,
    };
    Ok((UserId::new(row.text("user")?), identity))
}
