//! Which sessions may be used.

use std::time::Duration;

use sallyport_core::session::{KeepSessions as _, KnownSession, SessionChanges};
use sallyport_core::{PrincipalKey, Timestamp};

use crate::testing::store;

fn session(nonce: u8, used: i64) -> KnownSession {
    KnownSession {
        owner: PrincipalKey::gateway(),
        nonce: [nonce; 16],
        created: Timestamp::from_secs(100),
        used: Timestamp::from_secs(used),
    }
}

fn changes(used: Vec<KnownSession>, complete_to: i64) -> SessionChanges {
    SessionChanges {
        complete_to: Timestamp::from_secs(complete_to),
        used,
        gone: Vec::new(),
    }
}

#[tokio::test]
async fn sessions_are_kept_with_their_last_use_until_they_go() {
    let (_root, store) = store().await;
    assert_eq!(store.known_sessions().await.unwrap().complete_to, None);
    let kept = vec![session(1, 100), session(2, 100)];
    store.keep(changes(kept, 110)).await.unwrap();
    let mut next = changes(vec![session(1, 120)], 130);
    next.gone = vec![(PrincipalKey::gateway(), [2; 16])];
    store.keep(next).await.unwrap();
    let known = store.known_sessions().await.unwrap();
    assert_eq!(known.complete_to, Some(Timestamp::from_secs(130)));
    assert_eq!(known.live, [session(1, 120)]);
    store.keep(changes(Vec::new(), 90)).await.unwrap();
    let known = store.known_sessions().await.unwrap();
    assert_eq!(
        known.complete_to,
        Some(Timestamp::from_secs(130)),
        "it never goes back"
    );
}

#[tokio::test]
async fn p_73_a_session_that_was_ended_is_not_brought_back_by_a_late_write() {
    let (_root, store) = store().await;
    store.keep(changes(vec![session(1, 100)], 110)).await.unwrap();
    store.end(session(1, 120)).await.unwrap();
    store.end(session(2, 120)).await.unwrap();
    store
        .keep(changes(vec![session(1, 119), session(2, 119)], 121))
        .await
        .unwrap();
    let known = store.known_sessions().await.unwrap();
    assert_eq!(known.live, []);
    assert_eq!(known.ended, [[1; 16], [2; 16]]);
    let later = Timestamp::from_secs(120).plus(Duration::from_secs(600));
    for (complete_to, ended) in [(later.minus(Duration::from_millis(1)), 2), (later, 0)] {
        let done = SessionChanges {
            complete_to,
            ..SessionChanges::default()
        };
        store.keep(done).await.unwrap();
        assert_eq!(store.known_sessions().await.unwrap().ended.len(), ended);
    }
}
