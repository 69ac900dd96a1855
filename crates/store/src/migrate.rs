//! The schema: migrations go forward only, each in one transaction, so that a crash leaves the old or the new schema.

use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::StoreError;

/// In order of their numbers, which may leave gaps; the number of the last is the schema that this program writes. Each
/// ends by setting `user_version`.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_start.sql")),
    (2, include_str!("../migrations/0002_audit_rows.sql")),
    (3, include_str!("../migrations/0003_once.sql")),
    (4, include_str!("../migrations/0004_registrations.sql")),
    (5, include_str!("../migrations/0005_key_ring.sql")),
    (6, include_str!("../migrations/0006_api_keys.sql")),
    (10, include_str!("../migrations/0010_identities.sql")),
    (11, include_str!("../migrations/0011_devices.sql")),
    (15, include_str!("../migrations/0015_pushed_requests.sql")),
    (16, include_str!("../migrations/0016_key_bindings.sql")),
    (20, include_str!("../migrations/0020_logins.sql")),
    (24, include_str!("../migrations/0024_exchanged.sql")),
    (27, include_str!("../migrations/0027_groups.sql")),
    (30, include_str!("../migrations/0030_packed_records.sql")),
    (31, include_str!("../migrations/0031_accounts.sql")),
    (35, include_str!("../migrations/0035_likeness.sql")),
    (36, include_str!("../migrations/0036_exchanged_from.sql")),
    (37, include_str!("../migrations/0037_vault.sql")),
    (40, include_str!("../migrations/0040_sessions.sql")),
    (42, include_str!("../migrations/0042_row_macs.sql")),
    (43, include_str!("../migrations/0043_lasting_sessions.sql")),
];

/// Marks the file as ours (`PRAGMA application_id`): "SLLY".
const APPLICATION_ID: i64 = 0x534c_4c59;
const MARK: &str = "PRAGMA application_id = 1397509209";

/// Brings the schema up to date; refuses one that a newer program wrote, and foreign databases.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    migrate_with(connection, MIGRATIONS).await
}

async fn migrate_with(
    connection: &mut SqliteConnection,
    migrations: &[(i64, &'static str)],
) -> Result<(), StoreError> {
    let known = migrations.last().map_or(0, |(version, _)| *version);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = pragma(&mut transaction, "PRAGMA user_version").await?;
    let application = pragma(&mut transaction, "PRAGMA application_id").await?;
    if application != APPLICATION_ID && (application != 0 || found != 0) {
        return Err(StoreError::Foreign);
    }
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if application == 0 {
        sqlx::raw_sql(MARK).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    for (_, sql) in migrations.iter().filter(|(version, _)| *version > found) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    if found < known {
        tracing::info!(from = found, to = known, "the store has a new schema");
    }
    Ok(())
}

/// The schema of a database as it is, and the one that this program writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schema {
    /// What the database has.
    pub found: i64,
    /// What this program writes.
    pub known: i64,
}

/// Looks at the schema and changes nothing; refuses what [`migrate`] refuses.
pub(crate) async fn look(connection: &mut SqliteConnection) -> Result<Schema, StoreError> {
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    let found = pragma(connection, "PRAGMA user_version").await?;
    let application = pragma(connection, "PRAGMA application_id").await?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign);
    }
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    Ok(Schema { found, known })
}

async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    Ok(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn memory() -> SqliteConnection {
        SqliteConnection::connect("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn every_migration_sets_its_version_and_none_runs_twice() {
        let mut db = memory().await;
        assert!(MIGRATIONS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (version, sql) in MIGRATIONS {
            assert!(
                sql.trim_end()
                    .ends_with(&format!("PRAGMA user_version = {version};"))
            );
        }
        migrate(&mut db).await.unwrap();
        migrate(&mut db).await.unwrap();
        assert_eq!(
            pragma(&mut db, "PRAGMA user_version").await.unwrap(),
            MIGRATIONS.last().unwrap().0
        );
        assert_eq!(
            pragma(&mut db, "PRAGMA application_id").await.unwrap(),
            APPLICATION_ID
        );
    }

    #[tokio::test]
    async fn a_newer_schema_and_a_foreign_file_are_refused() {
        let mut db = memory().await;
        migrate(&mut db).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99")
            .execute(&mut db)
            .await
            .unwrap();
        assert!(matches!(
            migrate(&mut db).await,
            Err(StoreError::Newer { found: 99, .. })
        ));
        let mut db = memory().await;
        sqlx::raw_sql("PRAGMA user_version = 1")
            .execute(&mut db)
            .await
            .unwrap();
        assert!(matches!(migrate(&mut db).await, Err(StoreError::Foreign)));
    }

    #[tokio::test]
    async fn looking_at_a_schema_changes_nothing() {
        let mut db = memory().await;
        assert!(matches!(look(&mut db).await, Err(StoreError::Foreign)));
        migrate(&mut db).await.unwrap();
        let known = MIGRATIONS.last().unwrap().0;
        sqlx::raw_sql("PRAGMA user_version = 1")
            .execute(&mut db)
            .await
            .unwrap();
        for _ in 0..2 {
            assert_eq!(look(&mut db).await.unwrap(), Schema { found: 1, known });
        }
        sqlx::raw_sql("PRAGMA user_version = 99")
            .execute(&mut db)
            .await
            .unwrap();
        assert!(matches!(
            look(&mut db).await,
            Err(StoreError::Newer { found: 99, .. })
        ));
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_the_schema_before_it() {
        let mut db = memory().await;
        let broken: &[(i64, &'static str)] = &[
            (1, "CREATE TABLE a (x); PRAGMA user_version = 1;"),
            (2, "CREATE TABLE b (x); CREATE TABLE a (x);"),
        ];
        assert!(migrate_with(&mut db, broken).await.is_err());
        assert_eq!(pragma(&mut db, "PRAGMA user_version").await.unwrap(), 1);
        assert!(sqlx::query("SELECT x FROM b").fetch_all(&mut db).await.is_err());
    }

    #[tokio::test]
    async fn numbers_may_leave_gaps() {
        let mut db = memory().await;
        let steps: &[(i64, &'static str)] = &[
            (1, "CREATE TABLE a (x); PRAGMA user_version = 1;"),
            (7, "CREATE TABLE b (x); PRAGMA user_version = 7;"),
            (20, "CREATE TABLE c (x); PRAGMA user_version = 20;"),
        ];
        for upto in 1..=steps.len() {
            let (last, _) = steps[upto - 1];
            migrate_with(&mut db, &steps[..upto]).await.unwrap();
            assert_eq!(pragma(&mut db, "PRAGMA user_version").await.unwrap(), last);
        }
        assert!(matches!(
            migrate_with(&mut db, &steps[..2]).await,
            Err(StoreError::Newer { found: 20, known: 7 })
        ));
    }

    #[tokio::test]
    async fn records_of_the_first_schema_are_rows_of_one() {
        let mut db = memory().await;
        migrate_with(&mut db, &MIGRATIONS[..1]).await.unwrap();
        let old =
            "INSERT INTO audit (seq, at, prev, hash, mac, body) VALUES (7, 258, x'01', x'02', x'03', '{}')";
        sqlx::raw_sql(old).execute(&mut db).await.unwrap();
        migrate(&mut db).await.unwrap();
        let new = "SELECT count(*) FROM audit WHERE seq = 7 AND at = x'0000000000000102' AND prev = x'01' \
                   AND hash = x'02' AND mac = x'03' AND body = '{}'";
        assert_eq!(pragma(&mut db, new).await.unwrap(), 1);
    }
}
