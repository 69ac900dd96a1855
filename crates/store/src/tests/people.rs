//! People of identity providers, and devices that wait.

use std::time::Duration;

use sallyport_core::{GrantId, UserId};
use sallyport_oauth::device::{Answer, DeviceRequest, INTERVAL, MAX_WAITING};
use sallyport_oauth::provider::Identity;
use tokio::task::JoinSet;

use crate::testing::{at, grant, open, store, user};
use crate::{CreateUserError, Departure, GroupsSet};

fn identity(subject: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity::new(("idp", "https://idp.test"), subject, Some("ada"), groups).unwrap()
}

fn departure(state: u8, expires: i64) -> Departure {
    Departure {
        state: [state; 32],
        browser: [9; 32],
        provider: "idp".into(),
        next: "/".into(),
        expires: at(expires),
    }
}

fn device(number: u8) -> DeviceRequest {
    let grant = grant("g", "ada");
    DeviceRequest {
        device: [number; 32],
        user_code: [number; 32],
        client: grant.client,
        resource: grant.resource,
        scopes: grant.scopes,
        expires: at(100),
        polled: None,
        interval: INTERVAL,
        answer: Answer::None,
    }
}

#[tokio::test]
async fn groups_are_those_of_local_people_and_go_with_them() {
    let (_root, store) = store().await;
    store.create_user(&user("Ada", false)).await.unwrap();
    store
        .create_user_of(&user("idp:bob", false), &identity("1", &["b"]), at(5))
        .await
        .unwrap();
    let set = async |name: &str, groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        store.set_groups(name, &groups).await.unwrap()
    };
    assert_eq!(set("ada", &["ops", "dev"]).await, GroupsSet::Done);
    assert_eq!(set("idp:bob", &["ops"]).await, GroupsSet::OfProvider);
    assert_eq!(set("nobody", &["ops"]).await, GroupsSet::NoUser);
    let all = store.groups().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1, ["ops", "dev"]);
    assert_eq!(set("ADA", &[]).await, GroupsSet::Done);
    assert!(store.groups().await.unwrap()[0].1.is_empty());
    store.remove_user("ada", at(6)).await.unwrap();
    assert!(store.groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_person_is_issuer_and_subject_and_has_the_name_alone() {
    let (_root, store) = store().await;
    let (ada, bob) = (user("idp:ada", false), user("idp:bob", false));
    store
        .create_user_of(&ada, &identity("1", &["b"]), at(5))
        .await
        .unwrap();
    assert_eq!(
        store.user_of("https://idp.test", "1").await.unwrap().unwrap().id,
        ada.id
    );
    assert!(store.user_of("https://other.test", "1").await.unwrap().is_none());
    // Another subject cannot have the name, nor another name the subject.
    let taken = store
        .create_user_of(&user("idp:ADA", false), &identity("2", &[]), at(5))
        .await;
    assert!(matches!(taken, Err(CreateUserError::NameTaken)));
    let taken = store.create_user_of(&bob, &identity("1", &[]), at(5)).await;
    assert!(matches!(taken, Err(CreateUserError::NameTaken)));
    assert!(store.user_by_name("idp:bob").await.unwrap().is_none());
    let before = *store.changes().borrow();
    let admin = user("idp:ada", true);
    store
        .renew_identity(&admin, &identity("1", &["c", "a"]), at(6))
        .await
        .unwrap();
    let all = store.identities().await.unwrap();
    assert_eq!(all, [(UserId::new("id of idp:ada"), identity("1", &["a", "c"]))]);
    assert!(store.user(&ada.id).await.unwrap().unwrap().admin);
    assert!(*store.changes().borrow() >= before);
    store.remove_user("idp:ada", at(7)).await.unwrap();
    assert!(store.identities().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn co_11_of_many_that_come_back_one_arrives() {
    let (root, store) = store().await;
    let other = open(&root).await;
    store.depart(&departure(1, 100)).await.unwrap();
    for (browser, provider) in [([8; 32], "idp"), ([9; 32], "other")] {
        assert_eq!(store.arrive(&[1; 32], &browser, provider).await.unwrap(), None);
    }
    let mut tries = JoinSet::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tries.spawn(async move { store.arrive(&[1; 32], &[9; 32], "idp").await.unwrap() });
    }
    let arrived: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
    assert_eq!(arrived, [departure(1, 100)]);
}

#[tokio::test]
async fn of_ten_thousand_log_ins_on_their_way_the_oldest_make_room() {
    let (_root, store) = store().await;
    store.depart(&departure(1, 50)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9998) \
         INSERT INTO departures SELECT randomblob(32), randomblob(32), 'idp', '/', 60000 FROM n",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    store.depart(&departure(2, 100)).await.unwrap();
    store.depart(&departure(3, 100)).await.unwrap();
    let arrives = async |state: u8| {
        store
            .arrive(&[state; 32], &[9; 32], "idp")
            .await
            .unwrap()
            .is_some()
    };
    assert_eq!(
        (arrives(1).await, arrives(2).await, arrives(3).await),
        (false, true, true)
    );
    store.sweep(at(60)).await.unwrap();
}

#[tokio::test]
async fn a_thousand_devices_wait_and_no_more() {
    let (_root, store) = store().await;
    let mut tx = store.begin().await.unwrap();
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
         INSERT INTO devices SELECT randomblob(32), randomblob(32), 'c', 'https://g.example/mcp', 'mcp', 100000, NULL, \
         5000, 'none', NULL FROM n",
        MAX_WAITING - 1
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(store.put_device(&device(1), at(10)).await.unwrap());
    assert!(!store.put_device(&device(2), at(10)).await.unwrap());
    // One that is answered, or over, makes room.
    assert!(store.answer_device(&[1; 32], None, at(11)).await.unwrap());
    assert!(store.put_device(&device(2), at(12)).await.unwrap());
    assert!(store.put_device(&device(3), at(100)).await.unwrap());
    assert!(
        !store.put_device(&device(3), at(100)).await.unwrap(),
        "a code is somebody's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_counts_once_and_is_taken_once() {
    let (root, store) = store().await;
    let other = open(&root).await;
    store.put_device(&device(1), at(10)).await.unwrap();
    assert!(
        !store
            .answer_device(&[1; 32], Some(&grant("late", "ada")), at(100))
            .await
            .unwrap()
    );
    assert!(store.grant(&GrantId::new("late")).await.unwrap().is_none());
    assert_eq!(store.take_device(&[1; 32]).await.unwrap(), None);
    assert!(
        store
            .answer_device(&[1; 32], Some(&grant("g", "ada")), at(99))
            .await
            .unwrap()
    );
    assert!(!store.answer_device(&[1; 32], None, at(99)).await.unwrap());
    store.device_polled(&[1; 32], at(99), INTERVAL * 2).await.unwrap();
    let mut tries = JoinSet::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tries.spawn(async move { store.take_device(&[1; 32]).await.unwrap() });
    }
    let taken: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [grant("g", "ada")]);
    let kept = store.device_by_user_code(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(kept.answer, Answer::Taken(GrantId::new("g")));
    assert_eq!(
        (kept.polled, kept.interval),
        (Some(at(99)), Duration::from_secs(10))
    );
    store.sweep(at(100 + 24 * 3600)).await.unwrap();
    assert!(store.device(&[1; 32]).await.unwrap().is_none());
}
