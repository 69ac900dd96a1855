//! `/token` with a code.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;
use serde_json::{Value, json};

use crate::browser::{Browser, Connected, redeem, refresh};
use crate::world::{Answer, MCP, REDIRECT, TEAM, VERIFIER, World, authorize};

async fn code_for(world: &World) -> (String, String) {
    let client = world.client(REDIRECT).await;
    let code = Browser::of_ada(world)
        .await
        .code(world, &authorize(&client, REDIRECT, &[]))
        .await;
    (client, code)
}

/// A registration with a secret, and its `Authorization` header.
pub(crate) async fn confidential(world: &World, method: &str) -> (String, String, String) {
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method });
    let echo = world.register(&body).await.json();
    let text = |member: &str| echo[member].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    (id, secret, header)
}

pub(crate) async fn code_of(world: &World, client: &str) -> String {
    Browser::of_ada(world)
        .await
        .code(world, &authorize(client, REDIRECT, &[]))
        .await
}

#[tokio::test]
async fn tk_01_a_code_that_is_shown_again_ends_everything_it_made() {
    let world = World::settled().await;
    let (client, code) = code_for(&world).await;
    let tokens = redeem(&world, &client, &code, REDIRECT, &[]).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    assert!(world.verify(access, MCP).is_ok());
    let again = redeem(&world, &client, &code, REDIRECT, &[]).await;
    assert_eq!(again.error(), (400, "invalid_grant".into()));
    assert_eq!(world.verify(access, MCP), Err(TokenError::Revoked));
    let token = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(
        refresh(&world, &client, token, &[]).await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(world.recorded(Action::ReuseDetected, Outcome::Denied), 1);
}

#[tokio::test]
async fn tk_02_of_sixty_four_at_once_one_gets_tokens() {
    let world = Arc::new(World::with(|s| s.throttle.token_failures.burst = 1000).await);
    world.add_user("ada", true).await;
    let (client, code) = code_for(&world).await;
    let tries: Vec<_> = (0..64)
        .map(|_| {
            let (world, client, code) = (world.clone(), client.clone(), code.clone());
            tokio::spawn(async move { redeem(&world, &client, &code, REDIRECT, &[]).await })
        })
        .collect();
    let mut answers: Vec<Answer> = Vec::new();
    for task in tries {
        answers.push(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
    assert!(
        answers
            .iter()
            .filter(|a| a.status != 200)
            .all(|a| a.error() == (400, "invalid_grant".into()))
    );
}

#[tokio::test]
async fn tk_03_a_code_lives_sixty_seconds() {
    let world = World::settled().await;
    for (after, status) in [(59_999, 200), (60_000, 400)] {
        let (client, code) = code_for(&world).await;
        world.pass(Duration::from_millis(after));
        assert_eq!(
            redeem(&world, &client, &code, REDIRECT, &[]).await.status,
            status,
            "{after}"
        );
    }
}

#[tokio::test]
async fn tk_04_pk_04_pk_05_au_03_a_failed_try_uses_the_code_up() {
    let world = World::settled().await;
    let other = world.client(REDIRECT).await;
    let (short, long, wrong) = ("a".repeat(42), "a".repeat(129), "a".repeat(43));
    let cases: &[(&str, &str, &str)] = &[
        ("client_id", &other, "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1:1/cb", "invalid_grant"),
        ("code_verifier", &wrong, "invalid_grant"),
        ("code_verifier", &short, "invalid_grant"),
        ("code_verifier", &long, "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("resource", TEAM, "invalid_target"),
        ("resource", "nonsense", "invalid_target"),
    ];
    for (name, value, error) in cases {
        let (client, code) = code_for(&world).await;
        let answer = redeem(&world, &client, &code, REDIRECT, &[(name, value)]).await;
        assert_eq!(answer.error(), (400, (*error).into()), "{name}={value}");
        let right = redeem(&world, &client, &code, REDIRECT, &[]).await;
        assert_eq!(right.error(), (400, "invalid_grant".into()), "{name}={value}");
    }
}

#[tokio::test]
async fn tk_08_only_a_posted_form_counts() {
    let world = World::settled().await;
    let (client, code) = code_for(&world).await;
    let query = format!(
        "/token?grant_type=authorization_code&client_id={client}&code={code}&code_verifier={VERIFIER}"
    );
    assert_eq!(world.get(&query).await.status, 405);
    assert_eq!(
        world.form(&query, &[]).await.error(),
        (400, "invalid_request".into())
    );
    for media in [Some("application/json"), Some("multipart/form-data"), None] {
        let mut request = Request::post("/token");
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        let body =
            format!("grant_type=authorization_code&client_id={client}&code={code}&code_verifier={VERIFIER}");
        let answer = world.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{media:?}");
    }
    let charset = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .body(Body::from(format!(
            "grant_type=authorization_code&client_id={client}&code={code}&code_verifier={VERIFIER}"
        )))
        .unwrap();
    assert_eq!(world.send(charset).await.status, 200);
}

#[tokio::test]
async fn tk_12_answers_are_not_kept() {
    let world = World::settled().await;
    let (client, code) = code_for(&world).await;
    let good = redeem(&world, &client, &code, REDIRECT, &[]).await;
    let bad = redeem(&world, &client, "x", REDIRECT, &[]).await;
    for answer in [good, bad] {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn tk_14_odd_bytes_and_long_values() {
    let world = World::settled().await;
    let long = format!(
        "grant_type=refresh_token&client_id=x&refresh_token={}",
        "a".repeat(1 << 20)
    );
    for body in [
        "grant_type=authorization_code&client_id=x&code=%00",
        "grant_type=authorization_code&client_id=%ff&code=x",
        "grant_type=authorization_code&client_id=x&code=a%0d%0ab",
        "grant_type=authorization_code&client_id=x&code=%zz",
        &long,
    ] {
        let request = Request::post("/token").header("content-type", "application/x-www-form-urlencoded");
        let answer = world
            .send(request.body(Body::from(body.to_owned())).unwrap())
            .await;
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{}", &body[..50]);
    }
}

#[tokio::test]
async fn r18_expires_in_is_true_and_the_claims_are_right() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let payload = connected.access().split('.').nth(1).unwrap().to_owned();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["aud"], json!(MCP));
    assert_eq!(claims["client_id"], json!(connected.client));
    assert_eq!(claims["scope"], json!("mcp"));
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(connected.tokens["expires_in"], json!(life));
    world.pass(Duration::from_secs(899));
    assert!(world.verify(connected.access(), MCP).is_ok());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.verify(connected.access(), MCP), Err(TokenError::Expired));
}

#[tokio::test]
async fn no_token_is_issued_that_cannot_be_recorded() {
    let world = World::settled().await;
    let (client, code) = code_for(&world).await;
    world.break_audit(true);
    let answer = redeem(&world, &client, &code, REDIRECT, &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".into()));
}

#[tokio::test]
async fn dc_10_secrets_are_kept_as_hashes_only() {
    let world = World::settled().await;
    let (client, secret, header) = confidential(&world, "client_secret_basic").await;
    let mut browser = Browser::of_ada(&world).await;
    let code = browser.code(&world, &authorize(&client, REDIRECT, &[])).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let tokens = world.form_as("/token", &fields, Some(&header)).await.json();
    let text = |member: &str| tokens[member].as_str().unwrap().to_owned();
    let mut secrets = vec![
        secret,
        code,
        text("access_token"),
        text("refresh_token"),
        VERIFIER.to_owned(),
    ];
    secrets.extend(browser.cookies.into_values());
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(world.dir.path().join("data")).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |needle: &str| {
        kept.windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    assert!(holds(&client));
    for secret in secrets {
        assert!(!holds(&secret));
    }
}
