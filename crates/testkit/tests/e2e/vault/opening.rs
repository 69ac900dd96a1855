//! What every hash begins with: made once, kept whatever key seals, found again in a store of before.

use std::sync::Arc;

use sallyport_core::ServerName;
use sallyport_core::capability::{DeriveKeyed as _, SealSecret as _};
use sallyport_store::{Store, StoreOptions, place};
use sallyport_vault::source::load_existing;
use sallyport_vault::{MasterKey, SystemRandom, Vault};

use super::{Home, rotate};

const KEY: &str = "8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13";
const NEW: &str = "9f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13";

fn write(home: &Home, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(home.key_file(), text).unwrap();
    std::fs::set_permissions(home.key_file(), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The vault of a program that drew its hashes from the master key.
fn before() -> Vault {
    Vault::new(&MasterKey::parse(KEY).unwrap(), Arc::new(SystemRandom)).unwrap()
}

/// A store that such a program has used.
async fn used(home: &Home) {
    let store = Store::open(&home.0.path().join("data"), StoreOptions::default())
        .await
        .unwrap();
    let name = ServerName::parse("docs").unwrap();
    let sealed = before().seal_secret(&place::server(&name), b"{}");
    store.put_server(&name, &sealed).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_store_of_before_keeps_its_hashes_whichever_key_comes_first() {
    for text in [KEY.to_owned(), format!("{NEW}\nretired {KEY}\n")] {
        let home = Home::new();
        used(&home).await;
        write(&home, &text);
        let expected = before().derive("refresh", b"token");
        let base = home.open().await;
        assert_eq!(base.vault.derive("refresh", b"token"), expected);
        rotate(&base).await.unwrap();
        assert_eq!(home.open().await.vault.derive("refresh", b"token"), expected);
    }
    // Without the key of before, nothing is begun.
    let home = Home::new();
    used(&home).await;
    for text in [Some(NEW), None] {
        match text {
            Some(text) => write(&home, text),
            None => std::fs::remove_file(home.key_file()).unwrap(),
        }
        assert!(home.try_open().await.is_err());
    }
    assert!(!home.key_file().exists());
}

#[tokio::test]
async fn the_hashes_of_a_new_store_tell_nothing_to_who_has_the_master_key_alone() {
    let home = Home::new();
    let (one, other) = tokio::join!(home.try_open(), home.try_open());
    let (one, other) = (one.unwrap(), other.unwrap());
    let hash = one.vault.derive("refresh", b"token");
    assert_eq!(
        hash,
        other.vault.derive("refresh", b"token"),
        "begun together, they share it"
    );
    let keys = load_existing(&one.keys).unwrap().unwrap();
    let drawn = Vault::new(&keys.active, Arc::new(SystemRandom)).unwrap();
    assert_ne!(hash, drawn.derive("refresh", b"token"));
    // Moved to another store it opens nothing.
    let sealed = one.store.vault_root().await.unwrap().unwrap();
    let elsewhere = Home::new();
    let foreign = elsewhere.open().await;
    assert!(foreign.vault.ring().open_secret(place::ROOT, &sealed).is_err());
}
