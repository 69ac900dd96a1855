//! The bounds of logs and journals.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use sallyport_core::{Clock, PrincipalKey, Timestamp};

use super::log::Terms;
use super::{EventId, Journal, Log, Reader, StreamKind};
use crate::limits::{Account, Usage};
use crate::spec::ReplayLimits;
use crate::tests::support::{Counting, Hand};

struct Ground {
    clock: Arc<Hand>,
    account: Account,
    limits: ReplayLimits,
}

impl Ground {
    fn new(limits: ReplayLimits) -> Self {
        Self {
            clock: Arc::default(),
            account: Usage::new().account(&PrincipalKey::gateway()),
            limits,
        }
    }

    fn log(&self, kind: StreamKind, number: u64) -> Arc<Log> {
        Arc::new(Log::new(Terms {
            tag: "t".into(),
            kind,
            number,
            limits: self.limits,
            account: self.account.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
        }))
    }

    fn call(&self) -> Arc<Log> {
        self.log(StreamKind::Call, 1)
    }

    fn journal(&self) -> Journal {
        Journal::new(&Counting::default())
    }
}

/// A log on its own.
pub(crate) fn log(kind: StreamKind, number: u64, limits: ReplayLimits) -> Arc<Log> {
    Ground::new(limits).log(kind, number)
}

/// The data of the next event.
pub(crate) async fn data(reader: &mut Reader) -> Option<Bytes> {
    let frame = reader.next().await?;
    let text = std::str::from_utf8(&frame).expect("text");
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    Some(Bytes::copy_from_slice(data.expect("data").as_bytes()))
}

/// What a resumed reader still finds, without waiting.
async fn rest(log: &Arc<Log>, after: u64) -> Option<Vec<Bytes>> {
    let mut reader = log.read(after)?;
    let mut all = Vec::new();
    while let Ok(Some(next)) = tokio::time::timeout(Duration::from_millis(5), data(&mut reader)).await {
        all.push(next);
    }
    Some(all)
}

fn size(message: &str) -> usize {
    sallyport_mcp::sse::frame_with_id(message.as_bytes(), "t.p1.1").len()
}

#[tokio::test]
async fn p_77_events_are_numbered_and_replayed_after_the_last_seen() {
    let ground = Ground::new(ReplayLimits::default());
    let log = ground.call();
    for message in ["a", "b", "c"] {
        log.push(message.as_bytes());
    }
    log.finish();
    let mut reader = log.read(0).expect("a reader");
    let first = reader.next().await.expect("an event");
    assert_eq!(first, "id: t.p1.1\nevent: message\ndata: a\n\n");
    assert_eq!(log.priming(), "id: t.p1.0\nretry: 1000\ndata:\n\n");
    drop(reader);
    for (after, left) in [(0, &["a", "b", "c"][..]), (1, &["b", "c"]), (2, &["c"]), (3, &[])] {
        assert_eq!(
            rest(&log, after).await,
            Some(left.iter().copied().map(Bytes::from).collect())
        );
    }
    assert!(log.read(4).is_none(), "there was no such event");
}

#[tokio::test]
async fn p_77_events_that_were_written_together_are_read_together_and_resumed_one_by_one() {
    let ground = Ground::new(ReplayLimits::default());
    let log = ground.call();
    log.push(b"a");
    log.push_all(&["b", "c", "d"]);
    log.finish();
    let event = |number: u8, data| format!("id: t.p1.{number}\nevent: message\ndata: {data}\n\n");
    let (b, c, d) = (event(2, "b"), event(3, "c"), event(4, "d"));
    for (after, left) in [
        (0, vec![event(1, "a"), [&*b, &*c, &*d].concat()]),
        (1, vec![[&*b, &*c, &*d].concat()]),
        (2, vec![[&*c, &*d].concat()]),
        (3, vec![d.clone()]),
        (4, vec![]),
    ] {
        let mut reader = log.read(after).expect("a reader");
        for frames in left {
            assert_eq!(reader.next().await, Some(frames.into()), "after {after}");
        }
        assert_eq!(reader.next().await, None);
    }
}

#[test]
fn p_78_what_is_written_together_is_kept_one_by_one() {
    let ground = Ground::new(ReplayLimits {
        events: 3,
        ..ReplayLimits::default()
    });
    let log = ground.call();
    log.push_all(&["a", "b", "c"]);
    assert_eq!(ground.account.kept(), 3 * size("a"), "at the limit");
    log.push_all(&["d", "e"]);
    assert_eq!(
        ground.account.kept(),
        3 * size("a"),
        "past it the oldest makes room"
    );
    drop(log);
    assert_eq!(ground.account.kept(), 0);
}

#[test]
fn ss_06_no_more_is_written_together_than_is_kept() {
    let ground = Ground::new(ReplayLimits {
        events: 3,
        bytes: 10,
        ..ReplayLimits::default()
    });
    let log = ground.call();
    let messages =
        |lengths: &[usize]| -> Vec<Bytes> { lengths.iter().map(|n| vec![b'x'; *n].into()).collect() };
    for (lengths, together) in [
        (&[1, 1, 1, 1][..], (3, 3)),
        (&[5, 5, 1], (2, 10)),
        (&[5, 6, 1], (1, 5)),
        (&[20, 1], (1, 20)),
    ] {
        assert_eq!(log.together(&messages(lengths)), together, "{lengths:?}");
    }
}

#[tokio::test]
async fn p_78_events_kept_at_the_limit_and_one_past_it() {
    let ground = Ground::new(ReplayLimits {
        events: 3,
        ..ReplayLimits::default()
    });
    let log = ground.call();
    ["a", "b", "c"].iter().for_each(|m| log.push(m.as_bytes()));
    assert_eq!(rest(&log, 0).await.map(|all| all.len()), Some(3), "at the limit");
    log.push(b"end");
    log.finish();
    let left = rest(&log, 0).await.expect("kept");
    assert_eq!(
        left,
        ["b", "c", "end"],
        "past it the oldest makes room, never the response"
    );
}

#[tokio::test]
async fn p_78_bytes_kept_at_the_limit_and_one_past_it() {
    let ground = Ground::new(ReplayLimits {
        bytes: 2 * size("a"),
        ..ReplayLimits::default()
    });
    let log = ground.call();
    log.push(b"a");
    log.push(b"b");
    assert_eq!(rest(&log, 0).await.map(|all| all.len()), Some(2), "at the limit");
    log.push(&[b'x'; 1000]);
    log.finish();
    assert_eq!(
        rest(&log, 0).await.map(|all| all.len()),
        Some(1),
        "one larger message is kept alone"
    );
    assert_eq!(ground.account.kept(), size("x") + 999);
    drop(log);
    assert_eq!(ground.account.kept(), 0, "nothing is left of a dropped log");
}

#[tokio::test]
async fn a_principals_bytes_at_the_limit_and_one_past_it() {
    let ground = Ground::new(ReplayLimits {
        bytes_per_principal: 2 * size("a"),
        ..ReplayLimits::default()
    });
    let (one, two) = (ground.call(), ground.call());
    one.push(b"a");
    two.push(b"b");
    one.finish();
    assert_eq!(rest(&one, 0).await.map(|all| all.len()), Some(1), "at the limit");
    two.push(b"c");
    two.finish();
    assert_eq!(
        rest(&two, 0).await,
        Some(vec!["c".into()]),
        "past it the older goes"
    );
    let three = ground.call();
    three.push(b"large");
    three.finish();
    assert!(
        three.read(0).is_none(),
        "a response that is not kept is not waited for"
    );
    let read = ground.call();
    let mut reader = read.read(0).expect("a reader");
    read.push(b"large");
    assert_eq!(
        data(&mut reader).await,
        Some("large".into()),
        "what is read passes"
    );
    assert!(ground.account.kept() <= ground.limits.bytes_per_principal);
}

#[tokio::test]
async fn ss_06_the_writer_waits_for_a_slow_reader_but_not_for_none() {
    let ground = Ground::new(ReplayLimits {
        bytes: 3 * size("a"),
        ..ReplayLimits::default()
    });
    let log = ground.call();
    let mut reader = log.read(0).expect("a reader");
    log.push(b"a");
    log.push(b"b");
    let waits = |length| tokio::time::timeout(Duration::from_millis(5), log.room(1, length));
    assert!(waits(size("a")).await.is_ok(), "at the bound");
    assert!(waits(size("a") + 1).await.is_err(), "past it");
    let taken = async { data(&mut reader).await };
    let (room, event) = tokio::join!(log.room(1, size("a") + 1), taken);
    assert_eq!(((), Some(Bytes::from("a"))), (room, event));
    log.push(b"c");
    log.push(b"d");
    let gone = async { drop(reader) };
    tokio::join!(log.room(1, size("a")), gone);
    log.finish();
    assert_eq!(rest(&log, 0).await.map(|all| all.len()), Some(3));
}

#[tokio::test]
async fn ss_06_a_session_stream_that_is_not_read_ends_and_is_resumed() {
    let ground = Ground::new(ReplayLimits {
        bytes: 2 * size("a"),
        ..ReplayLimits::default()
    });
    let log = ground.log(StreamKind::Session, 1);
    assert!(!log.offer(b"a"), "nobody listens");
    let mut reader = log.read(0).expect("a reader");
    assert!(log.offer(b"a"));
    assert!(log.offer(&vec![b'b'; size("a")]), "at the bound");
    assert!(!log.offer(b"c"), "past it");
    assert_eq!(data(&mut reader).await, Some("a".into()));
    assert!(data(&mut reader).await.is_some());
    assert_eq!(data(&mut reader).await, None);
    drop(reader);
    let mut reader = log.read(2).expect("a reader");
    assert!(log.offer(b"d"));
    assert_eq!(data(&mut reader).await, Some("d".into()));
}

#[tokio::test]
async fn a_further_reader_takes_the_place_of_the_first() {
    let ground = Ground::new(ReplayLimits::default());
    let log = ground.call();
    let mut old = log.read(0).expect("a reader");
    let mut new = log.read(0).expect("a reader");
    log.push(b"a");
    assert_eq!(data(&mut old).await, None);
    drop(old);
    assert_eq!(data(&mut new).await, Some("a".into()));
    assert!(log.is_read());
}

fn find(journal: &Journal, ground: &Ground, log: &Log) -> bool {
    let priming = String::from_utf8(log.priming().to_vec()).expect("text");
    let id = priming
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .expect("an id");
    let id = EventId::parse(id).expect("an id");
    journal.find(&id, ground.clock.now(), &ground.limits).is_some()
}

#[test]
fn p_78_the_time_at_the_limit_and_one_past_it() {
    let ground = Ground::new(ReplayLimits::default());
    let journal = ground.journal();
    let log = journal.begin(
        StreamKind::Call,
        ground.limits,
        &ground.account,
        &(Arc::clone(&ground.clock) as _),
    );
    let keep = i64::try_from(ground.limits.keep.as_millis()).expect("a time");
    ground.clock.0.store(10 * keep, Ordering::Relaxed);
    assert!(find(&journal, &ground, &log), "a running call does not age");
    log.push(b"end");
    log.finish();
    ground.clock.0.store(11 * keep, Ordering::Relaxed);
    assert!(find(&journal, &ground, &log), "at the limit");
    ground.clock.0.store(11 * keep + 1, Ordering::Relaxed);
    assert!(!find(&journal, &ground, &log), "past it");
    assert_eq!(journal.len(), 0);
}

#[test]
fn streams_of_a_session_at_the_limit_and_one_past_it() {
    let ground = Ground::new(ReplayLimits {
        streams_per_session: 2,
        ..ReplayLimits::default()
    });
    let journal = ground.journal();
    let clock = Arc::clone(&ground.clock) as Arc<dyn Clock>;
    let logs: Vec<_> = (0..3)
        .map(|_| journal.begin(StreamKind::Call, ground.limits, &ground.account, &clock))
        .collect();
    assert_eq!(journal.len(), 3, "running ones are bounded elsewhere");
    for (log, left) in logs.iter().zip([3, 3, 2]) {
        log.finish();
        journal.tidy(Timestamp::from_millis(0), &ground.limits);
        assert_eq!(journal.len(), left);
    }
    assert!(
        !find(&journal, &ground, &logs[0]),
        "the longest idle one made room"
    );
    let other = ground.journal();
    let twin = other.begin(StreamKind::Session, ground.limits, &ground.account, &clock);
    assert!(!find(&other, &ground, &logs[1]), "p_77: another kind");
    assert!(find(&other, &ground, &twin));
}

#[test]
fn what_is_idle_makes_room_for_a_response() {
    let ground = Ground::new(ReplayLimits {
        bytes_per_principal: 2 * size("a"),
        ..ReplayLimits::default()
    });
    let journal = ground.journal();
    let clock = Arc::clone(&ground.clock) as Arc<dyn Clock>;
    let begin = || journal.begin(StreamKind::Call, ground.limits, &ground.account, &clock);
    let old = begin();
    old.push(b"a");
    old.finish();
    let kept = ground.account.kept();
    drop(old);
    let room = ground.limits.bytes_per_principal - kept;
    journal.make_room(room, &ground.account, &ground.limits);
    assert_eq!(journal.len(), 1, "at the limit");
    journal.make_room(room + 1, &ground.account, &ground.limits);
    assert_eq!((journal.len(), ground.account.kept()), (0, 0), "past it");
}
