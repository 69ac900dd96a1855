//! Codes, refresh tokens, revocation and sweeping.

use std::time::Duration;

use sallyport_core::{ClientId, TokenId};
use sallyport_oauth::model::{AuthorizationCode, RefreshToken, TakenCode};
use tokio::task::JoinSet;

use crate::testing::{at, grant, open, store};
use crate::{Rotation, Store};

fn code(byte: u8, id: &str) -> AuthorizationCode {
    AuthorizationCode {
        digest: [byte; 32],
        grant: grant(id, "ann").id,
        redirect_uri: "http://127.0.0.1:5/cb?x=1".into(),
        challenge: "challenge".into(),
        key: None,
        expires: at(70),
    }
}

fn refresh(byte: u8, id: &str) -> RefreshToken {
    RefreshToken {
        digest: [byte; 32],
        grant: grant(id, "ann").id,
        key: None,
        issued: at(20),
        expires: at(5000),
    }
}

async fn family(store: &Store, id: &str, first: u8) {
    store.insert_grant(&grant(id, "ann")).await.unwrap();
    store.begin_refresh_family(&refresh(first, id)).await.unwrap();
}

#[tokio::test]
async fn tk_01_a_code_is_fresh_once_and_replayed_ever_after() {
    let (_root, store) = store().await;
    store
        .insert_grant_with_code(&grant("1", "ann"), &code(1, "1"))
        .await
        .unwrap();
    assert_eq!(store.take_code(&[2; 32]).await.unwrap(), TakenCode::Unknown);
    let fresh = store.take_code(&[1; 32]).await.unwrap();
    assert_eq!(fresh, TakenCode::Fresh(code(1, "1"), grant("1", "ann")));
    for _ in 0..3 {
        let again = store.take_code(&[1; 32]).await.unwrap();
        assert_eq!(again, TakenCode::Replayed(grant("1", "ann").id));
    }
}

#[tokio::test]
async fn a_grant_and_its_code_are_kept_together_or_not_at_all() {
    let (_root, store) = store().await;
    store
        .insert_grant_with_code(&grant("1", "ann"), &code(1, "1"))
        .await
        .unwrap();
    assert!(
        store
            .insert_grant_with_code(&grant("2", "ann"), &code(1, "2"))
            .await
            .is_err()
    );
    assert_eq!(store.grant(&grant("2", "ann").id).await.unwrap(), None);
    assert_eq!(
        store.grants_of(&grant("1", "ann").user).await.unwrap(),
        [grant("1", "ann")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tk_02_of_many_takers_one_gets_the_code() {
    let (root, store) = store().await;
    let other = open(&root).await;
    for round in 0..10 {
        let id = format!("{round}");
        store
            .insert_grant_with_code(&grant(&id, "ann"), &code(round, &id))
            .await
            .unwrap();
        let mut takers = JoinSet::new();
        for n in 0..64 {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            takers.spawn(async move { store.take_code(&[round; 32]).await.unwrap() });
        }
        let taken = takers.join_all().await;
        let fresh = taken.iter().filter(|t| matches!(t, TakenCode::Fresh(..))).count();
        let replayed = taken
            .iter()
            .filter(|t| matches!(t, TakenCode::Replayed(_)))
            .count();
        assert_eq!((fresh, replayed), (1, 63));
    }
}

#[tokio::test]
async fn rf_01_a_rotated_token_knows_when_and_what_followed() {
    let (_root, store) = store().await;
    family(&store, "1", 1).await;
    let state = store.refresh_state(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(
        (state.token, state.rotated, state.grant),
        (refresh(1, "1"), None, grant("1", "ann"))
    );
    assert_eq!(store.refresh_state(&[9; 32]).await.unwrap(), None);
    let rotated = store
        .rotate_refresh(&[1; 32], &refresh(2, "1"), at(30))
        .await
        .unwrap();
    assert_eq!(rotated, Rotation::Rotated);
    let again = store
        .rotate_refresh(&[1; 32], &refresh(3, "1"), at(31))
        .await
        .unwrap();
    assert_eq!(again, Rotation::AlreadyRotated(at(30)));
    let state = store.refresh_state(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(state.rotated, Some((at(30), [2; 32])));
    assert_eq!(
        store.refresh_state(&[2; 32]).await.unwrap().unwrap().token,
        refresh(2, "1")
    );
    assert_eq!(
        store.refresh_state(&[3; 32]).await.unwrap(),
        None,
        "the second successor was never kept"
    );
    let unknown = store
        .rotate_refresh(&[9; 32], &refresh(4, "1"), at(32))
        .await
        .unwrap();
    assert_eq!(unknown, Rotation::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rf_02_of_many_parallel_rotations_one_wins_and_the_family_lives() {
    let (root, store) = store().await;
    let other = open(&root).await;
    family(&store, "1", 0).await;
    let mut current = [0u8; 32];
    for round in 1..=20u8 {
        let mut racers = JoinSet::new();
        for n in 0..64u8 {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            let successor = RefreshToken {
                digest: [[round, n]; 16].concat().try_into().unwrap(),
                ..refresh(0, "1")
            };
            racers.spawn(async move {
                let rotation = store.rotate_refresh(&current, &successor, at(100)).await.unwrap();
                (rotation, successor.digest)
            });
        }
        let outcomes = racers.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(r, _)| *r == Rotation::Rotated).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(
            outcomes
                .iter()
                .filter(|(r, _)| *r == Rotation::AlreadyRotated(at(100)))
                .count(),
            63
        );
        let state = store.refresh_state(&current).await.unwrap().unwrap();
        assert_eq!(state.rotated, Some((at(100), winners[0].1)));
        for (rotation, digest) in &outcomes {
            let kept = other.refresh_state(digest).await.unwrap().is_some();
            assert_eq!(
                kept,
                *rotation == Rotation::Rotated,
                "only the winner's successor exists"
            );
        }
        current = winners[0].1;
    }
}

#[tokio::test]
async fn rf_08_nothing_rotates_under_a_revoked_grant() {
    let (_root, store) = store().await;
    family(&store, "1", 1).await;
    assert!(store.revoke_grant(&grant("1", "ann").id, at(40)).await.unwrap());
    assert!(!store.revoke_grant(&grant("1", "ann").id, at(41)).await.unwrap());
    let gone = store
        .rotate_refresh(&[1; 32], &refresh(2, "1"), at(42))
        .await
        .unwrap();
    assert_eq!(gone, Rotation::Gone);
    assert_eq!(
        store
            .refresh_state(&[1; 32])
            .await
            .unwrap()
            .unwrap()
            .grant
            .revoked,
        Some(at(40))
    );
    assert_eq!(store.refresh_state(&[2; 32]).await.unwrap(), None);
}

#[tokio::test]
async fn jw_17_revocations_outlive_the_process() {
    let (root, store) = store().await;
    store.insert_grant(&grant("1", "ann")).await.unwrap();
    store.insert_grant(&grant("2", "ann")).await.unwrap();
    store.revoke_grant(&grant("1", "ann").id, at(40)).await.unwrap();
    store.close().await;
    let again = open(&root).await;
    assert_eq!(
        again.revoked_since(at(40)).await.unwrap(),
        [(grant("1", "ann").id, at(40))]
    );
    assert_eq!(again.revoked_since(at(41)).await.unwrap(), []);
}

#[tokio::test]
async fn sweeping_takes_what_has_ended_and_nothing_else() {
    const DAY: i64 = 24 * 3600;
    let (_root, store) = store().await;
    store
        .insert_grant_with_code(&grant("1", "ann"), &code(1, "1"))
        .await
        .unwrap();
    store.begin_refresh_family(&refresh(2, "1")).await.unwrap();
    assert_eq!(store.sweep(at(70 + DAY - 1)).await.unwrap(), 0);
    assert_eq!(
        store.sweep(at(70 + DAY)).await.unwrap(),
        1,
        "the code, a day after its end"
    );
    assert_eq!(store.sweep(at(5000 + DAY)).await.unwrap(), 1, "the refresh token");
    assert_eq!(store.sweep(at(10_000 + 30 * DAY - 1)).await.unwrap(), 0);
    assert_eq!(
        store.sweep(at(10_000 + 30 * DAY)).await.unwrap(),
        1,
        "the grant, after a month"
    );
    assert_eq!(store.grant(&grant("1", "ann").id).await.unwrap(), None);
}

#[tokio::test]
async fn jw_17_revoked_tokens_are_known_to_whoever_opens_the_store_until_they_end() {
    let (root, store) = store().await;
    let (one, two) = (TokenId::new("one"), TokenId::new("two"));
    for _ in 0..2 {
        store.revoke_token(&one, at(100)).await.unwrap();
    }
    store.revoke_token(&two, at(200)).await.unwrap();
    let other = open(&root).await;
    let known = other.revoked_tokens(at(99)).await.unwrap();
    assert_eq!(known, [(one, at(100)), (two.clone(), at(200))]);
    assert_eq!(other.revoked_tokens(at(100)).await.unwrap(), [(two, at(200))]);
    assert_eq!(store.sweep(at(100)).await.unwrap(), 1);
    assert_eq!(store.sweep(at(199)).await.unwrap(), 0);
}

#[tokio::test]
async fn rv_04_with_a_token_ends_what_was_exchanged_for_it_and_for_that() {
    let (_root, store) = store().await;
    let client = ClientId::new("agent");
    let id = TokenId::new;
    for (token, origin, end) in [
        ("b", "a", 100),
        ("c", "b", 90),
        ("other", "x", 80),
        ("d", "c", 70),
    ] {
        let (token, origin) = (id(token), id(origin));
        let kept = store.keep_exchanged((&token, &client), &origin, at(end));
        kept.await.unwrap();
    }
    let mut ended = store.revoke_token(&id("b"), at(100)).await.unwrap();
    ended.sort_by_key(|(_, end)| *end);
    assert_eq!(ended, [(id("d"), at(70)), (id("c"), at(90)), (id("b"), at(100))]);
    assert_eq!(store.revoked_tokens(at(0)).await.unwrap().len(), 3);
    assert_eq!(store.revoke_token(&id("x"), at(5)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_statement_counts_once_for_its_client_whoever_asks() {
    let (root, store) = store().await;
    let other = open(&root).await;
    let (a, b) = (ClientId::new("a"), ClientId::new("b"));
    assert!(store.use_assertion(&a, &[1; 32], at(100)).await.unwrap());
    assert!(!other.use_assertion(&a, &[1; 32], at(100)).await.unwrap());
    assert!(other.use_assertion(&b, &[1; 32], at(100)).await.unwrap());
    assert!(store.use_assertion(&a, &[2; 32], at(200)).await.unwrap());
    assert_eq!(store.sweep(at(100)).await.unwrap(), 2);
    assert!(!other.use_assertion(&a, &[2; 32], at(200)).await.unwrap());
}

#[tokio::test]
async fn api_keys_are_good_as_long_as_their_grants() {
    let (_root, store) = store().await;
    let (one, two) = (grant("1", "ann"), grant("2", "ann"));
    store.insert_api_key(&one, &[1; 32], None).await.unwrap();
    store.insert_grant(&grant("3", "ann")).await.unwrap();
    let good = async |at| {
        let keys = store.api_keys(at).await.unwrap();
        let mut ids: Vec<_> = keys
            .iter()
            .map(|(digest, grant)| (digest[0], grant.id.to_string()))
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(good(one.created).await, [(1, "1".to_owned())]);
    assert!(good(one.expires).await.is_empty());
    // Another takes its place, a little later.
    let later = one.created.plus(Duration::from_secs(10));
    store
        .insert_api_key(&two, &[2; 32], Some((&one.id, later)))
        .await
        .unwrap();
    assert_eq!(good(one.created).await.len(), 2);
    assert_eq!(good(later).await, [(2, "2".to_owned())]);
    // It never lives longer for that.
    let (third, never) = (grant("4", "ann"), at(i64::MAX / 2000));
    let again = store.insert_api_key(&third, &[4; 32], Some((&two.id, never)));
    again.await.unwrap();
    assert!(!good(two.expires).await.contains(&(2, "2".to_owned())));
    let living = store.living_grants(one.created).await.unwrap();
    let keys = living.iter().filter(|(_, is_key)| *is_key).count();
    assert_eq!((living.len(), keys), (4, 3));
    store.revoke_grant(&two.id, later).await.unwrap();
    assert!(!good(one.created).await.contains(&(2, "2".to_owned())));
}
