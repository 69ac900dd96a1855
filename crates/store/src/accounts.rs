//! Accounts at servers, who we are at their authorization servers, and log-ins there that are on their way.

use sallyport_core::{ServerName, Timestamp, UserId};
use sallyport_oauth::model::Digest;
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// The most log-ins of one person that are on their way at once; then the oldest are given up.
const ON_THEIR_WAY: u32 = 50;

/// An account at a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAccount {
    /// Its id: what is sealed is bound to it.
    pub id: String,
    /// Where it is.
    pub server: ServerName,
    /// Whose it is; nobody's is the one that all share.
    pub owner: Option<UserId>,
    /// What its owner calls it.
    pub name: String,
    /// The authorization server that gave the tokens.
    pub issuer: String,
    /// What they are for.
    pub resource: String,
    /// Who we were there.
    pub client: String,
    /// What they allow.
    pub scopes: Vec<String>,
    /// What is asked for besides at the next log-in.
    pub missing: Vec<String>,
    /// Why the person has to log in again, if so.
    pub problem: Option<String>,
    /// Whether calls use it, of several.
    pub in_use: bool,
    /// When the access token is to be replaced.
    pub due: Timestamp,
    /// The tokens.
    pub sealed: Vec<u8>,
    /// Counts what was sealed.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// What became of tokens that were renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// The tokens.
    pub sealed: Vec<u8>,
    /// What they allow.
    pub scopes: Vec<String>,
    /// When they are to be replaced.
    pub due: Timestamp,
}

/// Who we are at an authorization server that has registered us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerClient {
    /// `client_id`.
    pub id: String,
    /// How we show who we are.
    pub method: String,
    /// The secret.
    pub sealed: Option<Vec<u8>>,
    /// When the secret ends.
    pub expires: Option<Timestamp>,
}

/// A log-in at a server's authorization server that is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountDeparture {
    /// The hash of its `state`.
    pub state: Digest,
    /// The hash of what the browser has that began it.
    pub browser: Digest,
    /// The person.
    pub user: UserId,
    /// What it is for, in JSON; nothing of it is secret.
    pub plan: String,
    /// When it no longer counts.
    pub expires: Timestamp,
}

impl Store {
    /// All accounts, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn accounts(&self) -> Result<Vec<StoredAccount>, StoreError> {
        let rows = sqlx::query("SELECT * FROM accounts ORDER BY created, id");
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// One account.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn account(&self, id: &str) -> Result<Option<StoredAccount>, StoreError> {
        let row = sqlx::query("SELECT * FROM accounts WHERE id = ?").bind(id);
        row.fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The accounts of an owner at a server, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn accounts_at(
        &self,
        server: &ServerName,
        owner: Option<&UserId>,
    ) -> Result<Vec<StoredAccount>, StoreError> {
        let rows = sqlx::query("SELECT * FROM accounts WHERE server = ? AND owner = ? ORDER BY created, id")
            .bind(server.as_str())
            .bind(owner.map_or("", UserId::as_str));
        rows.fetch_all(self.reader()).await?.iter().map(read).collect()
    }

    /// Keeps an account in place of one of the same id, and makes it the one that calls use.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed, also where another one has the name meanwhile.
    pub async fn put_account(&self, account: &StoredAccount, now: Timestamp) -> Result<(), StoreError> {
        let owner = account.owner.as_ref().map_or("", UserId::as_str);
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE accounts SET in_use = 0 WHERE server = ? AND owner = ? AND in_use = 1")
            .bind(account.server.as_str())
            .bind(owner)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO accounts (id, server, owner, name, issuer, resource, client, scopes, missing, problem, \
             in_use, due, sealed, version, created, changed) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', NULL, 1, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET issuer = excluded.issuer, resource = excluded.resource, \
             client = excluded.client, scopes = excluded.scopes, missing = '', problem = NULL, in_use = 1, \
             due = excluded.due, sealed = excluded.sealed, version = excluded.version, changed = excluded.changed",
        )
        .bind(&account.id)
        .bind(account.server.as_str())
        .bind(owner)
        .bind(&account.name)
        .bind(&account.issuer)
        .bind(&account.resource)
        .bind(&account.client)
        .bind(account.scopes.join(" "))
        .bind(account.due.as_millis())
        .bind(&account.sealed)
        .bind(i64::try_from(account.version).unwrap_or(i64::MAX))
        .bind(account.created.as_millis())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Keeps renewed tokens, if those that they take the place of are still the last ones; says whether they were.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn renew_account(
        &self,
        (id, version): (&str, u64),
        renewed: &Renewed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE accounts SET sealed = ?, scopes = ?, due = ?, version = version + 1, changed = ? \
             WHERE id = ? AND version = ?",
        )
        .bind(&renewed.sealed)
        .bind(renewed.scopes.join(" "))
        .bind(renewed.due.as_millis())
        .bind(now.as_millis())
        .bind(id)
        .bind(i64::try_from(version).unwrap_or(i64::MAX));
        Ok(self.write_at_once(query).await? > 0)
    }

    /// Notes that the person has to log in again, why, and what is to be asked for besides; only if the account has not
    /// been renewed meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn spoil_account(
        &self,
        (id, version): (&str, u64),
        problem: &str,
        missing: &[String],
    ) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE accounts SET problem = ?, missing = ? WHERE id = ? AND version = ?")
            .bind(problem)
            .bind(missing.join(" "))
            .bind(id)
            .bind(i64::try_from(version).unwrap_or(i64::MAX));
        Ok(self.write_at_once(query).await? > 0)
    }

    /// Notes what is to be asked for besides at the next log-in; the account stays good for everything else.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn want_scopes(&self, id: &str, missing: &[String]) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE accounts SET missing = ? WHERE id = ?")
            .bind(missing.join(" "))
            .bind(id);
        self.write_at_once(query).await.map(drop)
    }

    /// Makes an account the one that calls use, of those of its owner at its server; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn use_account(&self, id: &str, owner: Option<&UserId>) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "UPDATE accounts SET in_use = (id = ?1) WHERE owner = ?2 \
             AND server = (SELECT server FROM accounts WHERE id = ?1 AND owner = ?2)",
        )
        .bind(id)
        .bind(owner.map_or("", UserId::as_str));
        Ok(self.write_at_once(query).await? > 0)
    }

    /// Removes an account of that owner; says whether there was one. The oldest of those that are left takes its place.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn remove_account(&self, id: &str, owner: Option<&UserId>) -> Result<bool, StoreError> {
        let owner = owner.map_or("", UserId::as_str);
        let mut tx = self.begin().await?;
        let removed = sqlx::query("DELETE FROM accounts WHERE id = ? AND owner = ? RETURNING server")
            .bind(id)
            .bind(owner)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(removed) = removed else {
            tx.rollback().await?;
            return Ok(false);
        };
        sqlx::query(
            "UPDATE accounts SET in_use = 1 WHERE id = (SELECT id FROM accounts WHERE server = ?1 AND owner = ?2 \
             ORDER BY created, id LIMIT 1) \
             AND NOT EXISTS (SELECT 1 FROM accounts WHERE server = ?1 AND owner = ?2 AND in_use = 1)",
        )
        .bind(removed.text("server")?)
        .bind(owner)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Who we are at an authorization server, if it has registered us.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn server_client(
        &self,
        issuer: &str,
        redirect_uri: &str,
    ) -> Result<Option<ServerClient>, StoreError> {
        let row = sqlx::query("SELECT * FROM server_clients WHERE issuer = ? AND redirect_uri = ?")
            .bind(issuer)
            .bind(redirect_uri)
            .fetch_optional(self.reader())
            .await?;
        let read = |row: &SqliteRow| {
            Ok(ServerClient {
                id: row.text("id")?,
                method: row.text("method")?,
                sealed: row.maybe_bytes("sealed")?,
                expires: row.maybe_time("expires")?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    /// Keeps who we are at an authorization server.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_server_client(
        &self,
        (issuer, redirect_uri): (&str, &str),
        client: &ServerClient,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(
            "INSERT INTO server_clients (issuer, redirect_uri, id, method, sealed, expires) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (issuer, redirect_uri) DO UPDATE SET id = excluded.id, method = excluded.method, \
             sealed = excluded.sealed, expires = excluded.expires",
        )
        .bind(issuer)
        .bind(redirect_uri)
        .bind(&client.id)
        .bind(&client.method)
        .bind(&client.sealed)
        .bind(client.expires.map(Timestamp::as_millis));
        self.write_at_once(query).await.map(drop)
    }

    /// Forgets a client that an authorization server does not know any more, unless it has become another one meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn forget_server_client(&self, issuer: &str, id: &str) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM server_clients WHERE issuer = ? AND id = ?")
            .bind(issuer)
            .bind(id);
        self.write_at_once(query).await.map(drop)
    }

    /// Keeps a log-in that goes out to an authorization server.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn depart_for_account(&self, departure: &AccountDeparture) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "DELETE FROM account_departures WHERE state IN \
             (SELECT state FROM account_departures WHERE user = ?1 ORDER BY expires \
             LIMIT max(0, (SELECT count(*) FROM account_departures WHERE user = ?1) + 1 - ?2))",
        )
        .bind(departure.user.as_str())
        .bind(ON_THEIR_WAY)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO account_departures (state, browser, user, plan, expires) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(departure.state.as_slice())
        .bind(departure.browser.as_slice())
        .bind(departure.user.as_str())
        .bind(&departure.plan)
        .bind(departure.expires.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Takes the log-in that comes back, if this person began it in this browser: of any number of callers one gets it.
    /// Whoever else has learned the `state` uses nothing up. Whether it still counts is for the rules to say.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn arrive_for_account(
        &self,
        state: &Digest,
        browser: &Digest,
        user: &UserId,
    ) -> Result<Option<AccountDeparture>, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sqlx::query(
            "DELETE FROM account_departures WHERE state = ? AND browser = ? AND user = ? RETURNING *",
        )
        .bind(state.as_slice())
        .bind(browser.as_slice())
        .bind(user.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = taken else {
            tx.rollback().await?;
            return Ok(None);
        };
        let departure = AccountDeparture {
            state: row.digest("state")?,
            browser: row.digest("browser")?,
            user: UserId::new(row.text("user")?),
            plan: row.text("plan")?,
            expires: row.time("expires")?,
        };
        tx.commit().await?;
        Ok(Some(departure))
    }
}

fn read(row: &SqliteRow) -> Result<StoredAccount, StoreError> {
    let words = |column| -> Result<Vec<String>, StoreError> {
        Ok(row.text(column)?.split_whitespace().map(str::to_owned).collect())
    };
    let owner = row.text("owner")?;
    Ok(StoredAccount {
        id: row.text("id")?,
        server: ServerName::parse(&row.text("server")?)
            .map_err(|_| StoreError::Corrupt { what: "server" })?,
        owner: (!owner.is_empty()).then(|| UserId::new(owner)),
        name: row.text("name")?,
        issuer: row.text("issuer")?,
        resource: row.text("resource")?,
        client: row.text("client")?,
        scopes: words("scopes")?,
        missing: words("missing")?,
        problem: row.maybe_text("problem")?,
        in_use: row.flag("in_use")?,
        due: row.time("due")?,
        sealed: row.bytes("sealed")?,
        version: row.number("version")?,
        created: row.time("created")?,
    })
}
