//! Accounts at servers.

use sallyport_core::{ServerName, UserId};

use crate::testing::{at, open, store, user};
use crate::{AccountDeparture, Renewed, ServerClient, StoredAccount};

pub(super) fn account(id: &str, owner: Option<&str>, name: &str) -> StoredAccount {
    StoredAccount {
        id: id.to_owned(),
        server: ServerName::parse("docs").unwrap(),
        owner: owner.map(|name| UserId::new(format!("id of {name}"))),
        name: name.to_owned(),
        issuer: "https://as.test".to_owned(),
        resource: "https://docs.test/mcp".to_owned(),
        client: "c".to_owned(),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        missing: Vec::new(),
        problem: None,
        in_use: true,
        due: at(100),
        sealed: vec![1, 2, 3],
        version: 1,
        created: at(id.len().try_into().unwrap()),
    }
}

#[tokio::test]
async fn accounts_are_kept_used_spoiled_and_removed() {
    let (root, store) = store().await;
    let ada = UserId::new("id of ada");
    let docs = ServerName::parse("docs").unwrap();
    let first = account("1", Some("ada"), "work");
    store.put_account(&first, at(1)).await.unwrap();
    assert_eq!(store.account("1").await.unwrap(), Some(first.clone()));
    store
        .put_account(&account("22", Some("ada"), "home"), at(2))
        .await
        .unwrap();
    store
        .put_account(&account("333", None, "all"), at(3))
        .await
        .unwrap();
    let used = async || -> Vec<String> {
        let all = store.accounts().await.unwrap();
        all.into_iter().filter(|a| a.in_use).map(|a| a.id).collect()
    };
    assert_eq!(used().await, ["22", "333"], "one of each owner");
    assert!(store.use_account("1", Some(&ada)).await.unwrap());
    assert_eq!(used().await, ["1", "333"]);
    for (id, owner) in [("1", None), ("333", Some(&ada)), ("9", Some(&ada))] {
        assert!(
            !store.use_account(id, owner).await.unwrap(),
            "somebody else's, or nobody's"
        );
        assert!(!store.remove_account(id, owner).await.unwrap());
    }
    assert!(
        store
            .spoil_account(("1", 1), "over", &["c".to_owned()])
            .await
            .unwrap()
    );
    let spoiled = open(&root).await.account("1").await.unwrap().unwrap();
    assert_eq!(
        (spoiled.problem.as_deref(), spoiled.missing),
        (Some("over"), vec!["c".to_owned()])
    );
    let again = StoredAccount { version: 2, ..first };
    store.put_account(&again, at(4)).await.unwrap();
    assert_eq!(store.account("1").await.unwrap(), Some(again), "logged in again");
    assert!(store.remove_account("1", Some(&ada)).await.unwrap());
    assert_eq!(used().await, ["22", "333"], "the other one takes its place");
    assert_eq!(store.accounts_at(&docs, Some(&ada)).await.unwrap().len(), 1);
    assert_eq!(store.accounts_at(&docs, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_two_that_renew_an_account_one_does() {
    let (_root, store) = store().await;
    store
        .put_account(&account("1", Some("ada"), "work"), at(1))
        .await
        .unwrap();
    let renewed = Renewed {
        sealed: vec![9],
        scopes: vec!["a".to_owned()],
        due: at(200),
    };
    assert!(store.renew_account(("1", 1), &renewed, at(2)).await.unwrap());
    assert!(!store.renew_account(("1", 1), &renewed, at(2)).await.unwrap());
    assert!(!store.spoil_account(("1", 1), "late", &[]).await.unwrap());
    let now = store.account("1").await.unwrap().unwrap();
    assert_eq!((now.version, now.sealed, now.problem), (2, vec![9], None));
}

#[tokio::test]
async fn accounts_end_with_their_person() {
    let (_root, store) = store().await;
    let ada = user("ada", true);
    store.create_user(&ada).await.unwrap();
    store.create_user(&user("eve", true)).await.unwrap();
    for (id, owner) in [("1", Some("ada")), ("22", Some("eve")), ("333", None)] {
        store
            .put_account(&account(id, owner, "work"), at(1))
            .await
            .unwrap();
    }
    store.remove_user("ada", at(5)).await.unwrap();
    let left: Vec<_> = store
        .accounts()
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.id)
        .collect();
    assert_eq!(left, ["22", "333"]);
}

#[tokio::test]
async fn clients_belong_to_their_issuer() {
    let (_root, store) = store().await;
    let client = ServerClient {
        id: "c".to_owned(),
        method: "none".to_owned(),
        sealed: Some(vec![7]),
        expires: Some(at(9)),
    };
    store
        .put_server_client(("https://a.test", "r"), &client)
        .await
        .unwrap();
    assert_eq!(
        store.server_client("https://a.test", "r").await.unwrap(),
        Some(client)
    );
    for (issuer, redirect) in [
        ("https://b.test", "r"),
        ("https://a.test/", "r"),
        ("https://a.test", "s"),
    ] {
        assert_eq!(store.server_client(issuer, redirect).await.unwrap(), None);
    }
    store
        .forget_server_client("https://a.test", "another")
        .await
        .unwrap();
    assert!(
        store
            .server_client("https://a.test", "r")
            .await
            .unwrap()
            .is_some()
    );
    store.forget_server_client("https://a.test", "c").await.unwrap();
    assert!(
        store
            .server_client("https://a.test", "r")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_log_in_at_a_server_comes_back_once_to_whoever_began_it() {
    let (_root, store) = store().await;
    let ada = user("ada", true);
    store.create_user(&ada).await.unwrap();
    let departure = |n: u8| AccountDeparture {
        state: [n; 32],
        browser: [2; 32],
        user: ada.id.clone(),
        plan: "{}".to_owned(),
        expires: at(100 + i64::from(n)),
    };
    let first = departure(1);
    store.depart_for_account(&first).await.unwrap();
    let eve = UserId::new("id of eve");
    for (state, browser, user) in [
        ([3; 32], [2; 32], &ada.id),
        ([1; 32], [3; 32], &ada.id),
        ([1; 32], [2; 32], &eve),
    ] {
        assert_eq!(
            store.arrive_for_account(&state, &browser, user).await.unwrap(),
            None
        );
    }
    assert_eq!(
        store
            .arrive_for_account(&[1; 32], &[2; 32], &ada.id)
            .await
            .unwrap(),
        Some(first)
    );
    assert_eq!(
        store
            .arrive_for_account(&[1; 32], &[2; 32], &ada.id)
            .await
            .unwrap(),
        None
    );
    for n in 0..=50 {
        store.depart_for_account(&departure(n)).await.unwrap();
    }
    assert_eq!(
        store
            .arrive_for_account(&[0; 32], &[2; 32], &ada.id)
            .await
            .unwrap(),
        None,
        "51: the oldest is given up"
    );
    assert!(
        store
            .arrive_for_account(&[1; 32], &[2; 32], &ada.id)
            .await
            .unwrap()
            .is_some()
    );
    store.sweep(at(1000)).await.unwrap();
    assert_eq!(
        store
            .arrive_for_account(&[9; 32], &[2; 32], &ada.id)
            .await
            .unwrap(),
        None
    );
}
