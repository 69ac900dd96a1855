//! Killed at every step.

use std::mem::discriminant;
use std::process::Stdio;

use sallyport::base::StartError;
use sallyport::master::rotate::Step;
use sallyport_core::ServerName;
use sallyport_core::capability::{
    DeriveKeyed as _, OpenSecret as _, Purpose, SealSecret as _, SealState as _,
};
use sallyport_store::place;
use sallyport_testkit::process::GatewayProcess;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{Home, fill, put, readable, rotate, rotate_until};
use crate::attack::list;

/// What stays the same whatever key seals.
fn hash(base: &sallyport::base::Base) -> [u8; 32] {
    base.vault.derive("refresh", b"token")
}

#[tokio::test]
async fn va_05_ten_thousand_records_and_a_kill_after_each_batch() {
    const RECORDS: u32 = 10_000;
    let home = Home::new();
    let base = home.open().await;
    fill(&base, RECORDS).await;
    let before = hash(&base);
    let (mut kills, mut dropped) = (0, false);
    let rotated = loop {
        let base = home.open().await;
        // Until the first thing that is new.
        let ended = rotate_until(&base, |step| match step {
            Step::Resealed(_) => true,
            Step::Dropped(_) => !std::mem::replace(&mut dropped, true),
            _ => false,
        })
        .await;
        let after = home.open().await;
        assert_eq!(readable(&after).await, 10_000, "after {kills} kills");
        assert_eq!(hash(&after), before);
        if let Ok(rotated) = ended {
            break rotated;
        }
        kills += 1;
        assert!(kills < 100, "it gets on");
    };
    assert!(kills > 40, "{kills}");
    assert_eq!((rotated.remaining(), rotated.unreadable.len()), (0, 0));
    assert_eq!(home.lines().len(), 1);
    let after = home.open().await;
    assert_eq!(readable(&after).await, 10_000);
    assert_eq!(
        after.store.sealed_by().await.unwrap(),
        [(rotated.active.0.to_vec(), 10_002)]
    );
}

#[tokio::test]
async fn va_05_killed_at_any_step_it_is_resumed_and_the_old_key_goes_last() {
    let mut reached = Vec::new();
    for last in 0.. {
        let home = Home::new();
        let base = home.open().await;
        fill(&base, 300).await;
        let old = home.lines()[0].clone();
        let (hashed, state) = (hash(&base), base.vault.seal(Purpose::Session, "ada", b"session"));
        let (mut count, mut name) = (0, None);
        let killed = rotate_until(&base, |step| {
            count += 1;
            name = Some(step.clone());
            count > last
        })
        .await;
        // Whoever runs on with the ring of then, and whoever starts now, can read everything.
        let after = home.open().await;
        assert_eq!(readable(&after).await, 300, "{name:?}");
        assert_eq!(hash(&after), hashed);
        let is_there = home.lines().iter().any(|line| line.contains(&old));
        let under_old = after.store.sealed_by().await.unwrap().len() > 1;
        assert!(
            is_there || !under_old,
            "{name:?}: the old key went before its last record"
        );
        if killed.is_ok() {
            break;
        }
        reached.push(name.unwrap());
        let rotated = rotate(&after).await.unwrap();
        // Before the new key seals it goes on with the one that it has announced; after the end it begins anew.
        let begins = matches!(
            reached.last(),
            Some(Step::Announced | Step::Admitted | Step::Removed)
        );
        assert_eq!(rotated.resumed, !begins, "{reached:?}");
        assert_eq!((rotated.remaining(), rotated.unreadable.len()), (0, 0));
        let end = home.open().await;
        assert_eq!(readable(&end).await, 300);
        assert_eq!(hash(&end), hashed);
        let opened = end.vault.open(Purpose::Session, "ada", &state);
        assert_eq!(
            opened.as_deref(),
            Some(&b"session"[..]),
            "what clients carry goes on"
        );
        let lines = home.lines();
        assert!(lines.len() == 1 && lines[0] != old, "{} lines", lines.len());
    }
    let steps: Vec<_> = reached.iter().map(discriminant).collect();
    for step in [
        Step::Announced,
        Step::Admitted,
        Step::Promoted,
        Step::Resealed(0),
        Step::Removed,
    ] {
        assert!(steps.contains(&discriminant(&step)), "{step:?}");
    }
}

#[tokio::test]
async fn va_05_the_old_key_stays_while_anything_is_sealed_under_it() {
    let home = Home::new();
    let base = home.open().await;
    fill(&base, 3).await;
    // Under the old key, and not to be opened in this place.
    let broken = ServerName::parse("broken").unwrap();
    let sealed = base.vault.seal_secret(&place::account("another"), b"{}");
    base.store.put_server(&broken, &sealed).await.unwrap();
    let old = home.lines()[0].clone();
    let rotated = rotate(&base).await.unwrap();
    assert_eq!(rotated.remaining(), 1);
    assert_eq!(rotated.unreadable, [place::server(&broken)]);
    assert_eq!(home.lines()[1], format!("retired {old}"));
    let after = home.open().await;
    assert_eq!(readable(&after).await, 3);
    // It does not go while it is in use, however often it is tried.
    assert_eq!(rotate(&after).await.unwrap().remaining(), 1);
    assert!(home.lines().len() == 2);
    after.store.remove_server(&broken).await.unwrap();
    let rotated = rotate(&after).await.unwrap();
    assert!(rotated.resumed && rotated.remaining() == 0, "{rotated:?}");
    assert_eq!(home.lines().len(), 1);
}

#[tokio::test]
async fn va_05_whoever_slept_through_it_cannot_seal_under_the_old_key() {
    let home = Home::new();
    let late = home.open().await;
    fill(&late, 2).await;
    let old = std::fs::read(home.key_file()).unwrap();
    let record = late.store.account("account-0").await.unwrap().unwrap();
    rotate(&home.open().await).await.unwrap();
    assert!(
        put(&late, 1, "tokens of 1").await.is_err(),
        "nobody could read it"
    );
    let after = home.open().await;
    assert_eq!(readable(&after).await, 2);
    // A record from before, put back by whoever can write to the disk, opens for nobody.
    assert!(
        after
            .vault
            .open_secret(&place::account("account-0"), &record.sealed)
            .is_err()
    );
    // As little as one from after in the place of another.
    let moved = after.store.account("account-0").await.unwrap().unwrap().sealed;
    assert!(
        after
            .vault
            .open_secret(&place::account("account-1"), &moved)
            .is_err()
    );
    // With the key of before nothing starts, and nothing is let in again.
    std::fs::write(home.key_file(), old).unwrap();
    let error = home.try_open().await.err().unwrap();
    assert!(matches!(error, StartError::OtherKey { .. }), "{error}");
    std::fs::remove_file(home.key_file()).unwrap();
    let error = home.try_open().await.err().unwrap().to_string();
    assert!(error.contains("there is no"), "{error}");
    assert!(!home.key_file().exists(), "a new key would open nothing");
}

#[tokio::test]
async fn va_05_kill_9_at_each_thing_that_it_says() {
    let mut gateway = GatewayProcess::prepare("").unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway.serve().await.unwrap();
    let token = gateway
        .run(&["token", "issue", "--user", "ada"], "")
        .await
        .unwrap();
    gateway
        .run(&["add", "docs", "http://127.0.0.1:9/mcp"], "")
        .await
        .unwrap();
    for line in ["opens with the new key", "seals with the new key"] {
        let mut command = gateway.command().unwrap();
        let mut child = command
            .args(["vault", "rotate"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        while !said.next_line().await.unwrap().expect("the line").contains(line) {}
        child.kill().await.unwrap();
    }
    let listed = gateway.run(&["-o", "json", "vault", "list"], "").await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["state"], &listed[1]["state"]),
        (&"current".into(), &"retired".into())
    );
    let rotated = gateway.run(&["-o", "json", "vault", "rotate"], "").await.unwrap();
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    assert_eq!(
        (&rotated["resumed"], &rotated["remaining"]),
        (&true.into(), &0.into())
    );
    assert_eq!(rotated["retired"][0]["key"], listed[1]["key"]);
    assert_eq!(rotated["retired"][0]["dropped"], true);
    // Running, and after a kill of its own.
    for _ in 0..2 {
        let mut connection = gateway.connect().await.unwrap();
        let answer = connection.ask(&list("/mcp").bearer(token.trim())).await.unwrap();
        assert_eq!(answer.status(), 200);
        gateway.kill().await.unwrap();
        gateway.serve().await.unwrap();
    }
    assert!(
        gateway
            .run(&["get", "docs"], "")
            .await
            .unwrap()
            .contains("127.0.0.1:9")
    );
    assert!(
        gateway
            .run(&["audit", "verify"], "")
            .await
            .unwrap()
            .contains("unbroken")
    );
}
