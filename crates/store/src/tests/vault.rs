//! Which master keys may seal, and how sealed values come under another one.

use std::time::Duration;

use sallyport_core::ServerName;

use crate::testing::{at, open, store};
use crate::{
    KeyId, Origin, Resealed, Sealed, SealedRecord, ServerClient, Store, StoreError, StoredKey, place,
};

const A: KeyId = [0xa; 8];
const B: KeyId = [0xb; 8];

/// What has the form of a value that is sealed under a key.
fn under(key: KeyId, text: &str) -> Vec<u8> {
    [&[1], key.as_slice(), text.as_bytes()].concat()
}

fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

fn signing_key(key: KeyId) -> StoredKey {
    StoredKey {
        kid: "kid".to_owned(),
        alg: "ES256".to_owned(),
        sealed: under(key, "s"),
        created: at(1),
        signs: None,
        retired: None,
        longest: Duration::from_secs(1),
        until: at(0),
    }
}

fn client(sealed: Option<Vec<u8>>) -> ServerClient {
    ServerClient {
        id: "c".to_owned(),
        method: "none".to_owned(),
        sealed,
        expires: None,
    }
}

/// A store with a value in every place, all under `A`.
async fn filled(store: &Store) {
    store.admit_key(A, &[A]).await.unwrap();
    store.put_vault_root(&under(A, "root")).await.unwrap();
    store.put_vault_root(&under(A, "another")).await.unwrap();
    store.put_server(&name("docs"), &under(A, "1")).await.unwrap();
    store.put_server(&name("more"), &under(A, "2")).await.unwrap();
    store.insert_next_signing_key(&signing_key(A)).await.unwrap();
    let kept = client(Some(under(A, "secret")));
    store
        .put_server_client(("https://as.test", "https://g/r"), &kept)
        .await
        .unwrap();
    // A public client has none.
    store
        .put_server_client(("https://as2.test", "https://g/r"), &client(None))
        .await
        .unwrap();
    let account = super::server_accounts::account("1", None, "work");
    let account = crate::StoredAccount {
        sealed: under(A, "tokens"),
        ..account
    };
    store.put_account(&account, at(1)).await.unwrap();
}

/// Seals everything anew, one value at a time; the places in their order.
async fn reseal_all(store: &Store, from: KeyId, to: KeyId) -> Vec<String> {
    let mut places = Vec::new();
    for place in Sealed::ALL {
        let mut row = String::new();
        loop {
            let found = store.sealed_otherwise(place, to, &row, 1).await.unwrap();
            let [before] = found.as_slice() else { break };
            assert!(before.sealed.starts_with(&under(from, "")), "{before:?}");
            row.clone_from(&before.row);
            places.push(before.place.clone());
            let value = Resealed {
                sealed: under(to, "anew"),
                before: before.clone(),
            };
            assert_eq!(store.reseal(place, &[value]).await.unwrap(), 1);
        }
    }
    places
}

#[tokio::test]
async fn every_sealed_value_is_found_in_its_place_and_sealed_anew() {
    let (_root, store) = store().await;
    filled(&store).await;
    assert_eq!(store.sealed_by().await.unwrap(), [(A.to_vec(), 6)]);
    assert_eq!(
        store.vault_root().await.unwrap(),
        Some(under(A, "root")),
        "the first one"
    );
    store.admit_key(B, &[A, B]).await.unwrap();
    let left = (at(1), Duration::from_secs(10));
    store.keep_former_key(A, &under(B, "left"), left).await.unwrap();
    assert_eq!(
        store.drop_key(A).await.unwrap(),
        6,
        "not while anything is under it"
    );
    assert!(store.key_may_seal(A).await.unwrap());
    let places = reseal_all(&store, A, B).await;
    assert_eq!(
        places,
        [
            place::ROOT.to_owned(),
            place::signing_key("kid"),
            place::server(&name("docs")),
            place::server(&name("more")),
            place::server_client("https://as.test", "c"),
            place::account("1"),
        ]
    );
    assert_eq!(store.sealed_by().await.unwrap(), [(B.to_vec(), 7)]);
    assert_eq!(store.drop_key(A).await.unwrap(), 0);
    // What is left of a former key is sealed, too.
    store.admit_key(A, &[A, B]).await.unwrap();
    assert!(
        store.former_keys(at(2)).await.unwrap().is_empty(),
        "it is in use again"
    );
    store.admit_key([0xc; 8], &[B]).await.unwrap();
    store
        .keep_former_key([0xc; 8], &under(B, "left"), left)
        .await
        .unwrap();
    let last = reseal_all(&store, B, A).await;
    assert_eq!(last[1], place::former_key([0xc; 8]));
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_stays() {
    let (root, store) = store().await;
    filled(&store).await;
    store.admit_key(B, &[A]).await.unwrap();
    let found = store.sealed_otherwise(Sealed::Servers, B, "", 9).await.unwrap();
    let values: Vec<_> = found
        .iter()
        .map(|before| Resealed {
            sealed: under(B, "anew"),
            before: before.clone(),
        })
        .collect();
    let other = open(&root).await;
    other.put_server(&name("docs"), &under(A, "newer")).await.unwrap();
    other.remove_server(&name("more")).await.unwrap();
    assert_eq!(store.reseal(Sealed::Servers, &values).await.unwrap(), 0);
    let servers = store.servers().await.unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].sealed, under(A, "newer"));
}

#[tokio::test]
async fn va_05_nothing_is_written_under_a_key_that_was_given_up() {
    let (root, store) = store().await;
    filled(&store).await;
    store.admit_key(B, &[A]).await.unwrap();
    reseal_all(&store, A, B).await;
    assert_eq!(store.drop_key(A).await.unwrap(), 0);
    // A process that has slept all the time.
    let late = open(&root).await;
    let account = super::server_accounts::account("1", None, "work");
    let account = crate::StoredAccount {
        sealed: under(A, "late"),
        ..account
    };
    let renewed = crate::Renewed {
        sealed: under(A, "late"),
        scopes: Vec::new(),
        due: at(9),
    };
    let root_value = SealedRecord {
        row: "1".to_owned(),
        place: place::ROOT.to_owned(),
        sealed: under(B, "anew"),
    };
    let back = Resealed {
        before: root_value,
        sealed: under(A, "late"),
    };
    let results = [
        late.put_server(&name("docs"), &under(A, "late")).await,
        late.put_server(&name("new"), &under(A, "late")).await,
        late.insert_next_signing_key(&StoredKey {
            alg: "EdDSA".to_owned(),
            ..signing_key(A)
        })
        .await
        .map(drop),
        late.put_server_client(
            ("https://as.test", "https://g/r"),
            &client(Some(under(A, "late"))),
        )
        .await,
        late.put_server_client(
            ("https://new.test", "https://g/r"),
            &client(Some(under(A, "late"))),
        )
        .await,
        late.put_account(&account, at(2)).await,
        late.put_account(
            &crate::StoredAccount {
                id: "2".to_owned(),
                name: "new".to_owned(),
                ..account.clone()
            },
            at(2),
        )
        .await,
        late.renew_account(("1", 1), &renewed, at(2)).await.map(drop),
        late.reseal(Sealed::Root, &[back]).await.map(drop),
        late.keep_former_key(B, &under(A, "late"), (at(1), Duration::ZERO))
            .await,
    ];
    for (at, result) in results.iter().enumerate() {
        let error = result.as_ref().unwrap_err().to_string();
        assert!(error.contains("not in use"), "{at}: {error}");
    }
    // Neither is it let in again by whoever knows no other.
    assert!(matches!(
        late.admit_key(A, &[A]).await,
        Err(StoreError::OtherKeys)
    ));
    assert!(!late.key_may_seal(A).await.unwrap());
    assert_eq!(store.sealed_by().await.unwrap(), [(B.to_vec(), 6)]);
    store.put_server(&name("docs"), &under(B, "fine")).await.unwrap();
    // A value without the form of one is under no key.
    assert!(store.put_server(&name("docs"), &[1, 2]).await.is_err());
}

#[tokio::test]
async fn what_is_left_of_a_key_goes_when_its_time_is_over() {
    let (_root, store) = store().await;
    filled(&store).await;
    store.admit_key(B, &[A]).await.unwrap();
    let left = under(B, "left");
    store
        .keep_former_key(A, &left, (at(100), Duration::from_secs(50)))
        .await
        .unwrap();
    // A second run does not make it live longer, and a key that has never sealed leaves nothing.
    let again = (at(140), Duration::from_secs(50));
    store.keep_former_key(A, &under(B, "again"), again).await.unwrap();
    store.keep_former_key([0xc; 8], &left, again).await.unwrap();
    let kept = store.former_keys(at(149)).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id, &kept[0].sealed, kept[0].until), (A, &left, at(150)));
    assert!(store.former_keys(at(150)).await.unwrap().is_empty());
    reseal_all(&store, A, B).await;
    store.drop_key(A).await.unwrap();
    store.sweep(at(149)).await.unwrap();
    assert_eq!(store.former_keys(at(149)).await.unwrap().len(), 1);
    store.sweep(at(150)).await.unwrap();
    assert!(store.former_keys(at(149)).await.unwrap().is_empty());
    assert!(store.put_server(&name("docs"), &under(A, "late")).await.is_err());
}

#[tokio::test]
async fn a_store_tells_where_its_hashes_come_from() {
    let (_root, store) = store().await;
    assert_eq!(store.vault_origin().await.unwrap(), Origin::New);
    let user = crate::testing::user("ada", true);
    store.create_user(&user).await.unwrap();
    assert_eq!(store.vault_origin().await.unwrap(), Origin::Used);
    store.put_server(&name("docs"), &under(A, "1")).await.unwrap();
    assert_eq!(store.vault_origin().await.unwrap(), Origin::Sealed(A));
}
