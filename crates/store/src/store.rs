//! The store itself: one connection that writes, some that read.

use std::fs::{File, OpenOptions};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlitePool};

use crate::migrate::Schema;
use crate::write::{self, Prepared, Write};
use crate::{DirectoryError, StoreError, directory, migrate};

/// Held while the store is opened, so that two processes that start together migrate one after the other.
const LOCK: &str = "sallyport.lock";

/// The size of a page in bytes.
const PAGE: u32 = 16 * 1024;

/// Numbers of the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Connections that read; by default one for each processor, from 2 to 4. Each is a thread, and takes some 300 KiB.
    pub readers: u32,
    /// How long a statement waits for another process's write, and a caller for a connection; default 5 s.
    pub patience: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Self {
            readers: u32::try_from(processors.clamp(2, 4)).unwrap_or(2),
            patience: Duration::from_secs(5),
        }
    }
}

/// The store in one data directory. Clones share the connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    reading: SqliteConnectOptions,
    suspect: AtomicBool,
}

impl Store {
    /// Opens the store, makes it where there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Directory`] with the mend when the directory or a file in it is open to others, belongs to somebody
    /// else or is a link; [`StoreError::Newer`] when a newer program has written it.
    pub async fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        directory::prepare(directory)?;
        let lock = lock(directory).await?;
        let writing = SqliteConnectOptions::new()
            .filename(directory.join(directory::DATABASE))
            .create_if_missing(false)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(options.patience)
            // For a new file. The audit trail writes long rows, and each page costs two writes.
            .page_size(PAGE)
            // What a burst has made of the log file is given back at the next checkpoint.
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        // WAL is a property of the file: set once here, found by every other connection.
        let mut first = writing
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .connect()
            .await?;
        migrate::migrate(&mut first).await?;
        first.close().await?;
        let reading = writing.clone().pragma("query_only", "ON");
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(options.patience)
                .test_before_acquire(false)
                .max_lifetime(None)
                .idle_timeout(None)
        };
        let writer = pool(1).connect_with(writing).await?;
        let readers = pool(options.readers.max(1)).connect_with(reading.clone()).await?;
        drop(lock);
        Ok(Self {
            inner: Arc::new(Inner {
                directory: directory.to_owned(),
                writer,
                readers,
                reading,
                suspect: AtomicBool::new(false),
            }),
        })
    }

    /// The schema of the store in a directory, which is looked at and not changed.
    ///
    /// # Errors
    /// As for [`Store::open`]; also where there is no store.
    pub async fn schema(directory: &Path) -> Result<Schema, StoreError> {
        let database = directory.join(directory::DATABASE);
        directory::check_file(&database)?;
        let mut connection = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(false)
            .pragma("query_only", "ON")
            .disable_statement_logging()
            .connect()
            .await?;
        let schema = migrate::look(&mut connection).await;
        connection.close().await?;
        schema
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Whether the store can be read now, and written as far as that is known: what `/readyz` asks.
    ///
    /// # Errors
    /// [`StoreError::Suspect`] after a write that did not reach the disk; [`StoreError::Database`] when reading fails.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.sound()?;
        sqlx::query("SELECT value FROM changes")
            .fetch_one(self.reader())
            .await?;
        Ok(())
    }

    /// Whether it is being closed, or is closed: whoever still wants something comes too late.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.readers.is_closed()
    }

    /// Closes the connections; what was acknowledged is on the disk already.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }

    pub(crate) fn reader(&self) -> &SqlitePool {
        &self.inner.readers
    }

    /// For connections that are kept outside the pool.
    pub(crate) fn reading(&self) -> &SqliteConnectOptions {
        &self.inner.reading
    }

    fn sound(&self) -> Result<(), StoreError> {
        if self.inner.suspect.load(Ordering::Acquire) {
            return Err(StoreError::Suspect);
        }
        Ok(())
    }

    /// Takes no more writes until a restart.
    pub(crate) fn distrust(&self) {
        self.inner.suspect.store(true, Ordering::Release);
    }

    /// A write of one statement.
    pub(crate) async fn write_at_once(&self, query: Prepared<'_>) -> Result<u64, StoreError> {
        self.sound()?;
        write::at_once(self, &self.inner.writer, query).await
    }

    /// Begins a write. The lock is taken at once, so that what is read inside cannot change before the commit.
    pub(crate) async fn begin(&self) -> Result<Write, StoreError> {
        self.sound()?;
        Write::begin(self.clone(), &self.inner.writer).await
    }
}

async fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let failed = {
        let path = path.clone();
        move |source| StoreError::Directory(DirectoryError::Io { path, source })
    };
    let locked = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.lock()?;
        Ok(file)
    });
    locked
        .await
        .map_err(|error| StoreError::Database(Box::new(error)))?
        .map_err(failed)
}
