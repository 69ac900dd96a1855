//! Devices that wait for a person's yes.

use std::time::Duration;

use sallyport_core::{ClientId, GrantId, Timestamp};
use sallyport_oauth::device::{Answer, DeviceRequest, MAX_WAITING};
use sallyport_oauth::model::{Digest, Grant};
use sqlx::sqlite::SqliteRow;

use crate::columns::Columns as _;
use crate::{Store, StoreError, grants};

impl Store {
    /// Keeps a request; `false` if as many as may wait do already, or somebody has the user code.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_device(&self, request: &DeviceRequest, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO devices (device, user_code, client, resource, scopes, expires, interval, answer) \
             SELECT ?, ?, ?, ?, ?, ?, ?, 'none' \
             WHERE (SELECT count(*) FROM devices WHERE answer = 'none' AND expires > ?) < ? \
             ON CONFLICT DO NOTHING",
        )
        .bind(request.device.as_slice())
        .bind(request.user_code.as_slice())
        .bind(request.client.as_str())
        .bind(request.resource.as_str())
        .bind(request.scopes.to_string())
        .bind(request.expires.as_millis())
        .bind(millis(request.interval))
        .bind(now.as_millis())
        .bind(MAX_WAITING)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// The request with that device code.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn device(&self, device: &Digest) -> Result<Option<DeviceRequest>, StoreError> {
        let row = sqlx::query("SELECT * FROM devices WHERE device = ?").bind(device.as_slice());
        let row = row.fetch_optional(self.reader()).await?;
        row.as_ref().map(read).transpose()
    }

    /// The request with that user code.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn device_by_user_code(&self, code: &Digest) -> Result<Option<DeviceRequest>, StoreError> {
        let row = sqlx::query("SELECT * FROM devices WHERE user_code = ?").bind(code.as_slice());
        let row = row.fetch_optional(self.reader()).await?;
        row.as_ref().map(read).transpose()
    }

    /// Remembers a poll, and how long the device waits before the next.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn device_polled(
        &self,
        device: &Digest,
        now: Timestamp,
        interval: Duration,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE devices SET polled = ?, interval = ? WHERE device = ?")
            .bind(now.as_millis())
            .bind(millis(interval))
            .bind(device.as_slice())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Writes down what the person said, and keeps the grant of a yes, at once; `false` if it was said before, or the
    /// request is over.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then nothing was kept.
    pub async fn answer_device(
        &self,
        device: &Digest,
        allowed: Option<&Grant>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if let Some(grant) = allowed {
            grants::insert(&mut tx, grant).await?;
        }
        let done = sqlx::query(
            "UPDATE devices SET answer = ?, grant_id = ? WHERE device = ? AND answer = 'none' AND expires > ?",
        )
        .bind(if allowed.is_some() { "allowed" } else { "denied" })
        .bind(allowed.map(|grant| grant.id.as_str()))
        .bind(device.as_slice())
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the grant of a yes: of any number of callers one gets it.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed; then it was not taken.
    pub async fn take_device(&self, device: &Digest) -> Result<Option<Grant>, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sqlx::query(
            "UPDATE devices SET answer = 'taken' WHERE device = ? AND answer = 'allowed' RETURNING grant_id",
        )
        .bind(device.as_slice())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(taken) = taken else {
            tx.rollback().await?;
            return Ok(None);
        };
        let row = sqlx::query("SELECT * FROM grants WHERE id = ?").bind(taken.text("grant_id")?);
        let row = row.fetch_one(&mut *tx).await?;
        let grant = grants::read(&row)?;
        tx.commit().await?;
        Ok(Some(grant))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn read(row: &SqliteRow) -> Result<DeviceRequest, StoreError> {
    let grant = || -> Result<GrantId, StoreError> {
        let id = row.maybe_text("grant_id")?;
        id.map(GrantId::new)
            .ok_or(StoreError::Corrupt { what: "grant_id" })
    };
    Ok(DeviceRequest {
        device: row.digest("device")?,
        user_code: row.digest("user_code")?,
        client: ClientId::new(row.text("client")?),
        resource: row.resource("resource")?,
        scopes: row.scopes("scopes")?,
        expires: row.time("expires")?,
        polled: row.maybe_time("polled")?,
        interval: Duration::from_millis(row.number("interval")?),
        answer: match row.text("answer")?.as_str() {
            "none" => Answer::None,
            "allowed" => Answer::Allowed(grant()?),
            "denied" => Answer::Denied,
            "taken" => Answer::Taken(grant()?),
            _ => return Err(StoreError::Corrupt { what: "answer" }),
        },
    })
}
