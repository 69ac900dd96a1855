//! `/revoke`.

use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;

use crate::browser::{Connected, refresh};
use crate::token::{code_of, confidential};
use crate::world::{MCP, REDIRECT, VERIFIER, World};

async fn revoke(world: &World, client: &str, token: &str, hint: &str) -> crate::world::Answer {
    let mut fields = vec![("token", token), ("client_id", client)];
    if !hint.is_empty() {
        fields.push(("token_type_hint", hint));
    }
    world.form("/revoke", &fields).await
}

#[tokio::test]
async fn rv_01_what_nobody_knows_is_revoked_already() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    for token in ["unknown", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "%"] {
        let answer = revoke(&world, &client, token, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, ""),
            "{token}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let none = world.form("/revoke", &[("client_id", &client)]).await;
    assert_eq!(none.error(), (400, "invalid_request".into()));
    let twice = [("client_id", client.as_str()), ("token", "a"), ("token", "b")];
    assert_eq!(
        world.form("/revoke", &twice).await.error(),
        (400, "invalid_request".into())
    );
    assert_eq!(world.recorded(Action::Revoke, Outcome::Ok), 0);
}

#[tokio::test]
async fn rv_02_another_clients_token_stays_alive() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let other = world.client(REDIRECT).await;
    for token in [connected.refresh(), connected.access()] {
        let answer = revoke(&world, &other, token, "").await;
        assert_eq!(answer.error(), (400, "invalid_grant".into()));
    }
    assert!(world.verify(connected.access(), MCP).is_ok());
    let used = refresh(&world, &connected.client, connected.refresh(), &[]).await;
    assert_eq!(used.status, 200);
}

#[tokio::test]
async fn rv_03_a_wrong_hint_hides_nothing() {
    let world = World::settled().await;
    for hint in ["", "refresh_token", "access_token", "nonsense"] {
        let connected = Connected::new(&world, REDIRECT).await;
        let answer = revoke(&world, &connected.client, connected.access(), hint).await;
        assert_eq!(answer.status, 200, "{hint}");
        assert_eq!(
            world.verify(connected.access(), MCP),
            Err(TokenError::Revoked),
            "{hint}"
        );
        // The one alone: the family goes on.
        let next = refresh(&world, &connected.client, connected.refresh(), &[]).await;
        assert_eq!(next.status, 200, "{hint}");
        let access = next.json()["access_token"].as_str().unwrap().to_owned();
        assert!(world.verify(&access, MCP).is_ok(), "{hint}");
    }
}

#[tokio::test]
async fn rv_04_with_the_refresh_token_everything_ends() {
    let world = World::settled().await;
    for (hint, count) in [("refresh_token", 1), ("access_token", 2), ("", 3)] {
        let connected = Connected::new(&world, REDIRECT).await;
        let next = refresh(&world, &connected.client, connected.refresh(), &[])
            .await
            .json();
        // A token that was rotated before belongs to the family as well.
        let answer = revoke(&world, &connected.client, connected.refresh(), hint).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
        for access in [connected.access(), next["access_token"].as_str().unwrap()] {
            assert_eq!(world.verify(access, MCP), Err(TokenError::Revoked));
        }
        let after = next["refresh_token"].as_str().unwrap();
        let refused = refresh(&world, &connected.client, after, &[]).await;
        assert_eq!(refused.error(), (400, "invalid_grant".into()));
        assert_eq!(revoke(&world, &connected.client, after, hint).await.status, 200);
        assert_eq!(world.recorded(Action::Revoke, Outcome::Ok), count);
    }
}

#[tokio::test]
async fn rv_05_a_forged_token_revokes_nobodys() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let (body, signature) = connected.access().rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let (_, claims) = body.split_once('.').unwrap();
    for forged in [
        format!("{body}."),
        format!("{body}.{turned}"),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
    ] {
        assert_eq!(
            revoke(&world, &connected.client, &forged, "").await.status,
            200,
            "{forged}"
        );
    }
    assert!(world.verify(connected.access(), MCP).is_ok());
    assert_eq!(world.recorded(Action::Revoke, Outcome::Ok), 0);
}

#[tokio::test]
async fn tk_05_tk_07_who_revokes_proves_who_it_is() {
    let world = World::settled().await;
    let (client, secret, header) = confidential(&world, "client_secret_basic").await;
    let code = code_of(&world, &client).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let tokens = world.form_as("/token", &fields, Some(&header)).await.json();
    let token = tokens["refresh_token"].as_str().unwrap();
    for fields in [
        vec![("token", token), ("client_id", client.as_str())],
        vec![
            ("token", token),
            ("client_id", client.as_str()),
            ("client_secret", "bad"),
        ],
        vec![("token", token), ("client_id", "nobody")],
    ] {
        let answer = world.form("/revoke", &fields).await;
        assert_eq!(answer.error(), (401, "invalid_client".into()), "{fields:?}");
    }
    let access = tokens["access_token"].as_str().unwrap();
    assert!(world.verify(access, MCP).is_ok());
    let fields = [
        ("token", token),
        ("client_id", &client),
        ("client_secret", &secret),
    ];
    assert_eq!(world.form("/revoke", &fields).await.status, 200);
    assert_eq!(world.verify(access, MCP), Err(TokenError::Revoked));
}

#[tokio::test]
async fn tk_05_guessing_tokens_of_others_gets_slow() {
    let world = World::with(|s| s.throttle.token_failures.burst = 2).await;
    world.add_user("ada", true).await;
    for _ in 0..2 {
        assert_eq!(revoke(&world, "nobody", "x", "").await.status, 401);
    }
    let refused = revoke(&world, "nobody", "x", "").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn rv_01_what_cannot_be_kept_or_recorded_now_is_told_to_come_again() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    world.break_audit(true);
    let unrecorded = revoke(&world, &connected.client, connected.access(), "").await;
    assert_eq!(
        (unrecorded.status.as_u16(), unrecorded.header("retry-after")),
        (503, "5")
    );
    world.break_audit(false);
    world.store.close().await;
    let unkept = revoke(&world, &connected.client, connected.refresh(), "").await;
    assert_eq!((unkept.status.as_u16(), unkept.header("retry-after")), (503, "5"));
    assert_eq!(unkept.error(), (503, "temporarily_unavailable".into()));
}
