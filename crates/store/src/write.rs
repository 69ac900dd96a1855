//! A write: one transaction on the one connection that writes.
//!
//! The library's own transaction is not used: it counts nesting, and SQLite takes a transaction back by itself when the
//! disk is full, after which the count is wrong for ever and the connection is of no more use.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::error::is_unsound;
use crate::{Store, StoreError};

/// A statement and what is bound to it.
pub(crate) type Prepared<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Carries out one statement, which is a transaction of its own, and returns how many rows it has written once they are on
/// the disk.
pub(crate) async fn at_once(
    store: &Store,
    writer: &SqlitePool,
    query: Prepared<'_>,
) -> Result<u64, StoreError> {
    match query.execute(writer).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => {
            if is_unsound(&error) {
                store.distrust();
            }
            Err(error.into())
        }
    }
}

/// A transaction that holds the write lock. Dropped without an end — an error, a caller that went away — it takes its
/// connection with it, and SQLite takes back what was not committed.
pub(crate) struct Write {
    store: Store,
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

impl Write {
    pub(crate) async fn begin(store: Store, writer: &SqlitePool) -> Result<Self, StoreError> {
        let mut write = Self {
            store,
            connection: writer.acquire().await?,
            ended: false,
        };
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *write.connection)
            .await?;
        Ok(write)
    }

    /// Returns when the write is on the disk.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        match sqlx::query("COMMIT").execute(&mut *self.connection).await {
            Ok(_) => {
                self.ended = true;
                Ok(())
            }
            Err(error) => {
                if is_unsound(&error) {
                    self.store.distrust();
                }
                Err(error.into())
            }
        }
    }

    /// Ends a transaction that found nothing to do, and keeps the connection.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        sqlx::query("ROLLBACK").execute(&mut *self.connection).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Write {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
