//! Pushed authorization requests (RFC 9126).

use std::time::Duration;

use serde_json::json;

use crate::browser::{Browser, hidden, redeem};
use crate::signed::{Key, claims};
use crate::token::confidential;
use crate::world::{Answer, CHALLENGE, ISSUER, MCP, REDIRECT, WEB_REDIRECT, World, authorize, encode};

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Pushes the request that [`authorize`] would make.
async fn push(world: &World, client: &str, redirect: &str, changes: &[(&str, &str)]) -> Answer {
    let path = authorize(client, redirect, changes);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(path.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    world.form("/par", &fields).await
}

/// The address of a request that was pushed well.
async fn pushed(world: &World, client: &str, redirect: &str, changes: &[(&str, &str)]) -> String {
    let answer = push(world, client, redirect, changes).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    address(client, answer.json()["request_uri"].as_str().unwrap())
}

fn address(client: &str, request_uri: &str) -> String {
    format!(
        "/authorize?{}",
        encode(&[("client_id", client), ("request_uri", request_uri)])
    )
}

#[tokio::test]
async fn a_pushed_request_is_answered_like_any_other() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let answer = push(&world, &client, REDIRECT, &[]).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["expires_in"], json!(90));
    let name = answer.json()["request_uri"].as_str().unwrap().to_owned();
    assert_eq!(name.strip_prefix(PREFIX).map(str::len), Some(43));
    // A program looks first, without cookies; then the browser comes, and the person logs in.
    let path = address(&client, &name);
    let look = world.get(&path).await;
    assert_eq!(look.status, 303, "{look:?}");
    let mut browser = Browser::default();
    let page = browser.log_in(&world, &path, "ada").await;
    assert!(page.body.contains("value=\"allow\""), "{page:?}");
    let answer = browser.decide(&world, &page, "allow").await;
    assert_eq!(answer.redirected("state").as_deref(), Some("st-1"));
    assert_eq!(answer.redirected("iss").as_deref(), Some(ISSUER));
    let code = answer.redirected("code").unwrap();
    let tokens = redeem(&world, &client, &code, REDIRECT, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    assert!(
        world
            .verify(tokens.json()["access_token"].as_str().unwrap(), MCP)
            .is_ok()
    );
}

#[tokio::test]
async fn co_09_a_pushed_request_is_answered_once() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    for decision in ["allow", "deny"] {
        let path = pushed(&world, &client, REDIRECT, &[]).await;
        let first = browser.consent_page(&world, &path).await;
        let second = browser.consent_page(&world, &path).await;
        let answer = browser.decide(&world, &first, decision).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let again = browser.decide(&world, &second, "allow").await;
        assert!(again.is_page(400), "{again:?}");
        let later = browser.open(&world, &path).await;
        assert!(later.is_page(400) && later.body.contains("over"), "{later:?}");
        // A second press of the button that was pressed first still leads where it led.
        let repeated = browser.decide(&world, &first, decision).await;
        assert_eq!(repeated.header("location"), answer.header("location"));
    }
}

#[tokio::test]
async fn tk_03_the_browser_has_ninety_seconds_and_the_person_longer() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    for (after, alive) in [(89_999, true), (90_000, false)] {
        let path = pushed(&world, &client, REDIRECT, &[]).await;
        world.pass(Duration::from_millis(after));
        let answer = browser.open(&world, &path).await;
        assert_eq!(answer.status == 303, alive, "{after} {answer:?}");
        assert_eq!(answer.is_page(400), !alive, "{after} {answer:?}");
    }
    // From then on it is the person who takes time, but not for ever.
    for (after, status) in [(599, 303), (601, 400)] {
        let path = pushed(&world, &client, REDIRECT, &[]).await;
        let page = browser.consent_page(&world, &path).await;
        world.pass(Duration::from_secs(after));
        assert_eq!(
            browser.decide(&world, &page, "allow").await.status,
            status,
            "{after}"
        );
    }
    let path = pushed(&world, &client, REDIRECT, &[]).await;
    browser.open(&world, &path).await;
    world.pass(Duration::from_secs(4199));
    assert_eq!(browser.open(&world, &path).await.status, 303);
    world.pass(Duration::from_secs(1));
    assert!(browser.open(&world, &path).await.is_page(400));
}

#[tokio::test]
async fn tk_04_az_01_the_name_is_nothing_for_another_client() {
    let world = World::settled().await;
    let (mine, evil) = (
        world.client(REDIRECT).await,
        world.client("https://evil.test/cb").await,
    );
    let path = pushed(&world, &mine, REDIRECT, &[]).await;
    let mut browser = Browser::of_ada(&world).await;
    for stolen in [
        path.replace(&mine, &evil),
        path.replace(&mine, "nobody"),
        path.split_once("client_id=").unwrap().0.to_owned() + path.split_once('&').unwrap().1,
        address(&mine, &format!("{PREFIX}{}", "A".repeat(43))),
        address(&mine, PREFIX),
        format!("{path}&request_uri=x"),
    ] {
        let answer = browser.open(&world, &stolen).await;
        assert!(answer.is_page(400), "{stolen} {answer:?}");
    }
    browser.code(&world, &path).await;
}

#[tokio::test]
async fn az_03_what_the_address_says_besides_does_not_count() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let path = pushed(&world, &client, REDIRECT, &[]).await;
    let changed = format!(
        "{path}&{}",
        encode(&[
            ("redirect_uri", "https://evil.test/cb"),
            ("state", "theirs"),
            ("state", "twice"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cX"),
            ("scope", "admin"),
            ("response_type", "token"),
        ])
    );
    let mut browser = Browser::of_ada(&world).await;
    let page = browser.consent_page(&world, &changed).await;
    let answer = browser.decide(&world, &page, "allow").await;
    assert!(answer.header("location").starts_with(REDIRECT), "{answer:?}");
    assert_eq!(answer.redirected("state").as_deref(), Some("st-1"));
    let code = answer.redirected("code").unwrap();
    assert_eq!(redeem(&world, &client, &code, REDIRECT, &[]).await.status, 200);
}

#[tokio::test]
async fn tk_05_tk_07_who_pushes_proves_who_it_is() {
    let world = World::settled().await;
    let (id, secret, header) = confidential(&world, "client_secret_basic").await;
    let path = authorize(&id, REDIRECT, &[]);
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(path.split_once('?').unwrap().1.as_bytes())
            .into_owned()
            .collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let bare = world.form("/par", &fields).await;
    assert_eq!(bare.error(), (401, "invalid_client".into()));
    let wrong = world.form_as("/par", &fields, Some("Basic YTpi")).await;
    assert_eq!(wrong.error(), (400, "invalid_request".into()));
    let posted = [&fields[..], &[("client_secret", "guess")]].concat();
    assert_eq!(
        world.form("/par", &posted).await.error(),
        (401, "invalid_client".into())
    );
    assert_eq!(world.form_as("/par", &fields, Some(&header)).await.status, 201);
    // The header alone names the client too.
    let nameless: Vec<_> = fields
        .iter()
        .copied()
        .filter(|(n, _)| *n != "client_id")
        .collect();
    assert_eq!(world.form_as("/par", &nameless, Some(&header)).await.status, 201);
    let posted = [&fields[..], &[("client_secret", secret.as_str())]].concat();
    let answer = world.form("/par", &posted).await;
    assert_eq!(answer.status, 201);
    // What is kept holds no secret.
    let kept: Vec<u8> = std::fs::read_dir(world.dir.path().join("data"))
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default())
        .collect();
    let holds = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(CHALLENGE) && !holds(&secret));
}

#[tokio::test]
async fn a_signed_statement_may_name_the_endpoint_that_it_is_shown_to() {
    let world = World::settled().await;
    let key = Key::new();
    let body = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks": key.set(),
    });
    let client = world.register(&body).await.json()["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (audience, status) in [
        (ISSUER.to_owned(), 201),
        (format!("{ISSUER}/token"), 201),
        (format!("{ISSUER}/par"), 201),
        (format!("{ISSUER}/authorize"), 401),
    ] {
        let mut statement = claims(&client, &audience);
        statement["aud"] = json!(audience);
        let statement = key.sign(&statement);
        let answer = push(
            &world,
            &client,
            REDIRECT,
            &[
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ),
                ("client_assertion", &statement),
            ],
        )
        .await;
        assert_eq!(answer.status.as_u16(), status, "{audience} {answer:?}");
    }
}

#[tokio::test]
async fn az_02_az_03_az_07_pk_01_pk_02_ru_01_what_would_be_refused_later_is_not_taken() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("redirect_uri", "https://evil.test/cb", "invalid_request"),
        ("redirect_uri", "", "invalid_request"),
        ("resource", "https://elsewhere.test", "invalid_target"),
        (
            "request_uri",
            "urn:ietf:params:oauth:request_uri:x",
            "invalid_request",
        ),
        ("request_uri", "http://127.0.0.1:9/x", "invalid_request"),
        ("request", "e30.e30.", "request_not_supported"),
    ] {
        let answer = push(&world, &client, REDIRECT, &[(name, value)]).await;
        assert_eq!(answer.error(), (400, error.into()), "{name}={value}");
    }
    let twice = [
        ("client_id", client.as_str()),
        ("redirect_uri", REDIRECT),
        ("redirect_uri", REDIRECT),
    ];
    assert_eq!(
        world.form("/par", &twice).await.error(),
        (400, "invalid_request".into())
    );
    assert_eq!(world.get("/par").await.status, 405);
    let unknown = push(&world, "nobody", REDIRECT, &[]).await;
    assert_eq!(unknown.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn a_client_may_bind_itself_to_pushing() {
    let world = World::settled().await;
    let member = "require_pushed_authorization_requests";
    let body = json!({ "redirect_uris": [REDIRECT], member: true });
    let echo = world.register(&body).await.json();
    assert_eq!(echo[member], json!(true));
    let client = echo["client_id"].as_str().unwrap();
    let mut browser = Browser::of_ada(&world).await;
    let plain = browser.open(&world, &authorize(client, REDIRECT, &[])).await;
    assert_eq!(
        plain.redirected("error").as_deref(),
        Some("invalid_request"),
        "{plain:?}"
    );
    assert_eq!(plain.redirected("state").as_deref(), Some("st-1"));
    let path = pushed(&world, client, REDIRECT, &[]).await;
    browser.code(&world, &path).await;
    let wrong = world
        .register(&json!({ "redirect_uris": [REDIRECT], member: "yes" }))
        .await;
    assert_eq!(wrong.error(), (400, "invalid_client_metadata".into()));
}

#[tokio::test]
async fn prompt_login_of_a_pushed_request_is_met_by_a_log_in_since() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    world.pass(Duration::from_secs(1));
    let path = pushed(&world, &client, REDIRECT, &[("prompt", "login")]).await;
    world.pass(Duration::from_secs(1));
    for attempt in [
        path.clone(),
        format!("{path}&prompt=consent"),
        format!("{path}&prompt=none"),
    ] {
        let answer = browser.open(&world, &attempt).await;
        assert!(
            answer.header("location").starts_with("/login?"),
            "{attempt} {answer:?}"
        );
    }
    let page = browser.log_in(&world, &path, "ada").await;
    assert!(page.body.contains("value=\"allow\""), "{page:?}");
    let answer = browser.decide(&world, &page, "allow").await;
    assert!(answer.redirected("code").is_some(), "{answer:?}");
}

#[tokio::test]
async fn co_01_a_remembered_yes_answers_a_pushed_request_from_here_only_and_uses_it_up() {
    let world = World::settled().await;
    let client = world.client(WEB_REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let path = pushed(&world, &client, WEB_REDIRECT, &[]).await;
    browser.code(&world, &path).await;
    let path = pushed(&world, &client, WEB_REDIRECT, &[]).await;
    let elsewhere = browser.open_from(&world, &path, "cross-site").await;
    assert!(
        elsewhere.header("location").starts_with("/consent?"),
        "{elsewhere:?}"
    );
    let direct = browser.open(&world, &path).await;
    assert!(direct.redirected("code").is_some(), "{direct:?}");
    assert!(browser.open(&world, &path).await.is_page(400));
    // A log-in on the way from another site does not make it a visit from here.
    let path = pushed(&world, &client, WEB_REDIRECT, &[]).await;
    let mut other = Browser::default();
    let look = other.open_from(&world, &path, "cross-site").await;
    let form = other.follow(&world, look, "cross-site").await;
    let fields = [
        ("transaction", hidden(&form)),
        ("username", "ada".to_owned()),
        ("password", crate::world::PASSWORD.to_owned()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let answer = other.submit(&world, "/login", &fields).await;
    let page = other.follow(&world, answer, "same-origin").await;
    assert!(page.body.contains("value=\"allow\""), "{page:?}");
}

#[tokio::test]
async fn dc_01_pushing_is_throttled_by_peer_and_what_waits_is_bounded() {
    let world = World::with(|settings| settings.throttle.pushed.burst = 3).await;
    let client = world.client(REDIRECT).await;
    for _ in 0..3 {
        assert_eq!(push(&world, &client, REDIRECT, &[]).await.status, 201);
    }
    let answer = push(&world, &client, REDIRECT, &[]).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(!answer.header("retry-after").is_empty());
    world.pass(Duration::from_secs(60));
    assert_eq!(push(&world, &client, REDIRECT, &[]).await.status, 201);
}
