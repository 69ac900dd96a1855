//! What became of each log-in: records for people to read, bounded, the oldest go first.

use std::time::Duration;

use sallyport_core::Timestamp;
use sallyport_oauth::flight::Trace;

use crate::columns::Columns as _;
use crate::{Store, StoreError};

/// The most log-ins of clients that are kept; some hundred are what somebody looks through.
pub const MAX_NAMED: u32 = 500;
/// The most log-ins that are kept of which no client is known. Strangers make these, so they have a room of their own.
pub const MAX_UNNAMED: u32 = 100;
/// How long a log-in is kept after its last step.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Store {
    /// Keeps log-ins in place of what was kept of them, forgets others, and what is too old or too many.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn put_logins(
        &self,
        keep: &[Trace],
        drop: &[String],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for id in drop {
            sqlx::query("DELETE FROM logins WHERE id = ?")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        for trace in keep {
            let body = serde_json::to_string(trace).map_err(|_| StoreError::Corrupt { what: "body" })?;
            sqlx::query(
                "INSERT INTO logins (id, seen, named, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE \
                 SET seen = excluded.seen, named = excluded.named, body = excluded.body",
            )
            .bind(&trace.id)
            .bind(trace.seen.as_millis())
            .bind(i64::from(trace.is_named()))
            .bind(body)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM logins WHERE seen < ?")
            .bind(now.minus(KEPT).as_millis())
            .execute(&mut *tx)
            .await?;
        for (named, limit) in [(1, MAX_NAMED), (0, MAX_UNNAMED)] {
            sqlx::query(
                "DELETE FROM logins WHERE named = ?1 AND id NOT IN \
                 (SELECT id FROM logins WHERE named = ?1 ORDER BY seen DESC LIMIT ?2)",
            )
            .bind(named)
            .bind(limit)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }

    /// The log-ins that were seen last since a time, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn logins(&self, since: Timestamp) -> Result<Vec<Trace>, StoreError> {
        let rows = sqlx::query("SELECT body FROM logins WHERE seen >= ? ORDER BY seen DESC")
            .bind(since.as_millis())
            .fetch_all(self.reader())
            .await?;
        rows.iter().map(|row| row.json("body")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use sallyport_core::ClientId;
    use sallyport_oauth::flight::{Agent, Book, Document, Keys, Sighting, Step};

    use super::*;
    use crate::testing;

    /// A log-in of its own for each number.
    fn trace(number: u32, named: bool) -> Trace {
        let sender = Some((IpAddr::V4(Ipv4Addr::LOCALHOST), Agent::of(&format!("c/{number}"))));
        let keys = Keys {
            sender,
            ..Keys::default()
        };
        let keys = if named {
            keys.client(&ClientId::new(number.to_string()))
        } else {
            keys
        };
        let mut book = Book::default();
        let step = Step::Discovery {
            document: Document::ProtectedResource,
            found: true,
        };
        let sighting = Sighting {
            at: testing::at(i64::from(number)),
            keys,
            step,
        };
        book.see(sighting, || format!("{named}{number}"));
        book.changes(1).keep.remove(0)
    }

    #[tokio::test]
    async fn log_ins_at_the_limit_and_one_past_it() {
        let (_root, store) = testing::store().await;
        let now = testing::at(2_000);
        let many: Vec<Trace> = (0..=MAX_NAMED).map(|n| trace(n, true)).collect();
        store.put_logins(&many[1..], &[], now).await.unwrap();
        store.put_logins(&[trace(0, false)], &[], now).await.unwrap();
        let kept = store.logins(Timestamp::EPOCH).await.unwrap();
        assert_eq!(kept.len(), MAX_NAMED as usize + 1);
        assert_eq!(kept[0], many[MAX_NAMED as usize]);
        store.put_logins(&[trace(9_999, true)], &[], now).await.unwrap();
        let kept = store.logins(Timestamp::EPOCH).await.unwrap();
        assert_eq!(kept.len(), MAX_NAMED as usize + 1);
        assert!(!kept.iter().any(|kept| kept.id == "true1"), "the oldest has gone");
        let strangers: Vec<Trace> = (1..=MAX_UNNAMED).map(|n| trace(n, false)).collect();
        store.put_logins(&strangers, &[], now).await.unwrap();
        let kept = store.logins(Timestamp::EPOCH).await.unwrap();
        let named = kept.iter().filter(|kept| kept.is_named()).count();
        assert_eq!(
            (named, kept.len() - named),
            (MAX_NAMED as usize, MAX_UNNAMED as usize)
        );
        assert!(!kept.iter().any(|kept| kept.id == "false0"));
    }

    #[tokio::test]
    async fn log_ins_are_replaced_dropped_and_forgotten_with_time() {
        let (_root, store) = testing::store().await;
        let now = testing::at(100);
        store
            .put_logins(&[trace(1, true), trace(2, true)], &[], now)
            .await
            .unwrap();
        store
            .put_logins(&[trace(2, true)], &["true1".to_owned()], now)
            .await
            .unwrap();
        let kept = store.logins(testing::at(2)).await.unwrap();
        assert_eq!(kept, [trace(2, true)]);
        assert!(store.logins(testing::at(3)).await.unwrap().is_empty());
        let at_the_end = testing::at(2).plus(KEPT);
        store.put_logins(&[], &[], at_the_end).await.unwrap();
        assert_eq!(store.logins(Timestamp::EPOCH).await.unwrap().len(), 1);
        let past = at_the_end.plus(Duration::from_millis(1));
        store.put_logins(&[], &[], past).await.unwrap();
        assert!(store.logins(Timestamp::EPOCH).await.unwrap().is_empty());
    }
}
