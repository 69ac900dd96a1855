//! Which sessions may be used.

use std::time::Duration;

use sallyport_core::session::{Fate, KeepSessions as _, KnownSession, SessionChanges};
use sallyport_core::{PrincipalKey, Timestamp};

use crate::Store;
use crate::testing::store;

const IDLE: Duration = Duration::from_secs(1000);

fn session(nonce: u8, used: i64) -> KnownSession {
    KnownSession {
        owner: PrincipalKey::gateway(),
        nonce: [nonce; 16],
        created: Timestamp::from_secs(100),
        used: Timestamp::from_secs(used),
        wishes: None,
    }
}

fn changes(used: Vec<KnownSession>, now: i64) -> SessionChanges {
    SessionChanges {
        now: Timestamp::from_secs(now),
        used,
        gone: Vec::new(),
        at_servers: Vec::new(),
        ended_at_servers: Vec::new(),
        idle: IDLE,
        per_principal: 3,
    }
}

async fn fate(store: &Store, nonce: u8) -> Fate {
    let owner = PrincipalKey::gateway();
    store.fate(&owner, [nonce; 16]).await.expect("an answer")
}

fn used(time: i64) -> Fate {
    Fate::Used {
        used: Timestamp::from_secs(time),
        wishes: None,
    }
}

#[tokio::test]
async fn sessions_are_kept_with_their_last_use_until_they_go() {
    let (_root, store) = store().await;
    assert_eq!(fate(&store, 1).await, Fate::Unknown);
    let kept = vec![session(1, 100), session(2, 100)];
    store.keep(changes(kept, 110)).await.unwrap();
    let mut next = changes(vec![session(1, 120)], 130);
    next.gone = vec![(PrincipalKey::gateway(), [2; 16])];
    store.keep(next).await.unwrap();
    assert_eq!(fate(&store, 1).await, used(120));
    assert_eq!(fate(&store, 2).await, Fate::Unknown);
    // Another process has seen it used earlier.
    store.keep(changes(vec![session(1, 110)], 130)).await.unwrap();
    assert_eq!(fate(&store, 1).await, used(120), "it never goes back");
    for (now, kept) in [(1120, used(120)), (1121, Fate::Unknown)] {
        store.keep(changes(Vec::new(), now)).await.unwrap();
        assert_eq!(fate(&store, 1).await, kept, "idle at the limit and one past it");
    }
}

#[tokio::test]
async fn so_many_are_kept_of_a_principal_and_the_oldest_of_more_go() {
    let (_root, store) = store().await;
    let three = (1..=3).map(|n| session(n, 100 + i64::from(n))).collect();
    store.keep(changes(three, 110)).await.unwrap();
    assert_eq!(fate(&store, 1).await, used(101), "at the limit");
    store.end(session(9, 90)).await.unwrap();
    store.keep(changes(vec![session(4, 104)], 110)).await.unwrap();
    assert_eq!(fate(&store, 1).await, Fate::Unknown, "one past it");
    assert_eq!(fate(&store, 2).await, used(102));
    assert_eq!(fate(&store, 9).await, Fate::Ended, "it is none of them");
}

#[tokio::test]
async fn p_73_a_session_that_was_ended_is_not_brought_back_by_a_late_write() {
    let (_root, store) = store().await;
    store.keep(changes(vec![session(1, 100)], 110)).await.unwrap();
    store.end(session(1, 120)).await.unwrap();
    store.end(session(2, 121)).await.unwrap();
    store
        .keep(changes(vec![session(1, 119), session(2, 119)], 122))
        .await
        .unwrap();
    for nonce in [1, 2] {
        assert_eq!(fate(&store, nonce).await, Fate::Ended);
    }
    for (time, ended) in [(120, 2), (121, 1), (122, 0)] {
        let since = store.ended_since(Timestamp::from_secs(time)).await.unwrap();
        assert_eq!(since.len(), ended, "since {time}");
    }
    for (now, kept) in [(720, Fate::Ended), (721, Fate::Unknown)] {
        store.keep(changes(Vec::new(), now)).await.unwrap();
        assert_eq!(fate(&store, 1).await, kept);
    }
}

#[tokio::test]
async fn wishes_stand_until_there_are_others_and_go_with_the_session() {
    let (_root, store) = store().await;
    let wishing = |wishes: Option<&str>| KnownSession {
        wishes: wishes.map(str::to_owned),
        ..session(1, 100)
    };
    for (written, kept) in [
        (None, None),
        (Some("a"), Some("a")),
        (None, Some("a")),
        (Some("b"), Some("b")),
    ] {
        store.keep(changes(vec![wishing(written)], 110)).await.unwrap();
        let Fate::Used { wishes, .. } = fate(&store, 1).await else {
            panic!("it may be used");
        };
        assert_eq!(wishes.as_deref(), kept, "after {written:?}");
    }
    store.end(session(1, 120)).await.unwrap();
    store
        .keep(changes(vec![wishing(Some("late"))], 122))
        .await
        .unwrap();
    assert_eq!(fate(&store, 1).await, Fate::Ended);
}
