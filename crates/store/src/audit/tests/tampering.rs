//! AL-01 to AL-03: what somebody does to the trail is found, at its place.

use super::*;

/// What somebody does to the table, the first record that is wrong then, and what is wrong with it.
const CHANGES: [(&str, u64, Break); 16] = [
    (
        "UPDATE audit SET body = replace(body, 'ok', 'no') WHERE seq = 5000",
        5000,
        Break::Changed,
    ),
    (
        "UPDATE audit SET at = zeroblob(8) WHERE seq = 5000",
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
             INSERT INTO audit SELECT 5000, prev, at, hash, mac, body, packed FROM kept WHERE seq = 4999",
        5000,
        Break::Unlinked,
    ),
    (
        "INSERT INTO audit SELECT 0, prev, at, hash, mac, body, packed FROM kept WHERE seq = 1; DELETE FROM audit WHERE seq = 1",
        1,
        Break::Missing,
    ),
];

#[tokio::test]
async fn al_01_every_change_is_found_at_its_place() {
    let (_root, store, log) = written(10_000).await;
    assert_eq!(log.verify().await.unwrap().count, 10_000);
    spread(&store, &log).await;
    sql(&store, "CREATE TABLE kept AS SELECT * FROM audit").await;
    for (attack, seq, what) in CHANGES {
        sql(&store, attack).await;
        assert_eq!(broken(&log).await, ChainBreak { seq, what }, "{attack}");
        sql(&store, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept").await;
    }
    assert_eq!(log.verify().await.unwrap().count, 10_000);
}

#[tokio::test]
async fn al_01_a_change_within_a_row_is_found_at_its_place() {
    let (_root, store, log) = written(100).await;
    let good = signed(log.after(0, 100).await.unwrap(), 1);
    let number = |records: &mut Vec<Record>| {
        for (seq, record) in (1..).zip(records) {
            record.seq = seq;
        }
    };
    type Attack<'a> = (&'a dyn Fn(&mut Vec<Record>), u64, Break);
    let attacks: [Attack<'_>; 7] = [
        (&|records| records[49].body.push(' '), 50, Break::Changed),
        (&|records| records[49].at = at(1), 50, Break::Changed),
        (&|records| records[49].mac = records[48].mac, 50, Break::Forged),
        (&|records| records[49].hash = records[48].hash, 50, Break::Changed),
        (
            &|records| (records.swap(49, 50), number(records)).1,
            50,
            Break::Changed,
        ),
        (
            &|records| (drop(records.remove(49)), number(records)).1,
            50,
            Break::Changed,
        ),
        (&|records| drop(records.pop()), 100, Break::Truncated),
    ];
    for (index, (attack, seq, what)) in attacks.into_iter().enumerate() {
        let mut records = good.clone();
        attack(&mut records);
        rewrite(&store, &records, ROW).await;
        assert_eq!(broken(&log).await, ChainBreak { seq, what }, "attack {index}");
    }
    for cut in [
        "UPDATE audit SET mac = substr(mac, 1, 100)",
        "UPDATE audit SET at = substr(at, 1, 8)",
        "UPDATE audit SET body = 'x'",
        "UPDATE audit SET packed = substr(packed, 1, 100)",
        "UPDATE audit SET packed = NULL",
        "UPDATE audit SET hash = x'', mac = x'', at = x'', body = ''",
    ] {
        rewrite(&store, &good, ROW).await;
        sql(&store, cut).await;
        let what = Break::Changed;
        assert_eq!(broken(&log).await, ChainBreak { seq: 1, what }, "{cut}");
    }
    rewrite(&store, &good, ROW).await;
    assert_eq!(log.verify().await.unwrap().count, 100);
}

#[tokio::test]
async fn al_02_a_restamped_tail_is_a_forgery() {
    let (_root, store, log) = written(100).await;
    spread(&store, &log).await;
    let before = log.after(48, 1).await.unwrap().remove(0);
    sql(&store, "DELETE FROM audit WHERE seq > 49").await;
    let known = Head {
        seq: before.seq,
        hash: before.hash,
    };
    let mut forged = Lines::default();
    for n in 49..100 {
        forged.push_body(at(1), &format!(r#"{{"action":"forged","n":{n}}}"#));
    }
    append(&store, &TestKeys("thief"), &known, forged.part(0..51))
        .await
        .unwrap();
    assert_eq!(
        broken(&log).await,
        ChainBreak {
            seq: 50,
            what: Break::Forged
        }
    );
    // With the old MACs on top of the new hashes.
    spread(&store, &log).await;
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
    spread(&store, &log).await;
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
    let mut filled = Lines::default();
    for _ in 60..100 {
        filled.push_body(at(1), "{}");
    }
    append(&store, &*keys(), &known, filled.part(0..40))
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
        assert_eq!(trail.record(&event(4)), Err(AuditUnavailable));
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
