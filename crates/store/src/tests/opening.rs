//! Opening, several at once, and a full disk.

use std::os::unix::fs::MetadataExt as _;

use tokio::task::JoinSet;

use crate::testing::{at, grant, open, store, user};
use crate::{Store, StoreError, StoreOptions};

#[tokio::test]
async fn va_09_everything_in_the_directory_is_ours_alone() {
    let (root, store) = store().await;
    store.create_user(&user("ann", true)).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.path().join("data")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().mode() & 0o7777,
            0o600,
            "{:?}",
            entry.file_name()
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "sallyport.db",
            "sallyport.db-shm",
            "sallyport.db-wal",
            "sallyport.lock"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_store_at_once() {
    let root = tempfile::tempdir().unwrap();
    let mut opened = JoinSet::new();
    for n in 0..12 {
        let directory = root.path().join("data");
        opened.spawn(async move {
            let store = Store::open(&directory, StoreOptions::default()).await.unwrap();
            store.create_user(&user(&format!("u{n}"), false)).await.unwrap();
        });
    }
    opened.join_all().await;
    assert_eq!(open(&root).await.users().await.unwrap().len(), 12);
}

#[tokio::test]
async fn the_connections_have_the_settings_that_durability_needs() {
    let (_root, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    for (pragma, expected) in [
        ("PRAGMA synchronous", "2"),
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA foreign_keys", "1"),
    ] {
        let row = sqlx::query(pragma).fetch_one(&mut *tx).await.unwrap();
        let value: String = sqlx::Row::try_get::<i64, _>(&row, 0)
            .map(|n| n.to_string())
            .or_else(|_| sqlx::Row::try_get(&row, 0))
            .unwrap();
        assert_eq!(value, expected, "{pragma}");
    }
    let refused = sqlx::query("DELETE FROM users").execute(store.reader()).await;
    assert!(refused.is_err(), "readers cannot write");
}

#[tokio::test]
async fn cr_04_a_full_disk_refuses_writes_and_heals() {
    let (_root, store) = store().await;
    store.create_user(&user("ann", true)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut failed = None;
    for n in 0..10_000 {
        if let Err(error) = store.insert_grant(&grant(&format!("{n}"), "ann")).await {
            failed = Some((n, error));
            break;
        }
    }
    let (n, error) = failed.expect("the database cannot grow");
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    assert_eq!(
        store.grants_of(&user("ann", true).id).await.unwrap().len(),
        n,
        "all or nothing of each"
    );
    store.check().await.unwrap();
    // The connection that had the limit is gone together with its transaction, which SQLite took back by itself.
    store.insert_grant(&grant("after", "ann")).await.unwrap();
}

#[tokio::test]
async fn cr_05_after_a_failed_sync_nothing_is_written() {
    let (_root, store) = store().await;
    store.distrust();
    assert!(matches!(store.check().await, Err(StoreError::Suspect)));
    assert!(matches!(
        store.insert_grant(&grant("1", "ann")).await,
        Err(StoreError::Suspect)
    ));
    assert!(matches!(
        store.revoke_grant(&grant("1", "ann").id, at(1)).await,
        Err(StoreError::Suspect)
    ));
    assert!(
        store.grants_of(&user("ann", true).id).await.unwrap().is_empty(),
        "reading goes on"
    );
}
