//! Sessions at servers.

use std::time::Duration;

use sallyport_core::session::{KeepSessions as _, KnownSession, ServerSession, SessionChanges};
use sallyport_core::{PrincipalKey, ServerName, Timestamp};

use crate::Store;
use crate::testing::store;

const IDLE: Duration = Duration::from_secs(1000);

fn known(nonce: u8) -> KnownSession {
    KnownSession {
        owner: PrincipalKey::gateway(),
        nonce: [nonce; 16],
        created: Timestamp::from_secs(100),
        used: Timestamp::from_secs(100 + i64::from(nonce)),
        wishes: None,
    }
}

fn at(nonce: u8, server: &str, sealed: &str) -> ServerSession {
    ServerSession {
        owner: PrincipalKey::gateway(),
        nonce: [nonce; 16],
        server: ServerName::parse(server).expect("a name"),
        sealed: sealed.to_owned(),
    }
}

fn nothing(now: i64) -> SessionChanges {
    SessionChanges {
        now: Timestamp::from_secs(now),
        used: Vec::new(),
        gone: Vec::new(),
        at_servers: Vec::new(),
        ended_at_servers: Vec::new(),
        idle: IDLE,
        per_principal: 3,
    }
}

/// Two sessions, each with one at `a` and one at `b`.
async fn two(store: &Store) {
    let changes = SessionChanges {
        used: vec![known(1), known(2)],
        at_servers: vec![
            at(1, "a", "1a"),
            at(1, "b", "1b"),
            at(2, "a", "2a"),
            at(2, "b", "2b"),
        ],
        ..nothing(110)
    };
    store.keep(changes).await.expect("written");
}

async fn kept(store: &Store, nonce: u8, server: &str) -> Option<String> {
    let (owner, server) = (
        PrincipalKey::gateway(),
        ServerName::parse(server).expect("a name"),
    );
    store
        .at_server(&owner, [nonce; 16], &server)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn each_is_kept_for_its_session_and_server_until_another_takes_its_place() {
    let (_root, store) = store().await;
    two(&store).await;
    assert_eq!(kept(&store, 1, "a").await.as_deref(), Some("1a"));
    assert_eq!(kept(&store, 2, "b").await.as_deref(), Some("2b"));
    assert_eq!(kept(&store, 1, "c").await, None);
    assert_eq!(kept(&store, 3, "a").await, None);
    let changes = SessionChanges {
        at_servers: vec![at(1, "a", "next")],
        ..nothing(111)
    };
    store.keep(changes).await.expect("written");
    assert_eq!(kept(&store, 1, "a").await.as_deref(), Some("next"));
    for (ended, left) in [("1a", Some("next")), ("next", None)] {
        let changes = SessionChanges {
            ended_at_servers: vec![at(1, "a", ended)],
            ..nothing(112)
        };
        store.keep(changes).await.expect("written");
        assert_eq!(
            kept(&store, 1, "a").await.as_deref(),
            left,
            "after the end of {ended}"
        );
    }
    assert_eq!(kept(&store, 1, "b").await.as_deref(), Some("1b"));
}

#[tokio::test]
async fn they_go_with_the_session_that_they_were_opened_for() {
    let (_root, store) = store().await;
    two(&store).await;
    store.end(known(1)).await.expect("ended");
    let late = SessionChanges {
        at_servers: vec![at(1, "a", "late"), at(9, "a", "never written")],
        ..nothing(120)
    };
    store.keep(late).await.expect("written");
    assert_eq!(kept(&store, 1, "a").await, None, "an ended session has none");
    assert_eq!(kept(&store, 9, "a").await, None, "nor one that is not known");
    assert_eq!(kept(&store, 2, "a").await.as_deref(), Some("2a"));
    store.keep(nothing(1103)).await.expect("written");
    assert_eq!(kept(&store, 2, "a").await, None, "given up with its session");
}
