//! Why the store could not do it.

use std::error::Error;

use thiserror::Error;

use crate::DirectoryError;

/// Why the store could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The data directory is not safe to use.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A newer version of the program has used the store.
    #[error(
        "the store has schema {found}, this program knows up to {known}: run the version that wrote it, or a newer one"
    )]
    Newer {
        /// The store's schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The file is a database, but not of this program.
    #[error("the database was not made by Sallyport")]
    Foreign,
    /// A value in the database cannot be what this program wrote.
    #[error("the store holds an unreadable {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
    /// The store is sealed under master keys that this process does not have.
    #[error("the store has gone on to another master key: start again with the keys that it has now")]
    OtherKeys,
    /// The disk did not take a write for good. What is on it is unknown, so nothing is written until a restart has read
    /// it again (CR-05).
    #[error("a write did not reach the disk: the store takes no more until a restart")]
    Suspect,
    /// The database failed: disk full, locked for too long, broken.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn Error + Send + Sync>),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt { what: "column" },
            other => Self::Database(Box::new(other)),
        }
    }
}

/// Whether a failed commit leaves it unknown what is on the disk: an error of reading, writing or syncing (`SQLITE_IOERR`
/// with its variants) or a file that is no database any more. A full disk or a lock is not: SQLite has taken all back.
pub(crate) fn is_unsound(error: &sqlx::Error) -> bool {
    const IOERR: i32 = 10;
    const CORRUPT: i32 = 11;
    const NOTADB: i32 = 26;
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, IOERR | CORRUPT | NOTADB))
}
