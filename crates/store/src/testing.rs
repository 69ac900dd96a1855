//! What the tests of this crate share.

use std::sync::Arc;

use sallyport_core::capability::DeriveKeyed;
use sallyport_core::{ClientId, Clock, GrantId, Resource, ScopeSet, Secret, Timestamp, UserId};
use sallyport_oauth::model::{Grant, User};

use crate::{Store, StoreOptions};

/// A keyed hash for tests: SHA-256 over label and input.
pub(crate) struct TestKeys(pub(crate) &'static str);

impl DeriveKeyed for TestKeys {
    fn derive(&self, label: &'static str, input: &[u8]) -> [u8; 32] {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(self.0.as_bytes());
        context.update(label.as_bytes());
        context.update(input);
        context.finish().as_ref().try_into().unwrap()
    }
}

pub(crate) struct TestClock;

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }
}

pub(crate) fn keys() -> Arc<TestKeys> {
    Arc::new(TestKeys("key"))
}

/// A fresh store in a directory of its own.
pub(crate) async fn store() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = open(&root).await;
    (root, store)
}

/// Another process's view of the same store.
pub(crate) async fn open(root: &tempfile::TempDir) -> Store {
    Store::open(&root.path().join("data"), StoreOptions::default())
        .await
        .unwrap()
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn user(name: &str, admin: bool) -> User {
    User {
        id: UserId::new(format!("id of {name}")),
        name: name.to_owned(),
        admin,
        password: Secret::from("$argon2id$"),
        created: at(1),
    }
}

pub(crate) fn grant(id: &str, user: &str) -> Grant {
    Grant {
        id: GrantId::new(id),
        user: UserId::new(format!("id of {user}")),
        client: ClientId::new("client"),
        resource: Resource::parse("https://g.example/mcp").unwrap(),
        scopes: ScopeSet::parse("mcp"),
        created: at(10),
        expires: at(10_000),
        revoked: None,
    }
}
