//! AL-01 and AL-02 where one MAC vouches for a row: whoever has no key gains nothing by what the row's records share.

use super::*;

/// Three rows of so many.
const ROWS: usize = 100;

async fn three_rows() -> (TempDir, Store, AuditLog, Vec<Record>) {
    let (root, store, log) = written(3 * ROWS).await;
    let good = signed(log.after(0, u32::MAX).await.unwrap(), ROWS);
    rewrite(&store, &good, ROWS).await;
    assert_eq!(log.verify().await.unwrap().count, good.len() as u64);
    (root, store, log, good)
}

#[tokio::test]
async fn al_01_what_a_mac_vouches_for_cannot_be_chosen_anew() {
    let (_root, store, log, good) = three_rows().await;
    let macs = |records: &mut [Record], of: &[usize]| {
        for (index, record) in records.iter_mut().enumerate() {
            record.mac = record.mac.filter(|_| of.contains(&index));
        }
    };
    let each = signed(good.clone(), 1);
    type Attack<'a> = (&'a dyn Fn(&mut Vec<Record>), usize, u64, Break);
    let attacks: [Attack<'_>; 10] = [
        // Changed, and not computed anew.
        (&|all| all[149].body.push(' '), ROWS, 150, Break::Changed),
        (&|all| all[199].mac = Some([0; 32]), ROWS, 101, Break::Forged),
        (&|all| all[199].mac = all[99].mac, ROWS, 101, Break::Forged),
        (&|all| all[199].mac = None, ROWS, 101, Break::Changed),
        (&|all| all[299].mac = None, ROWS, 201, Break::Changed),
        // Rows put together, so that the MACs of all but the last are gone.
        (&|all| macs(all, &[199, 299]), 2 * ROWS, 1, Break::Forged),
        (&|all| macs(all, &[299]), 3 * ROWS, 1, Break::Forged),
        // A row divided: the first half has no MAC, or none of its own.
        (&|_| (), ROWS / 2, 1, Break::Changed),
        (&|all| all[49].mac = all[99].mac, ROWS / 2, 1, Break::Forged),
        // One for each, and all but the last taken away.
        (
            &|all| (all.clone_from(&each), macs(all, &[99, 199, 299])).1,
            ROWS,
            1,
            Break::Forged,
        ),
    ];
    for (index, (attack, in_a_row, seq, what)) in attacks.into_iter().enumerate() {
        let mut records = good.clone();
        attack(&mut records);
        rewrite(&store, &records, in_a_row).await;
        assert_eq!(broken(&log).await, ChainBreak { seq, what }, "attack {index}");
    }
    for cut in [
        "UPDATE audit SET mac = x'' WHERE seq = 200",
        "UPDATE audit SET mac = zeroblob(31) WHERE seq = 200",
        "UPDATE audit SET mac = zeroblob(64) WHERE seq = 200",
        "UPDATE audit SET mac = zeroblob(33) WHERE seq = 200",
        "UPDATE audit SET mac = zeroblob(32 * 99) WHERE seq = 200",
        "UPDATE audit SET mac = zeroblob(32 * 101) WHERE seq = 200",
    ] {
        rewrite(&store, &good, ROWS).await;
        sql(&store, cut).await;
        let (seq, what) = (101, Break::Changed);
        assert_eq!(broken(&log).await, ChainBreak { seq, what }, "{cut}");
    }
    rewrite(&store, &good, ROWS).await;
    sql(
        &store,
        "UPDATE audit SET mac = zeroblob(32 * 100) WHERE seq = 200",
    )
    .await;
    let (seq, what) = (101, Break::Forged);
    assert_eq!(broken(&log).await, ChainBreak { seq, what });
}

#[tokio::test]
async fn al_02_records_computed_anew_within_a_row_are_a_forgery() {
    let (_root, store, log, good) = three_rows().await;
    type Attack<'a> = &'a dyn Fn(&mut Vec<Record>);
    let attacks: [Attack<'_>; 4] = [
        &|all| all[149].body = r#"{"action":"forged"}"#.to_owned(),
        &|all| all.swap(149, 150),
        &|all| drop(all.remove(149)),
        &|all| {
            all.insert(
                149,
                Record {
                    mac: None,
                    ..all[149].clone()
                },
            )
        },
    ];
    for (index, attack) in attacks.into_iter().enumerate() {
        // To the end of the row, and to that of the trail.
        let mut row = good.clone();
        attack(&mut row);
        let end = row
            .iter()
            .rposition(|record| record.mac == good[199].mac)
            .unwrap()
            + 1;
        restamp(&mut row[..end], 149);
        let mut rest = row.clone();
        restamp(&mut rest, 149);
        for records in [row, rest] {
            let (before, rest) = records.split_at(100);
            let (changed, after) = rest.split_at(end - 100);
            let rows = [before, changed, after];
            rewrite_rows(&store, rows.into_iter()).await;
            let (seq, what) = (101, Break::Forged);
            assert_eq!(broken(&log).await, ChainBreak { seq, what }, "attack {index}");
        }
    }
}

#[tokio::test]
async fn records_with_a_mac_each_are_followed_by_rows_with_one() {
    let (_root, store, log) = written(200).await;
    let mut records = signed(log.after(0, u32::MAX).await.unwrap(), 1);
    rewrite(&store, &records, 70).await;
    assert_eq!(log.after(0, u32::MAX).await.unwrap(), records);
    let trail = trail(&store).await.unwrap();
    for n in 0..ROWS {
        trail.record(&event(n)).unwrap();
    }
    trail.shutdown().await;
    assert_eq!(log.verify().await.unwrap().count, 300);
    let all = log.after(0, u32::MAX).await.unwrap();
    assert_eq!(all[..200], records);
    assert!(all[200..299].iter().all(|record| record.mac.is_none()) && all[299].mac.is_some());
    // One of the old ones, computed anew with all that follow.
    records = all;
    records[149].body.push(' ');
    restamp(&mut records, 149);
    let (old, new) = records.split_at(200);
    rewrite_rows(&store, [old, new].into_iter()).await;
    let (seq, what) = (150, Break::Forged);
    assert_eq!(broken(&log).await, ChainBreak { seq, what });
}

#[tokio::test]
async fn al_02_an_export_that_ends_within_a_row_is_vouched_for_by_nobody() {
    let (_root, store, log, good) = three_rows().await;
    let mut export = Vec::new();
    assert_eq!(log.export(&mut export).await.unwrap(), 300);
    let text = String::from_utf8(export).unwrap();
    assert_eq!(
        text.matches("\"mac\"").count(),
        1 + 3,
        "the checkpoint and three records"
    );
    let keys = keys();
    let whole = verify_export(text.as_bytes(), Some(&*keys)).unwrap();
    assert_eq!(whole, log.verify().await.unwrap());
    assert_eq!(verify_export(text.as_bytes(), None).unwrap(), whole);

    let mut lines: Vec<&str> = text.lines().collect();
    let found = |lines: &[&str], keys: Option<&dyn DeriveKeyed>| match verify_export(
        lines.join("\n").as_bytes(),
        keys,
    ) {
        Err(ExportError::Broken(found)) => (found.seq, found.what),
        other => panic!("{other:?}"),
    };
    // The first line is the checkpoint.
    assert_eq!(found(&lines[..=299], Some(&*keys)), (201, Break::Forged));
    assert_eq!(found(&lines[..=299], None), (300, Break::Truncated));
    assert_eq!(found(&lines[..=200], Some(&*keys)), (201, Break::Truncated));
    let unsigned = lines[200].replace(
        &format!(",\"mac\":\"{}\"", hex::encode(&good[199].mac.unwrap())),
        "",
    );
    assert!(!unsigned.contains("mac"));
    let null = lines[200].replace(&format!("\"{}\"", hex::encode(&good[199].mac.unwrap())), "null");
    lines[200] = &unsigned;
    assert_eq!(found(&lines, Some(&*keys)), (101, Break::Forged));
    lines[200] = &null;
    let refused = verify_export(lines.join("\n").as_bytes(), None);
    assert!(matches!(refused, Err(ExportError::Line { line: 201 })));

    // A checkpoint of an earlier time, and a cut within a row after it.
    let (mut early, mut known) = (Vec::new(), Head::NONE);
    known.clone_from(&head(&good[199]));
    export::write_checkpoint(&mut early, &checkpoint::Checkpoint::new(&known, &*keys)).unwrap();
    for record in &good[..250] {
        export::write_record(&mut early, record).unwrap();
    }
    assert_eq!(verify_export(early.as_slice(), None).unwrap().count, 250);
    let refused = verify_export(early.as_slice(), Some(&*keys));
    let (seq, what) = (201, Break::Forged);
    assert!(matches!(refused, Err(ExportError::Broken(found)) if found == ChainBreak { seq, what }));

    // One MAC for each, as older exports have it.
    rewrite(&store, &signed(good, 1), ROWS).await;
    let mut each = Vec::new();
    log.export(&mut each).await.unwrap();
    let text = String::from_utf8(each).unwrap();
    assert_eq!(text.matches("\"mac\"").count(), 1 + 300);
    assert_eq!(verify_export(text.as_bytes(), Some(&*keys)).unwrap(), whole);
}
