//! Recording, refusing, healing, following, exporting.

use super::*;

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
    assert_eq!(trail.record(&event(0)), Err(AuditUnavailable));
    assert_eq!(trail.record_durably(event(0)).await, Err(AuditUnavailable));
    assert_eq!(log.verify().await.unwrap().count, 2501);
}

#[tokio::test]
async fn how_records_are_spread_over_rows_shows_nowhere() {
    let (_root, store, log) = written(2 * ROW + 3).await;
    let all = log.after(0, u32::MAX).await.unwrap();
    assert_eq!(all.len(), 2 * ROW + 3);
    for (in_a_row, together) in [
        (1, 1),
        (7, 7),
        (7, 1),
        (ROW, ROW),
        (ROW, 1),
        (all.len(), all.len()),
    ] {
        let all = signed(all.clone(), together);
        rewrite(&store, &all, in_a_row).await;
        assert_eq!(log.verify().await.unwrap().count, all.len() as u64);
        assert_eq!(log.after(0, u32::MAX).await.unwrap(), all);
        assert_eq!(log.after(5, 4).await.unwrap(), all[5..9]);
        assert_eq!(log.tail(9).await.unwrap(), all[all.len() - 9..]);
        assert_eq!(log.tail(u32::MAX).await.unwrap(), all);
        let mut export = Vec::new();
        assert_eq!(log.export(&mut export).await.unwrap(), all.len() as u64);
        // A trail that goes on finds the last record it has seen, wherever it stands.
        let trail = trail(&store).await.unwrap();
        trail.shutdown().await;
    }
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
    assert_eq!(trail.record(&event(2)), Err(AuditUnavailable));
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
                    trail.record(&event(n)).unwrap();
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
        trail.record(&event(n)).unwrap();
    }
    assert_eq!(trail.record(&event(0)), Err(AuditUnavailable));
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
