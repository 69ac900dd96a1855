//! `/token` with a refresh token.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;
use serde_json::json;

use crate::browser::{Connected, refresh};
use crate::world::{Answer, MCP, REDIRECT, TEAM, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn token(answer: &Answer) -> String {
    answer.json()["refresh_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned()
}

fn invalid_grant() -> (u16, String) {
    (400, "invalid_grant".into())
}

#[tokio::test]
async fn r18_a_refresh_leaves_the_old_access_token_alive() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let answer = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(answer.status, 200);
    assert_ne!(token(&answer), connected.refresh());
    assert_eq!(answer.json()["expires_in"], json!(900));
    assert_eq!(answer.json()["scope"], json!("mcp"));
    assert!(world.verify(connected.access(), MCP).is_ok());
    assert!(
        world
            .verify(answer.json()["access_token"].as_str().unwrap(), MCP)
            .is_ok()
    );
    assert_eq!(world.recorded(Action::TokenRefresh, Outcome::Ok), 1);
}

#[tokio::test]
async fn r19_within_the_grace_the_same_successor() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let first = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    world.pass(Duration::from_secs(30));
    let again = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(token(&first), token(&again));
    assert_ne!(first.json()["access_token"], again.json()["access_token"]);
    assert_eq!(
        refresh(&world, &connected.client, &token(&first), &[])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn rf_01_reuse_after_the_grace_ends_the_family() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let first = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    world.pass(Duration::from_secs(30) + Duration::from_millis(1));
    let reused = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(reused.error(), invalid_grant());
    assert_eq!(
        refresh(&world, &connected.client, &token(&first), &[])
            .await
            .error(),
        invalid_grant()
    );
    for access in [connected.access(), first.json()["access_token"].as_str().unwrap()] {
        assert_eq!(world.verify(access, MCP), Err(TokenError::Revoked));
    }
    assert_eq!(world.recorded(Action::ReuseDetected, Outcome::Denied), 1);
}

#[tokio::test]
async fn rf_02_sixty_four_at_once_stay_one_family() {
    let world = Arc::new(World::settled().await);
    let connected = Connected::new(&world, REDIRECT).await;
    let mut current = connected.refresh().to_owned();
    for round in 0..5 {
        let tries: Vec<_> = (0..64)
            .map(|_| {
                let (world, client, token) = (world.clone(), connected.client.clone(), current.clone());
                tokio::spawn(async move { refresh(&world, &client, &token, &[]).await })
            })
            .collect();
        let mut successors = BTreeSet::new();
        for task in tries {
            successors.insert(token(&task.await.unwrap()));
        }
        assert_eq!(successors.len(), 1, "round {round}");
        current = successors.pop_first().unwrap();
    }
    assert_eq!(
        refresh(&world, &connected.client, &current, &[]).await.status,
        200
    );
}

#[tokio::test]
async fn rf_03_r19_another_client_gets_nothing_and_ends_nothing() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let other = world.client(REDIRECT).await;
    assert_eq!(
        refresh(&world, &other, connected.refresh(), &[]).await.error(),
        invalid_grant()
    );
    let first = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(
        refresh(&world, &other, connected.refresh(), &[]).await.error(),
        invalid_grant()
    );
    world.pass(DAY);
    // Not even the replay of an old token by a stranger.
    assert_eq!(
        refresh(&world, &other, connected.refresh(), &[]).await.error(),
        invalid_grant()
    );
    assert_eq!(
        refresh(&world, &connected.client, &token(&first), &[])
            .await
            .status,
        200
    );
    assert_eq!(world.recorded(Action::ReuseDetected, Outcome::Denied), 0);
}

#[tokio::test]
async fn rf_04_rf_05_r20_scopes_and_resources_of_a_refresh() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let mut current = connected.refresh().to_owned();
    for (name, value, error) in [
        ("scope", "mcp admin", "invalid_scope"),
        ("scope", "admin", "invalid_scope"),
        ("resource", TEAM, "invalid_target"),
    ] {
        let answer = refresh(&world, &connected.client, &current, &[(name, value)]).await;
        assert_eq!(answer.error(), (400, error.into()), "{name}={value}");
    }
    for more in [
        &[("scope", "mcp")][..],
        &[("scope", "mcp offline_access")],
        &[("resource", MCP)],
        &[("resource", "http://127.0.0.1:8717/mcp/"), ("scope", "")],
    ] {
        let answer = refresh(&world, &connected.client, &current, more).await;
        assert_eq!(answer.status, 200, "{more:?}");
        current = token(&answer);
    }
}

#[tokio::test]
async fn rf_07_idle_and_absolute_lifetime() {
    let world = World::with(|settings| settings.refresh_ttl = DAY * 10).await;
    world.add_user("ada", true).await;
    let idle = Connected::new(&world, REDIRECT).await;
    world.pass(DAY * 10);
    assert_eq!(
        refresh(&world, &idle.client, idle.refresh(), &[]).await.error(),
        invalid_grant()
    );

    let steady = Connected::new(&world, REDIRECT).await;
    let mut current = steady.refresh().to_owned();
    let mut days = 0;
    while days < 400 {
        world.pass(DAY);
        days += 1;
        let answer = refresh(&world, &steady.client, &current, &[]).await;
        if answer.status != 200 {
            assert_eq!(answer.error(), invalid_grant());
            break;
        }
        current = token(&answer);
    }
    assert_eq!(days, 30);
}

#[tokio::test]
async fn rf_08_a_removed_user_has_no_refresh() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let now = world.parts.clock.now();
    world.store.remove_user("ada", now).await.unwrap();
    assert_eq!(
        refresh(&world, &connected.client, connected.refresh(), &[])
            .await
            .error(),
        invalid_grant()
    );
}

#[tokio::test]
async fn rf_06_a_refresh_that_cannot_be_recorded_changes_nothing() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    world.break_audit(true);
    let answer = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
    world.break_audit(false);
    world.pass(DAY);
    assert_eq!(
        refresh(&world, &connected.client, connected.refresh(), &[])
            .await
            .status,
        200
    );
}
