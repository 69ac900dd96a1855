//! `/authorize`.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::browser::{Browser, redeem};
use crate::world::{ISSUER, MCP, REDIRECT, TEAM, WEB_REDIRECT, World, authorize};

#[tokio::test]
async fn az_01_unknown_client_or_redirect_is_a_page_without_links_out() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    for path in [
        authorize("nope", "https://evil.test/cb", &[]),
        authorize(&client, "https://evil.test/cb", &[]),
        authorize(&client, REDIRECT, &[("client_id", "")]),
        authorize(&client, REDIRECT, &[("redirect_uri", "")]),
        "/authorize".to_owned(),
    ] {
        let answer = world.get(&path).await;
        assert!(answer.is_page(400), "{path}: {answer:?}");
        assert!(
            !answer.body.contains("evil.test") && answer.body.contains("What to do"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn az_02_az_07_pk_01_pk_02_pk_03_au_02_errors_go_to_the_client_with_state_and_iss() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "id_token")], "unsupported_response_type"),
        (&[("response_type", "none")], "unsupported_response_type"),
        (&[("response_type", "code token")], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("request", "e30.e30.")], "request_not_supported"),
        (
            &[("request_uri", "http://127.0.0.1:9/x")],
            "request_uri_not_supported",
        ),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("resource", "https://evil.test/mcp")], "invalid_target"),
        (&[("resource", "/mcp")], "invalid_target"),
        (&[("resource", "http://127.0.0.1:8717/mcp#x")], "invalid_target"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "none")], "login_required"),
    ];
    for (changes, error) in cases {
        let answer = world.get(&authorize(&client, REDIRECT, changes)).await;
        assert_eq!(answer.status, 303, "{changes:?}");
        assert!(
            answer.header("location").starts_with(&format!("{REDIRECT}?")),
            "{changes:?}"
        );
        assert_eq!(answer.redirected("error").as_deref(), Some(*error), "{changes:?}");
        assert_eq!(answer.redirected("state").as_deref(), Some("st-1"), "{changes:?}");
        assert_eq!(answer.redirected("iss").as_deref(), Some(ISSUER), "{changes:?}");
        assert!(!answer.header("location").contains('#'));
    }
}

#[tokio::test]
async fn pk_03_an_empty_challenge_is_none() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let path = format!(
        "{}&code_challenge=",
        authorize(&client, REDIRECT, &[("code_challenge", "")])
    );
    assert_eq!(
        world.get(&path).await.redirected("error").as_deref(),
        Some("invalid_request")
    );
}

#[tokio::test]
async fn az_03_parameters_that_come_twice() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let base = authorize(&client, REDIRECT, &[]);
    for repeated in ["client_id=other", "redirect_uri=https://evil.test/cb"] {
        assert!(
            world.get(&format!("{base}&{repeated}")).await.is_page(400),
            "{repeated}"
        );
    }
    for repeated in [
        "state=other",
        "scope=other",
        "code_challenge=other",
        "response_type=code",
        "prompt=x&prompt=y",
    ] {
        let answer = world.get(&format!("{base}&{repeated}")).await;
        assert_eq!(
            answer.redirected("error").as_deref(),
            Some("invalid_request"),
            "{repeated}"
        );
    }
    let state = world.get(&format!("{base}&state=other")).await;
    assert_eq!(state.redirected("state"), None);
}

#[tokio::test]
async fn az_04_a_post_has_its_parameters_in_one_place() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let query = authorize(&client, REDIRECT, &[])
        .split_once('?')
        .unwrap()
        .1
        .to_owned();
    let send = async |path: &str| {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        world.send(request.body(Body::from(query.clone())).unwrap()).await
    };
    assert!(send("/authorize?client_id=evil").await.is_page(400));
    let good = send("/authorize").await;
    assert!(
        good.status == 303 && good.header("location").starts_with("/login?next=%2Fauthorize%3F"),
        "{good:?}"
    );
}

#[tokio::test]
async fn az_09_prompt_none_never_shows_a_page() {
    let world = World::settled().await;
    let client = world.client(WEB_REDIRECT).await;
    let path = authorize(&client, WEB_REDIRECT, &[("prompt", "none")]);
    let mut browser = Browser::of_ada(&world).await;
    let asked = browser.open(&world, &path).await;
    assert_eq!(asked.redirected("error").as_deref(), Some("consent_required"));
    browser.code(&world, &authorize(&client, WEB_REDIRECT, &[])).await;
    assert!(browser.open(&world, &path).await.redirected("code").is_some());
    let elsewhere = browser.open_from(&world, &path, "cross-site").await;
    assert_eq!(elsewhere.redirected("error").as_deref(), Some("consent_required"));
    let nobody = Browser::default().open(&world, &path).await;
    assert_eq!(nobody.redirected("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn az_11_nothing_of_a_request_reaches_the_error_texts() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let odd = "a\u{e9} <script>\"';";
    let answer = world
        .get(&authorize(
            &client,
            REDIRECT,
            &[("response_type", odd), ("state", odd)],
        ))
        .await;
    let description = answer.redirected("error_description").unwrap();
    assert!(
        description
            .bytes()
            .all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
        "{description}"
    );
    assert_eq!(answer.redirected("state").as_deref(), Some(odd));
    for broken in ["state=%0d%0aSet-Cookie:x", "state=%00", "state=%ff", "state=%"] {
        let path = format!("{}&{broken}", authorize(&client, REDIRECT, &[("state", "")]));
        assert!(world.get(&path).await.is_page(400), "{broken}");
    }
    let long = "x".repeat(17 * 1024);
    assert!(
        world
            .get(&authorize(&client, REDIRECT, &[("state", &long)]))
            .await
            .is_page(400)
    );
}

#[tokio::test]
async fn az_12_no_answer_leaks_the_address() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let answer = browser.decide(&world, &page, "allow").await;
    for answer in [&page, &answer] {
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    assert!(!page.body.contains("src=\"http") && !page.body.contains("href=\"http"));
}

#[tokio::test]
async fn r11_a_bare_program_may_look_first() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let path = authorize(&client, REDIRECT, &[]);
    for _ in 0..3 {
        let look = world.get(&path).await;
        assert_eq!(look.status, 303);
        assert!(look.headers.get("set-cookie").is_none());
    }
    let mut browser = Browser::default();
    let page = browser.log_in(&world, &path, "ada").await;
    assert!(
        browser
            .decide(&world, &page, "allow")
            .await
            .redirected("code")
            .is_some()
    );
}

#[tokio::test]
async fn r12_r13_prompts_and_scopes_that_clients_send() {
    let world = World::settled().await;
    let client = world.client(WEB_REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    browser.code(&world, &authorize(&client, WEB_REDIRECT, &[])).await;
    for prompt in ["consent", "consent select_account", "select_account"] {
        let answer = browser
            .open(&world, &authorize(&client, WEB_REDIRECT, &[("prompt", prompt)]))
            .await;
        assert!(answer.header("location").starts_with("/consent?"), "{prompt}");
    }
    let unknown = browser
        .open(&world, &authorize(&client, WEB_REDIRECT, &[("prompt", "create")]))
        .await;
    assert!(unknown.redirected("code").is_some());
    for scope in ["openid email profile", "mcp offline_access", ""] {
        let code = browser
            .code(&world, &authorize(&client, WEB_REDIRECT, &[("scope", scope)]))
            .await;
        let answer = redeem(&world, &client, &code, WEB_REDIRECT, &[]).await;
        assert_eq!(answer.json()["scope"], json!("mcp"), "{scope}");
    }
}

#[tokio::test]
async fn prompt_login_asks_for_the_password_once() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let path = authorize(&client, REDIRECT, &[("prompt", "login")]);
    let page = browser.log_in(&world, &path, "ada").await;
    assert!(page.body.contains("value=\"allow\""), "{page:?}");
}

#[tokio::test]
async fn au_01_r6_without_resource_the_token_is_for_the_default_one() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    for (resource, expected) in [("", MCP), ("http://127.0.0.1:8717/mcp/", MCP), (TEAM, TEAM)] {
        let code = browser
            .code(&world, &authorize(&client, REDIRECT, &[("resource", resource)]))
            .await;
        let token = redeem(&world, &client, &code, REDIRECT, &[]).await.json();
        let token = token["access_token"].as_str().unwrap();
        assert!(world.verify(token, expected).is_ok(), "{resource}");
        let other = if expected == MCP { TEAM } else { MCP };
        assert!(world.verify(token, other).is_err(), "{resource}");
    }
}

#[tokio::test]
async fn az_08_more_scopes_than_registered_are_not_granted() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let code = browser
        .code(&world, &authorize(&client, REDIRECT, &[("scope", "admin mcp:*")]))
        .await;
    assert_eq!(
        redeem(&world, &client, &code, REDIRECT, &[]).await.json()["scope"],
        json!("mcp")
    );
}
