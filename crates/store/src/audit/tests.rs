use std::io::BufReader;
use std::time::{Duration, Instant};

use sallyport_core::audit::{Action, Outcome};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::append::append;
use super::chain::{GENESIS, Head};
use super::*;
use crate::testing::{TestClock, TestKeys, at, keys, open, store};

async fn trail(store: &Store) -> Result<AuditTrail, AuditError> {
    AuditTrail::start(store, keys(), Arc::new(TestClock)).await
}

fn event(n: usize) -> Event {
    Event::new(Action::ToolCall, Outcome::Ok).on(&format!("tool {n}"))
}

/// A stopped trail of `count` records with its checkpoint.
async fn written(count: usize) -> (TempDir, Store, AuditLog) {
    let (root, store) = store().await;
    let trail = trail(&store).await.unwrap();
    for n in 0..count {
        trail.record(event(n)).unwrap();
    }
    trail.shutdown().await;
    let log = trail.log().clone();
    (root, store, log)
}

async fn sql(store: &Store, statements: &'static str) {
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(statements).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn broken(log: &AuditLog) -> ChainBreak {
    match log.verify().await {
        Err(AuditError::Broken(found)) => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_empty_trail_verifies() {
    let (_root, _store, log) = written(0).await;
    assert_eq!(
        log.verify().await.unwrap(),
        Verified {
            count: 0,
            head: GENESIS,
            doubts: vec![]
        }
    );
}

#[tokio::test]
async fn records_come_back_in_order_and_are_flushed_at_the_end() {
    let (_root, store, log) = written(2500).await;
    assert_eq!(log.verify().await.unwrap().count, 2500);
    let tail = log.tail(3).await.unwrap();
    assert_eq!(tail.iter().map(|r| r.seq).collect::<Vec<_>>(), [2498, 2499, 2500]);
    assert_eq!(tail[2].event(), Some(event(2499)));
    assert_eq!(log.after(10, 2).await.unwrap()[0].seq, 11);
    let trail = trail(&store).await.unwrap();
    trail.record_durably(event(2500)).await.unwrap();
    assert_eq!(log.tail(1).await.unwrap()[0].event(), Some(event(2500)));
    trail.shutdown().await;
    assert!(trail.is_broken());
    assert_eq!(trail.record(event(0)), Err(AuditUnavailable));
    assert_eq!(trail.record_durably(event(0)).await, Err(AuditUnavailable));
    assert_eq!(log.verify().await.unwrap().count, 2501);
}

#[tokio::test]
async fn followers_see_what_another_process_records() {
    let (root, store) = store().await;
    let mut follow = AuditLog::new(open(&root).await, keys()).follow(0);
    let trail = trail(&store).await.unwrap();
    for n in 0..3 {
        trail.record_durably(event(n)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(follow.next().await.unwrap().into_iter().map(|record| record.seq));
    }
    assert_eq!(seen, [1, 2, 3]);
}

/// What somebody does to the table, the first record that is wrong then, and what is wrong with it.
const CHANGES: [(&str, u64, Break); 16] = [
    (
        "UPDATE audit SET body = replace(body, 'ok', 'no') WHERE seq = 5000",
        5000,
        Break::Changed,
    ),
    (
        "UPDATE audit SET at = at + 1 WHERE seq = 5000",
        5000,
        Break::Changed,
    ),
    (
        "UPDATE audit SET prev = zeroblob(32) WHERE seq = 5000",
        5000,
        Break::Unlinked,
    ),
    (
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 5000",
        5000,
        Break::Changed,
    ),
    (
        "UPDATE audit SET mac = zeroblob(32) WHERE seq = 5000",
        5000,
        Break::Forged,
    ),
    (
        "UPDATE audit SET mac = x'00' WHERE seq = 5000",
        5000,
        Break::Changed,
    ),
    ("UPDATE audit SET body = '' WHERE seq = 1", 1, Break::Changed),
    (
        "UPDATE audit SET body = body || ' ' WHERE seq = 10000",
        10_000,
        Break::Changed,
    ),
    ("DELETE FROM audit WHERE seq = 5000", 5000, Break::Missing),
    ("DELETE FROM audit WHERE seq = 1", 1, Break::Missing),
    (
        "DELETE FROM audit WHERE seq BETWEEN 10 AND 20",
        10,
        Break::Missing,
    ),
    // The rest moves up into the gap.
    (
        "DELETE FROM audit WHERE seq = 5000; UPDATE audit SET seq = -seq WHERE seq > 5000; \
             UPDATE audit SET seq = -seq - 1 WHERE seq < 0",
        5000,
        Break::Unlinked,
    ),
    // Two change places.
    (
        "UPDATE audit SET seq = -1 WHERE seq = 5000; UPDATE audit SET seq = 5000 WHERE seq = 6000; \
             UPDATE audit SET seq = 6000 WHERE seq = -1",
        5000,
        Break::Unlinked,
    ),
    // One stands there twice, with and without its neighbours making room.
    (
        "UPDATE audit SET (at, prev, hash, mac, body) = \
             (SELECT at, prev, hash, mac, body FROM kept WHERE seq = 4999) WHERE seq = 5000",
        5000,
        Break::Unlinked,
    ),
    (
        "UPDATE audit SET seq = -seq WHERE seq >= 5000; UPDATE audit SET seq = -seq + 1 WHERE seq < 0; \
             INSERT INTO audit SELECT 5000, at, prev, hash, mac, body FROM kept WHERE seq = 4999",
        5000,
        Break::Unlinked,
    ),
    (
        "INSERT INTO audit SELECT 0, at, prev, hash, mac, body FROM kept WHERE seq = 1; DELETE FROM audit WHERE seq = 1",
        1,
        Break::Missing,
    ),
];

#[tokio::test]
async fn al_01_every_change_is_found_at_its_place() {
    let (_root, store, log) = written(10_000).await;
    assert_eq!(log.verify().await.unwrap().count, 10_000);
    sql(&store, "CREATE TABLE kept AS SELECT * FROM audit").await;
    for (attack, seq, what) in CHANGES {
        sql(&store, attack).await;
        assert_eq!(broken(&log).await, ChainBreak { seq, what }, "{attack}");
        sql(&store, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
    }
    assert_eq!(log.verify().await.unwrap().count, 10_000);
}

#[tokio::test]
async fn al_02_a_restamped_tail_is_a_forgery() {
    let (_root, store, log) = written(100).await;
    let before = log.after(48, 1).await.unwrap().remove(0);
    sql(&store, "DELETE FROM audit WHERE seq > 49").await;
    let known = Head {
        seq: before.seq,
        hash: before.hash,
    };
    let bodies = (49..100).map(|n| (at(1), format!(r#"{{"action":"forged","n":{n}}}"#)));
    append(&store, &TestKeys("thief"), &known, bodies).await.unwrap();
    assert_eq!(
        broken(&log).await,
        ChainBreak {
            seq: 50,
            what: Break::Forged
        }
    );
    // With the old MACs on top of the new hashes.
    sql(
        &store,
        "UPDATE audit SET mac = (SELECT mac FROM audit a WHERE a.seq = 1) WHERE seq > 49",
    )
    .await;
    assert_eq!(
        broken(&log).await,
        ChainBreak {
            seq: 50,
            what: Break::Forged
        }
    );
    // Whoever has no key sees a whole chain that misses the checkpoint's hash.
    let mut export = Vec::new();
    log.export(&mut export).await.unwrap();
    let found = verify_export(export.as_slice(), None);
    assert!(matches!(
        found,
        Err(ExportError::Broken(ChainBreak {
            seq: 100,
            what: Break::Replaced
        }))
    ));
}

#[tokio::test]
async fn al_03_a_cut_trail_is_noticed() {
    let (_root, store, log) = written(100).await;
    sql(&store, "CREATE TABLE kept AS SELECT * FROM audit").await;
    for (cut, seq) in [
        ("DELETE FROM audit WHERE seq > 60", 61),
        ("DELETE FROM audit WHERE seq = 100", 100),
        ("DELETE FROM audit", 1),
    ] {
        sql(&store, cut).await;
        let expected = ChainBreak {
            seq,
            what: Break::Truncated,
        };
        assert_eq!(broken(&log).await, expected);
        let refused = trail(&store).await.err().unwrap();
        assert!(
            matches!(refused, AuditError::Broken(found) if found == expected),
            "{refused}"
        );
        sql(&store, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
    }
    // Cut, and filled up again to the old length by somebody who even has the key.
    let before = log.after(59, 1).await.unwrap().remove(0);
    sql(&store, "DELETE FROM audit WHERE seq > 60").await;
    let known = Head {
        seq: before.seq,
        hash: before.hash,
    };
    append(
        &store,
        &*keys(),
        &known,
        (60..100).map(|_| (at(1), "{}".to_owned())),
    )
    .await
    .unwrap();
    let expected = ChainBreak {
        seq: 100,
        what: Break::Replaced,
    };
    assert_eq!(broken(&log).await, expected);
    assert!(matches!(trail(&store).await, Err(AuditError::Broken(found)) if found == expected));
}

#[tokio::test]
async fn al_03_a_trail_that_is_cut_while_it_runs_is_not_written_on() {
    for cut in [
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 3",
    ] {
        let (root, store) = store().await;
        let trail = trail(&store).await.unwrap();
        for n in 0..3 {
            trail.record_durably(event(n)).await.unwrap();
        }
        sql(&open(&root).await, cut).await;
        assert_eq!(
            trail.record_durably(event(3)).await,
            Err(AuditUnavailable),
            "{cut}"
        );
        trail.shutdown().await;
        assert!(trail.is_broken());
        assert_eq!(trail.record(event(4)), Err(AuditUnavailable));
        assert!(trail.log().verify().await.is_err(), "{cut}");
    }
}

#[tokio::test]
async fn al_03_the_checkpoint_itself_is_guarded() {
    let (root, store, log) = written(10).await;
    let file = root.path().join("data/audit.checkpoint");
    let good = std::fs::read_to_string(&file).unwrap();
    for bad in [
        good.replacen("\"count\":10", "\"count\":9", 1),
        good.replacen('a', "b", 1),
        "{}".into(),
        String::new(),
    ] {
        assert_ne!(bad, good);
        std::fs::write(&file, &bad).unwrap();
        assert_eq!(broken(&log).await.what, Break::ForgedCheckpoint, "{bad}");
        assert!(matches!(trail(&store).await, Err(AuditError::Broken(_))), "{bad}");
    }
    std::fs::write(&file, &good).unwrap();
    let wrong_key = AuditTrail::start(&store, Arc::new(TestKeys("other")), Arc::new(TestClock)).await;
    assert!(matches!(
        wrong_key,
        Err(AuditError::Broken(ChainBreak {
            what: Break::ForgedCheckpoint,
            ..
        }))
    ));

    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        broken(&log).await,
        ChainBreak {
            seq: 11,
            what: Break::NoCheckpoint
        }
    );
    // An operator may go on like this, but not in silence.
    let trail = trail(&store).await.unwrap();
    trail.record_durably(event(0)).await.unwrap();
    trail.shutdown().await;
    let verified = log.verify().await.unwrap();
    assert_eq!((verified.count, verified.doubts), (12, vec![11]));
}

#[tokio::test]
async fn al_04_nothing_is_allowed_that_cannot_be_recorded_and_it_heals() {
    let (_root, store) = store().await;
    let trail = trail(&store).await.unwrap();
    trail.record_durably(event(0)).await.unwrap();
    // Like a full disk, this takes the whole transaction back.
    sql(
        &store,
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
    )
    .await;
    let acknowledged = 1;
    assert_eq!(trail.record_durably(event(1)).await, Err(AuditUnavailable));
    assert!(trail.is_broken());
    assert_eq!(trail.record(event(2)), Err(AuditUnavailable));
    assert_eq!(
        trail.log().verify().await.unwrap().count,
        acknowledged,
        "reading and verifying go on"
    );
    sql(&store, "DROP TRIGGER full").await;
    let started = Instant::now();
    while trail.record_durably(event(3)).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    trail.shutdown().await;
    let verified = trail.log().verify().await.unwrap();
    assert_eq!(
        verified.doubts,
        [acknowledged + 1],
        "the interruption is on record"
    );
    assert_eq!(verified.count, acknowledged + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn al_07_two_processes_with_64_writers_make_one_chain() {
    let (root, store) = store().await;
    let second = open(&root).await;
    let trails = [
        Arc::new(trail(&store).await.unwrap()),
        Arc::new(trail(&second).await.unwrap()),
    ];
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let trail = Arc::clone(&trails[n % 2]);
        writers.spawn(async move {
            for m in 0..1000 {
                if m % 250 == 0 {
                    trail.record_durably(event(n)).await.unwrap();
                } else {
                    trail.record(event(n)).unwrap();
                }
                if m % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    writers.join_all().await;
    for trail in &trails {
        trail.shutdown().await;
    }
    let verified = trails[0].log().verify().await.unwrap();
    assert_eq!((verified.count, verified.doubts.len()), (64_000, 0));
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (_root, store) = store().await;
    let trail = trail(&store).await.unwrap();
    // The test's runtime has one thread and this loop never waits, so nothing is taken from the queue.
    for n in 0..QUEUE {
        trail.record(event(n)).unwrap();
    }
    assert_eq!(trail.record(event(0)), Err(AuditUnavailable));
    trail.shutdown().await;
    assert_eq!(trail.log().verify().await.unwrap().count, QUEUE as u64);
}

#[tokio::test]
async fn an_export_verifies_offline_and_every_change_of_it_is_found() {
    let (_root, _store, log) = written(20).await;
    let mut export = Vec::new();
    assert_eq!(log.export(&mut export).await.unwrap(), 20);
    let keys = keys();
    let whole = verify_export(BufReader::new(export.as_slice()), Some(&*keys)).unwrap();
    assert_eq!(whole, log.verify().await.unwrap());
    assert_eq!(verify_export(export.as_slice(), None).unwrap(), whole);
    assert!(verify_export(export.as_slice(), Some(&TestKeys("other"))).is_err());

    let text = String::from_utf8(export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 21);
    let verify = |lines: &[String]| verify_export(lines.join("\n").as_bytes(), None);
    let own = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    let mut edited = own(&lines);
    edited[7] = edited[7].replace("tool 6", "tool 7");
    let broken =
        |result, seq| matches!(result, Err(ExportError::Broken(ChainBreak { seq: s, .. })) if s == seq);
    assert!(broken(verify(&edited), 7));
    assert!(broken(verify(&own(&lines[..20])), 20), "the last line is cut off");
    assert!(broken(verify(&own(&lines[1..])), 21), "the checkpoint is cut off");
    let mut swapped = own(&lines);
    swapped.swap(3, 4);
    assert!(broken(verify(&swapped), 3));
    for junk in ["x", "{}", "{\"seq\":1}", lines[0]] {
        let mut spoiled = own(&lines);
        spoiled.push(junk.to_owned());
        assert!(
            matches!(verify(&spoiled), Err(ExportError::Line { line: 22 })),
            "{junk}"
        );
    }
    let endless = std::io::repeat(b'x');
    assert!(matches!(
        verify_export(BufReader::new(endless), None),
        Err(ExportError::Line { line: 1 })
    ));
}
