//! How often a person may be guessed.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use http::Request;

use crate::browser::{Browser, hidden};
use crate::login::attempt;
use crate::world::{PASSWORD, World, encode};

#[tokio::test]
async fn lg_01_brute_force_is_slowed_and_the_right_password_too() {
    let world = World::settled().await;
    let mut browser = Browser::default();
    for n in 0..6 {
        assert_eq!(
            attempt(&world, &mut browser, "ada", "wrong password")
                .await
                .status,
            403,
            "{n}"
        );
    }
    let refused = attempt(&world, &mut browser, "ada", PASSWORD).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "15");
    assert!(refused.body.contains("Wait 15 s"));
    world.pass(Duration::from_secs(15));
    assert_eq!(attempt(&world, &mut browser, "ada", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn lg_01_lg_03_many_addresses_gain_little_and_lock_nobody_out_for_long() {
    let world = World::with(|s| s.throttle.logins_per_user.burst = 10).await;
    world.add_user("ada", true).await;
    let mut browser = Browser::default();
    let transaction = hidden(&browser.open(&world, "/login").await);
    let mut tried = 0;
    for host in 1..=40 {
        let peer = format!("127.0.1.{host}");
        let status = attempt_from(&world, &browser, &peer, &transaction, ("ada", "wrong password")).await;
        tried += u32::from(status == 403);
        assert!(status == 403 || status == 429);
    }
    assert_eq!(tried, 10);
    world.pass(Duration::from_secs(6));
    assert_eq!(
        attempt_from(&world, &browser, "127.0.0.1", &transaction, ("ada", PASSWORD)).await,
        303
    );
}

#[tokio::test]
async fn lg_01_one_address_cannot_try_many_names() {
    let world = World::with(|s| s.throttle.logins_per_peer.burst = 3).await;
    world.add_user("ada", true).await;
    let mut browser = Browser::default();
    for name in ["a", "b", "c"] {
        assert_eq!(
            attempt(&world, &mut browser, name, "wrong password").await.status,
            403
        );
    }
    assert_eq!(
        attempt(&world, &mut browser, "d", "wrong password").await.status,
        429
    );
}

#[tokio::test]
async fn lg_04_a_flood_of_logins_is_refused_and_not_queued_for_ever() {
    let world = std::sync::Arc::new(
        World::with(|s| {
            s.throttle.logins_per_peer.burst = 1000;
            s.throttle.logins_per_user.burst = 1000;
            s.throttle.logins_per_user_and_peer.burst = 1000;
        })
        .await,
    );
    world.add_user("ada", true).await;
    let mut browser = Browser::default();
    let transaction = hidden(&browser.open(&world, "/login").await);
    let tries = (0..80).map(|_| {
        let (world, browser, transaction) = (world.clone(), browser.clone(), transaction.clone());
        tokio::spawn(async move {
            attempt_from(
                &world,
                &browser,
                "127.0.0.1",
                &transaction,
                ("ada", "wrong password"),
            )
            .await
        })
    });
    let mut statuses = Vec::new();
    for task in tries.collect::<Vec<_>>() {
        statuses.push(task.await.unwrap());
    }
    assert!(statuses.iter().all(|s| matches!(s, 403 | 503)), "{statuses:?}");
    assert!(statuses.contains(&503) && statuses.iter().filter(|s| **s == 403).count() >= 50);
}

/// The same from another address.
async fn attempt_from(
    world: &World,
    browser: &Browser,
    peer: &str,
    transaction: &str,
    fields: (&str, &str),
) -> u16 {
    let cookie = browser
        .cookies
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect::<Vec<_>>()
        .join("; ");
    let body = encode(&[
        ("transaction", transaction),
        ("username", fields.0),
        ("password", fields.1),
    ]);
    let request = Request::post("/login")
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body))
        .unwrap();
    world
        .send_from(peer.parse::<IpAddr>().unwrap(), request)
        .await
        .status
        .as_u16()
}
