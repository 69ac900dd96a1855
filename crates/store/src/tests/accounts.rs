//! Users, setup, clients, browser sessions, consents, keys, servers and the change feed.

use std::time::Duration;

use sallyport_core::{ClientId, Resource, ScopeSet, ServerName};
use sallyport_oauth::model::{AuthMethod, BrowserSession, Client, Consent};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::testing::{at, grant, open, store, user};
use crate::{CreateUserError, Maker, Reaping, RegistrationToken, StoredKey};

fn client(id: &str, registered: i64) -> Client {
    Client {
        id: ClientId::new(id),
        auth_method: AuthMethod::ClientSecretPost,
        secret: Some([7; 32]),
        redirect_uris: vec!["http://localhost:1/cb".into(), "cursor://x".into()],
        scopes: ScopeSet::parse("mcp openid"),
        metadata: serde_json::from_str(r#"{"client_name":"N","x":{"y":[1,null]}}"#).unwrap(),
        registered: at(registered),
        last_used: None,
    }
}

#[tokio::test]
async fn names_are_unique_without_regard_to_case() {
    let (_root, store) = store().await;
    store.create_user(&user("Ärne", true)).await.unwrap();
    assert!(matches!(
        store.create_user(&user("äRNE", false)).await,
        Err(CreateUserError::NameTaken)
    ));
    let found = store.user_by_name("ÄRNE").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.admin), ("Ärne", true));
    assert_eq!(store.user(&found.id).await.unwrap().unwrap().name, "Ärne");
    assert!(store.user_by_name("arne").await.unwrap().is_none());
    store.create_user(&user("zoe", false)).await.unwrap();
    let names: Vec<_> = store.users().await.unwrap().into_iter().map(|u| u.name).collect();
    assert_eq!(names, ["zoe", "Ärne"]);
}

#[tokio::test]
async fn rf_08_removing_a_user_ends_everything_at_once() {
    let (_root, store) = store().await;
    let ann = user("ann", false);
    store.create_user(&ann).await.unwrap();
    store.create_user(&user("bob", false)).await.unwrap();
    for (id, name) in [("1", "ann"), ("2", "ann"), ("3", "bob")] {
        store.insert_grant(&grant(id, name)).await.unwrap();
    }
    store.revoke_grant(&grant("2", "ann").id, at(50)).await.unwrap();
    let session = BrowserSession {
        digest: [1; 32],
        user: ann.id.clone(),
        created: at(1),
        seen: at(2),
        expires: at(3),
    };
    store.insert_browser_session(&session).await.unwrap();
    let removed = store.remove_user("ANN", at(100)).await.unwrap().unwrap();
    assert_eq!(removed.user.id, ann.id);
    assert_eq!(removed.grants, [grant("1", "ann").id]);
    assert!(store.browser_session(&[1; 32]).await.unwrap().is_none());
    assert!(store.user_by_name("ann").await.unwrap().is_none());
    let revoked = store.revoked_since(at(100)).await.unwrap();
    assert_eq!(revoked, [(grant("1", "ann").id, at(100))]);
    assert_eq!(
        store.grant(&grant("3", "bob").id).await.unwrap().unwrap().revoked,
        None
    );
    assert!(store.remove_user("ann", at(101)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_becomes_the_first_administrator() {
    let (root, store) = store().await;
    let other = open(&root).await;
    store.put_setup(&[9; 32], at(100)).await.unwrap();
    assert!(
        !store
            .create_first_admin(&[8; 32], &user("x", true), at(1))
            .await
            .unwrap(),
        "another link"
    );
    assert!(
        !store
            .create_first_admin(&[9; 32], &user("x", true), at(100))
            .await
            .unwrap(),
        "an ended link"
    );
    let mut tries = JoinSet::new();
    for n in 0..32 {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tries.spawn(async move {
            store
                .create_first_admin(&[9; 32], &user(&format!("u{n}"), true), at(99))
                .await
                .unwrap()
        });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|made| *made).count(), 1);
    assert!(store.has_admin().await.unwrap());
    store.put_setup(&[9; 32], at(100)).await.unwrap();
    assert!(
        !store
            .create_first_admin(&[9; 32], &user("late", true), at(1))
            .await
            .unwrap()
    );
    assert_eq!(store.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_taken_name_does_not_use_the_setup_link_up() {
    let (_root, store) = store().await;
    store.create_user(&user("ann", false)).await.unwrap();
    store.put_setup(&[9; 32], at(100)).await.unwrap();
    let taken = store
        .create_first_admin(&[9; 32], &user("Ann", true), at(1))
        .await;
    assert!(matches!(taken, Err(CreateUserError::NameTaken)));
    assert!(
        store
            .create_first_admin(&[9; 32], &user("eve", true), at(1))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn clients_come_back_as_they_were() {
    let (_root, store) = store().await;
    let (mut a, b) = (
        client("a", 10),
        Client {
            secret: None,
            auth_method: AuthMethod::None,
            ..client("b", 10)
        },
    );
    store.insert_client(&a).await.unwrap();
    store.insert_client(&b).await.unwrap();
    assert!(store.insert_client(&a).await.is_err());
    assert_eq!(store.client(&a.id).await.unwrap().as_ref(), Some(&a));
    assert_eq!(store.client(&b.id).await.unwrap().as_ref(), Some(&b));
    assert_eq!(store.client(&ClientId::new("A")).await.unwrap(), None);
    for (now, kept) in [(1000, 1000), (1059, 1000), (1060, 1060)] {
        store.touch_client(&a.id, at(now)).await.unwrap();
        a.last_used = Some(at(kept));
        assert_eq!(store.client(&a.id).await.unwrap().as_ref(), Some(&a));
    }
}

fn reaping(unused: i64) -> Reaping {
    Reaping {
        now: at(1000),
        unused: at(unused),
        alike: at(0),
        idle: None,
    }
}

#[tokio::test]
async fn only_clients_that_were_never_used_are_reaped() {
    let (_root, store) = store().await;
    for (id, registered) in [("old", 10), ("used", 10), ("client", 10), ("young", 20)] {
        store.insert_client(&client(id, registered)).await.unwrap();
    }
    store.touch_client(&ClientId::new("used"), at(11)).await.unwrap();
    store.insert_grant(&grant("1", "ann")).await.unwrap();
    assert_eq!(store.count_clients().await.unwrap(), 4);
    assert_eq!(store.reap_clients(reaping(20)).await.unwrap(), 1);
    assert_eq!(store.client(&ClientId::new("old")).await.unwrap(), None);
    assert_eq!(store.count_clients().await.unwrap(), 3);
}

#[tokio::test]
async fn browser_sessions_and_consents() {
    let (_root, store) = store().await;
    let ann = user("ann", true);
    let mut session = BrowserSession {
        digest: [1; 32],
        user: ann.id.clone(),
        created: at(5),
        seen: at(6),
        expires: at(7),
    };
    assert!(
        store.insert_browser_session(&session).await.is_err(),
        "nobody has that id"
    );
    store.create_user(&ann).await.unwrap();
    store.insert_browser_session(&session).await.unwrap();
    store.touch_browser_session(&[1; 32], at(66)).await.unwrap();
    session.seen = at(66);
    let (found, who) = store.browser_session(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found, who.name.as_str(), who.created), (session, "ann", at(1)));
    assert!(store.delete_browser_session(&[1; 32]).await.unwrap());
    assert!(!store.delete_browser_session(&[1; 32]).await.unwrap());

    let mut consent = Consent {
        user: ann.id.clone(),
        client: ClientId::new("c"),
        resource: Resource::parse("https://g.example/mcp").unwrap(),
        scopes: ScopeSet::parse("mcp"),
        redirect: "https://c.example/cb".into(),
        given: at(8),
    };
    for scopes in ["mcp", "mcp openid"] {
        consent.scopes = ScopeSet::parse(scopes);
        store.put_consent(&consent).await.unwrap();
        let found = store
            .consent(&consent.user, &consent.client, &consent.resource)
            .await
            .unwrap();
        assert_eq!(found.as_ref(), Some(&consent));
    }
    let elsewhere = Resource::parse("https://g.example/mcp/x").unwrap();
    assert_eq!(
        store
            .consent(&consent.user, &consent.client, &elsewhere)
            .await
            .unwrap(),
        None
    );
    store.remove_user("ann", at(9)).await.unwrap();
    assert_eq!(
        store
            .consent(&consent.user, &consent.client, &consent.resource)
            .await
            .unwrap(),
        None
    );
}

fn key(kid: &str, created: i64) -> StoredKey {
    StoredKey {
        kid: kid.to_owned(),
        alg: "ES256".to_owned(),
        sealed: vec![1, 2, 3],
        created: at(created),
        signs: None,
        retired: None,
        longest: Duration::from_secs(900),
        until: at(0),
    }
}

#[tokio::test]
async fn jw_16_a_key_is_next_then_signs_and_stays_until_its_last_token_has_ended() {
    let (_root, store) = store().await;
    let first = StoredKey {
        signs: Some(at(1)),
        ..key("a", 1)
    };
    assert!(store.insert_first_signing_key(&first).await.unwrap());
    assert!(!store.insert_first_signing_key(&key("x", 2)).await.unwrap());
    assert!(store.insert_next_signing_key(&key("b", 2)).await.unwrap());
    assert!(!store.insert_next_signing_key(&key("x", 3)).await.unwrap());
    // Of another algorithm: the one that has signed nothing goes.
    let other = StoredKey {
        alg: "EdDSA".to_owned(),
        ..key("c", 3)
    };
    assert!(store.insert_next_signing_key(&other).await.unwrap());
    store.note_token_life(Duration::from_secs(1000)).await.unwrap();
    store.note_token_life(Duration::from_secs(10)).await.unwrap();
    for (active, next) in [("a", "b"), ("c", "a"), ("b", "c"), ("c", "c")] {
        assert!(
            !store.rotate_signing_keys(active, next, at(9)).await.unwrap(),
            "{active} {next}"
        );
    }
    assert!(store.rotate_signing_keys("a", "c", at(10)).await.unwrap());
    assert!(!store.rotate_signing_keys("a", "c", at(11)).await.unwrap());
    let ring = store.signing_keys().await.unwrap();
    let of = |kid: &str| ring.iter().find(|key| key.kid == kid).unwrap();
    assert_eq!(ring.len(), 2);
    assert_eq!((of("c").signs, of("c").retired), (Some(at(10)), None));
    assert_eq!((of("a").retired, of("a").until), (Some(at(10)), at(1010)));
    assert_eq!(of("c").longest, Duration::from_secs(1000));
    // A token that lives longer than those of clients keeps its key.
    store.note_token_end("a", at(5000)).await.unwrap();
    store.note_token_end("a", at(2000)).await.unwrap();
    assert_eq!(store.remove_ended_signing_keys(at(4999)).await.unwrap(), 0);
    assert_eq!(store.remove_ended_signing_keys(at(5000)).await.unwrap(), 1);
    assert_eq!(store.remove_ended_signing_keys(at(999_999)).await.unwrap(), 0);
}

#[tokio::test]
async fn servers_are_kept_sealed() {
    let (_root, store) = store().await;
    let name = ServerName::parse("docs").unwrap();
    store.put_server(&name, b"one").await.unwrap();
    store.put_server(&name, b"two").await.unwrap();
    let servers = store.servers().await.unwrap();
    assert_eq!(
        (
            servers.len(),
            servers[0].name.as_str(),
            servers[0].sealed.as_slice()
        ),
        (1, "docs", &b"two"[..])
    );
    assert!(store.remove_server(&name).await.unwrap());
    assert!(!store.remove_server(&name).await.unwrap());
}

#[tokio::test]
async fn another_processes_changes_are_seen_within_a_second() {
    let (root, store) = store().await;
    let other = open(&root).await;
    let mut changes = store.changes();
    let name = ServerName::parse("docs").unwrap();
    other.put_server(&name, b"x").await.unwrap();
    timeout(Duration::from_secs(1), changes.wait_for(|value| *value == 1))
        .await
        .unwrap()
        .unwrap();
    // What happens all the time is no change.
    other.create_user(&user("ann", false)).await.unwrap();
    other.insert_grant(&grant("1", "ann")).await.unwrap();
    other.insert_client(&client("a", 1)).await.unwrap();
    let session = BrowserSession {
        digest: [1; 32],
        user: user("ann", false).id,
        created: at(1),
        seen: at(1),
        expires: at(2),
    };
    other.insert_browser_session(&session).await.unwrap();
    other.revoke_grant(&grant("1", "ann").id, at(1)).await.unwrap();
    other.revoke_grant(&grant("1", "ann").id, at(2)).await.unwrap();
    other.remove_server(&name).await.unwrap();
    timeout(Duration::from_secs(1), changes.wait_for(|value| *value == 4))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(*changes.borrow(), 4, "server, user, revocation, server");
}

#[tokio::test]
async fn dc_01_of_clients_that_are_alike_the_newest_stays_and_idle_ones_go() {
    let (_root, store) = store().await;
    for (id, registered) in [("a", 10), ("b", 20), ("c", 30), ("young", 50)] {
        store.insert_client(&client(id, registered)).await.unwrap();
    }
    let mut other = client("other", 10);
    other.metadata.insert("client_name".into(), "O".into());
    store.insert_client(&other).await.unwrap();
    store.touch_client(&ClientId::new("a"), at(40)).await.unwrap();
    let operators = client("operators", 5);
    store
        .register_client(&operators, Maker::Operator, None)
        .await
        .unwrap();
    let limits = Reaping {
        alike: at(40),
        ..reaping(0)
    };
    assert_eq!(store.reap_clients(limits).await.unwrap(), 1);
    let ids = async || {
        let clients = store.clients().await.unwrap();
        clients.iter().map(|(c, _)| c.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["operators", "a", "other", "c", "young"]);
    let idle = |at| Reaping {
        idle: Some(at),
        ..reaping(0)
    };
    assert_eq!(store.reap_clients(idle(at(40))).await.unwrap(), 0);
    let mut alive = grant("1", "ann");
    alive.client = ClientId::new("a");
    store.insert_grant(&alive).await.unwrap();
    assert_eq!(store.reap_clients(idle(at(41))).await.unwrap(), 0);
    store.revoke_grant(&alive.id, at(42)).await.unwrap();
    assert_eq!(store.reap_clients(idle(at(41))).await.unwrap(), 1);
    assert_eq!(ids().await, ["operators", "other", "c", "young"]);
}

#[tokio::test]
async fn dc_01_registrations_that_differ_in_a_loopback_port_are_alike() {
    let (_root, store) = store().await;
    for (id, registered, uri) in [
        ("a", 10, "http://127.0.0.1:4001/cb"),
        ("b", 20, "http://127.0.0.1:4002/cb"),
        ("newest", 30, "http://127.0.0.1/cb"),
        ("path", 10, "http://127.0.0.1:4001/other"),
        ("host", 10, "http://localhost:4001/cb"),
        ("web", 10, "https://app.test:4001/cb"),
        ("port", 20, "https://app.test:4002/cb"),
    ] {
        let mut one = client(id, registered);
        one.redirect_uris = vec![uri.into()];
        one.metadata
            .insert("redirect_uris".into(), serde_json::json!([uri]));
        store.insert_client(&one).await.unwrap();
    }
    let limits = Reaping {
        alike: at(40),
        ..reaping(0)
    };
    assert_eq!(store.reap_clients(limits).await.unwrap(), 2);
    let clients = store.clients().await.unwrap();
    let mut left: Vec<_> = clients.iter().map(|(client, _)| client.id.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["host", "newest", "path", "port", "web"]);
}

#[tokio::test]
async fn dc_09_dc_10_a_registration_changes_with_its_token_and_ends_with_all_it_had() {
    let (_root, store) = store().await;
    let token = |byte: u8| RegistrationToken {
        digest: [byte; 32],
        expires: Some(at(99)),
    };
    let first = client("client", 10);
    let id = first.id.clone();
    store
        .register_client(&first, Maker::Client, Some(&token(1)))
        .await
        .unwrap();
    assert_eq!(store.registration_token(&id).await.unwrap(), Some(token(1)));
    let mut changed = first.clone();
    changed.redirect_uris = vec!["https://new.test/cb".into()];
    let replace = async |old| store.replace_client(&changed, old, &token(2)).await.unwrap();
    assert!(!replace(&[9; 32]).await);
    assert_eq!(store.client(&id).await.unwrap(), Some(first));
    assert!(replace(&[1; 32]).await);
    assert!(!replace(&[1; 32]).await);
    assert_eq!(store.client(&id).await.unwrap(), Some(changed));
    assert!(store.put_registration_token(&id, &token(3)).await.unwrap());
    assert_eq!(store.registration_token(&id).await.unwrap(), Some(token(3)));
    let nobody = ClientId::new("nobody");
    assert!(!store.put_registration_token(&nobody, &token(3)).await.unwrap());
    store.insert_grant(&grant("1", "ann")).await.unwrap();
    let ended = store.delete_client(&id, at(50)).await.unwrap().unwrap();
    assert_eq!(ended, [grant("1", "ann").id]);
    assert_eq!(store.registration_token(&id).await.unwrap(), None);
    assert_eq!(store.client(&id).await.unwrap(), None);
    assert_eq!(store.revoked_since(at(50)).await.unwrap().len(), 1);
    assert_eq!(store.delete_client(&id, at(51)).await.unwrap(), None);
}
