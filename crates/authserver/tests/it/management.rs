//! `/register/{client_id}`.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;
use serde_json::{Value, json};

use crate::browser::{Connected, refresh};
use crate::world::{Answer, ISSUER, MCP, REDIRECT, WEB_REDIRECT, World};

async fn registered(world: &World, body: &Value) -> Value {
    let answer = world.register(body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn text<'a>(registration: &'a Value, member: &str) -> &'a str {
    registration[member]
        .as_str()
        .unwrap_or_else(|| panic!("{member}: {registration}"))
}

async fn manage(world: &World, method: &str, id: &str, token: &str, body: Option<&Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("/register/{id}"));
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    world.send(request.body(body).unwrap()).await
}

fn public() -> Value {
    json!({ "redirect_uris": [REDIRECT], "client_name": "First" })
}

#[tokio::test]
async fn a_client_looks_at_changes_and_ends_its_registration() {
    let world = World::settled().await;
    let echo = registered(&world, &public()).await;
    let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    assert_eq!(
        text(&echo, "registration_client_uri"),
        format!("{ISSUER}/register/{id}")
    );
    let (prefix, secret) = token.split_at(4);
    assert_eq!((prefix, secret.len()), ("reg-", 43));
    let seen = manage(&world, "GET", id, token, None).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.header("cache-control"), "no-store");
    assert_eq!(seen.json(), echo);
    let change = json!({ "client_id": id, "redirect_uris": [WEB_REDIRECT], "client_name": "Second" });
    let changed = manage(&world, "PUT", id, token, Some(&change)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let changed = changed.json();
    assert_eq!(changed["client_name"], json!("Second"));
    assert_eq!(changed["redirect_uris"], json!([WEB_REDIRECT]));
    assert_eq!(changed["client_id_issued_at"], echo["client_id_issued_at"]);
    let next = text(&changed, "registration_access_token");
    assert_ne!(next, token);
    let page = world.get(&crate::world::authorize(id, REDIRECT, &[])).await;
    assert!(page.is_page(400), "the former redirect URI is none any more");
    let ended = manage(&world, "DELETE", id, next, None).await;
    assert_eq!((ended.status.as_u16(), ended.body.as_str()), (204, ""));
    assert_eq!(world.recorded(Action::ClientUpdate, Outcome::Ok), 1);
    assert_eq!(world.recorded(Action::ClientDelete, Outcome::Ok), 1);
}

#[tokio::test]
async fn dc_06_an_access_token_opens_no_registration() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    for token in [connected.access(), connected.refresh()] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = manage(&world, method, &connected.client, token, None).await;
            assert_eq!(answer.error(), (403, "insufficient_scope".into()), "{method}");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.starts_with("Bearer "), "{challenge}");
        }
    }
    assert!(world.verify(connected.access(), MCP).is_ok());
    let bare = manage(&world, "GET", &connected.client, "", None).await;
    assert_eq!(bare.error(), (401, "invalid_token".into()));
    assert!(bare.header("www-authenticate").starts_with("Bearer "));
}

#[tokio::test]
async fn dc_07_a_token_opens_no_other_registration() {
    let world = World::new().await;
    let (a, b) = (
        registered(&world, &public()).await,
        registered(&world, &public()).await,
    );
    let token = text(&a, "registration_access_token");
    let mut told = Vec::new();
    for id in [text(&b, "client_id"), "nobody", "%2e%2e", "a%00b"] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = manage(&world, method, id, token, Some(&public())).await;
            assert_eq!(answer.status, 401, "{method} {id}");
            told.push((answer.body, answer.headers));
        }
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    let own = manage(
        &world,
        "GET",
        text(&b, "client_id"),
        text(&b, "registration_access_token"),
        None,
    );
    assert_eq!(own.await.status, 200);
}

#[tokio::test]
async fn dc_07_guessing_tokens_of_registrations_gets_slow() {
    let world = World::with(|s| s.throttle.token_failures.burst = 2).await;
    for _ in 0..2 {
        assert_eq!(manage(&world, "GET", "x", "reg-guess", None).await.status, 401);
    }
    assert_eq!(manage(&world, "GET", "x", "reg-guess", None).await.status, 429);
}

#[tokio::test]
async fn dc_08_nobody_chooses_its_own_id_or_secret() {
    let world = World::new().await;
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let echo = registered(&world, &body).await;
    let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    let with = |member: &str, value: Value| {
        let mut body = body.clone();
        body["client_id"] = json!(id);
        body[member] = value;
        body
    };
    for change in [
        with("client_id", json!("another")),
        with("client_secret", json!("chosen by myself")),
        with("registration_access_token", json!("reg-mine")),
        with("client_secret_expires_at", json!(0)),
    ] {
        let answer = manage(&world, "PUT", id, token, Some(&change)).await;
        assert_eq!(
            answer.error(),
            (400, "invalid_client_metadata".into()),
            "{change}"
        );
    }
    let bad = with("redirect_uris", json!(["javascript:alert(1)"]));
    let answer = manage(&world, "PUT", id, token, Some(&bad)).await;
    assert_eq!(answer.error(), (400, "invalid_redirect_uri".into()));
    assert_eq!(
        manage(&world, "GET", id, token, None).await.json()["redirect_uris"],
        json!([REDIRECT])
    );
    // Its own secret may stand in the change, and goes on.
    let own = with("client_secret", echo["client_secret"].clone());
    let changed = manage(&world, "PUT", id, token, Some(&own)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert!(changed.json().get("client_secret").is_none());
    let fields = [
        ("token", "x"),
        ("client_id", id),
        ("client_secret", text(&echo, "client_secret")),
    ];
    assert_eq!(world.form("/revoke", &fields).await.status, 200);
}

#[tokio::test]
async fn a_client_that_begins_to_need_a_secret_is_told_it_once() {
    let world = World::new().await;
    let echo = registered(&world, &public()).await;
    let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    let mut change = public();
    change["client_id"] = json!(id);
    change["token_endpoint_auth_method"] = json!("client_secret_basic");
    let changed = manage(&world, "PUT", id, token, Some(&change)).await.json();
    let secret = text(&changed, "client_secret");
    let fields = [("token", "x"), ("client_id", id), ("client_secret", secret)];
    assert_eq!(world.form("/revoke", &fields).await.status, 200);
    let token = text(&changed, "registration_access_token");
    let seen = manage(&world, "GET", id, token, None).await.json();
    assert!(seen.get("client_secret").is_none());
    change["token_endpoint_auth_method"] = json!("none");
    let changed = manage(&world, "PUT", id, token, Some(&change)).await;
    assert_eq!(changed.status, 200);
    assert_eq!(world.form("/revoke", &fields).await.status, 401);
}

#[tokio::test]
async fn dc_09_after_its_end_nothing_of_a_client_counts() {
    let world = World::settled().await;
    let echo = registered(&world, &public()).await;
    let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    let code = crate::token::code_of(&world, id).await;
    let waiting = crate::token::code_of(&world, id).await;
    let tokens = crate::browser::redeem(&world, id, &code, REDIRECT, &[])
        .await
        .json();
    let access = text(&tokens, "access_token");
    assert!(world.verify(access, MCP).is_ok());
    assert_eq!(manage(&world, "DELETE", id, token, None).await.status, 204);
    assert_eq!(world.verify(access, MCP), Err(TokenError::Revoked));
    let answer = refresh(&world, id, text(&tokens, "refresh_token"), &[]).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
    let answer = crate::browser::redeem(&world, id, &waiting, REDIRECT, &[]).await;
    assert_eq!(answer.error(), (401, "invalid_client".into()));
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(manage(&world, method, id, token, None).await.status, 401);
    }
    assert!(
        world
            .get(&crate::world::authorize(id, REDIRECT, &[]))
            .await
            .is_page(400)
    );
}

#[tokio::test]
async fn dc_10_a_change_gives_another_token_and_only_hashes_are_kept() {
    let world = World::new().await;
    let echo = registered(&world, &public()).await;
    let (id, first) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    let mut change = public();
    change["client_id"] = json!(id);
    let changed = manage(&world, "PUT", id, first, Some(&change)).await.json();
    let second = text(&changed, "registration_access_token");
    assert_eq!(manage(&world, "GET", id, first, None).await.status, 401);
    assert_eq!(manage(&world, "GET", id, second, None).await.status, 200);
    for entry in std::fs::read_dir(world.dir.path().join("data")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for token in [first, second] {
            let secret = token.strip_prefix("reg-").unwrap().as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

#[tokio::test]
async fn a_registrations_token_ends_after_ninety_days_or_never() {
    const DAY: Duration = Duration::from_secs(86_400);
    for (lifetime, status) in [(Some(DAY * 90), 401), (None, 200)] {
        let world = World::with(|s| s.client_lifetime = lifetime).await;
        let echo = registered(&world, &public()).await;
        let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
        world.pass(DAY * 90 - Duration::from_secs(1));
        assert_eq!(manage(&world, "GET", id, token, None).await.status, 200);
        world.pass(Duration::from_secs(1));
        assert_eq!(
            manage(&world, "GET", id, token, None).await.status,
            status,
            "{lifetime:?}"
        );
    }
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_recorded() {
    let world = World::settled().await;
    let echo = registered(&world, &public()).await;
    let (id, token) = (text(&echo, "client_id"), text(&echo, "registration_access_token"));
    let mut change = public();
    change["client_id"] = json!(id);
    world.break_audit(true);
    for (method, body) in [("PUT", Some(&change)), ("DELETE", None)] {
        let answer = manage(&world, method, id, token, body).await;
        assert_eq!(
            answer.error(),
            (503, "temporarily_unavailable".into()),
            "{method}"
        );
    }
    world.break_audit(false);
    assert_eq!(manage(&world, "GET", id, token, None).await.json(), echo);
}
