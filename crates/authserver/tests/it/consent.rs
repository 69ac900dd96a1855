//! `/consent`.

use std::time::Duration;

use sallyport_core::audit::{Action, Outcome};
use serde_json::json;

use crate::browser::{Browser, hidden, redeem};
use crate::world::{ISSUER, MCP, REDIRECT, WEB_REDIRECT, World, authorize};

#[tokio::test]
async fn the_page_says_who_where_what_and_how_long() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    for text in [
        "<bdi>Test client</bdi>",
        "unverified",
        "127.0.0.1:33418",
        MCP,
        "For 30 days at most.",
        "ada",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(page.body.contains("started this yourself"));
}

#[tokio::test]
async fn co_04_r14_the_policy_admits_the_client_and_nothing_else() {
    let world = World::settled().await;
    let cases = [
        (REDIRECT, "form-action 'self' http://127.0.0.1:33418;"),
        ("http://localhost:1/cb", "form-action 'self' http://localhost:1;"),
        (WEB_REDIRECT, "form-action 'self' https://c.test;"),
        ("cursor://x/cb", "form-action 'self' cursor:;"),
        ("http://[::1]:5/cb", "form-action 'self' http:;"),
    ];
    for (redirect, form_action) in cases {
        let client = world.client(redirect).await;
        let path = authorize(&client, redirect, &[]);
        let mut browser = Browser::default();
        let answer = browser.open(&world, &path).await;
        let login = browser.follow(&world, answer, "none").await;
        let consent = browser.log_in(&world, &path, "ada").await;
        for page in [login, consent] {
            let policy = page.header("content-security-policy");
            assert!(policy.contains(form_action), "{redirect}: {policy}");
            assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"));
            assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
            assert_eq!(page.header("x-frame-options"), "DENY");
        }
    }
}

#[tokio::test]
async fn denial_goes_back_to_the_client() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let answer = browser.decide(&world, &page, "deny").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.redirected("error").as_deref(), Some("access_denied"));
    assert_eq!(answer.redirected("iss").as_deref(), Some(ISSUER));
    assert_eq!(answer.redirected("state").as_deref(), Some("st-1"));
    assert_eq!(world.recorded(Action::Consent, Outcome::Denied), 1);
}

#[tokio::test]
async fn co_02_no_form_of_another_session_counts() {
    let world = World::settled().await;
    world.add_user("eve", false).await;
    let client = world.client(REDIRECT).await;
    let path = authorize(&client, REDIRECT, &[]);
    let mut ada = Browser::of_ada(&world).await;
    let mut eve = Browser::default();
    let eves_page = eve.log_in(&world, &path, "eve").await;
    let adas_page = ada.consent_page(&world, &path).await;
    assert!(ada.decide(&world, &eves_page, "allow").await.is_page(403));
    assert!(
        ada.submit(&world, "/consent", &[("decision", "allow")])
            .await
            .is_page(403)
    );
    let transaction = hidden(&adas_page);
    let fields = [("transaction", transaction.as_str()), ("decision", "allow")];
    for site in ["cross-site", "same-site"] {
        assert!(
            ada.submit_from(&world, "/consent", &fields, site)
                .await
                .is_page(403),
            "{site}"
        );
    }
    assert!(
        Browser::default()
            .submit(&world, "/consent", &fields)
            .await
            .is_page(403)
    );
    let login = Browser::default().open(&world, "/login").await;
    assert!(ada.decide(&world, &login, "allow").await.is_page(403));
    assert_eq!(world.recorded(Action::Consent, Outcome::Ok), 0);
}

#[tokio::test]
async fn co_03_nothing_is_kept_before_the_person_is_known() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let look = world.get(&authorize(&client, REDIRECT, &[])).await;
    assert!(look.headers.get("set-cookie").is_none());
}

#[tokio::test]
async fn co_05_the_form_cannot_be_changed() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let transaction = hidden(&page);
    for extra in [
        ("scope", "mcp admin"),
        ("client_id", "other"),
        ("redirect_uri", "https://evil.test/"),
    ] {
        let fields = [
            ("transaction", transaction.as_str()),
            ("decision", "allow"),
            extra,
        ];
        assert!(
            browser.submit(&world, "/consent", &fields).await.is_page(400),
            "{extra:?}"
        );
    }
    for decision in ["", "yes", "ALLOW"] {
        assert!(
            browser.decide(&world, &page, decision).await.is_page(400),
            "{decision}"
        );
    }
    let twice = [
        ("transaction", transaction.as_str()),
        ("decision", "deny"),
        ("decision", "allow"),
    ];
    assert!(browser.submit(&world, "/consent", &twice).await.is_page(400));
    let mut flipped = transaction.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let fields = [("transaction", flipped.as_str()), ("decision", "allow")];
    assert!(browser.submit(&world, "/consent", &fields).await.is_page(403));
    assert_eq!(world.recorded(Action::Consent, Outcome::Ok), 0);
}

#[tokio::test]
async fn co_08_two_tabs_do_not_disturb_each_other() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let path = authorize(&client, REDIRECT, &[]);
    let first = browser.consent_page(&world, &path).await;
    let second = browser.consent_page(&world, &path).await;
    for page in [first, second] {
        let answer = browser.decide(&world, &page, "allow").await;
        let code = answer.redirected("code").unwrap();
        assert_eq!(redeem(&world, &client, &code, REDIRECT, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn co_09_ten_presses_make_one_code() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    let presses: Vec<_> = (0..10).map(|_| browser.clone()).collect();
    let mut codes = Vec::new();
    for mut tab in presses {
        codes.push(
            tab.decide(&world, &page, "allow")
                .await
                .redirected("code")
                .unwrap(),
        );
    }
    codes.dedup();
    assert_eq!(codes.len(), 1);
    assert_eq!(world.recorded(Action::Consent, Outcome::Ok), 1);
    let late_denial = browser.decide(&world, &page, "deny").await;
    assert_eq!(late_denial.redirected("code"), Some(codes.remove(0)));
    world.pass(Duration::from_secs(60));
    assert!(browser.decide(&world, &page, "allow").await.is_page(400));
}

#[tokio::test]
async fn a_page_that_was_open_for_too_long_counts_no_more() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    world.pass(Duration::from_secs(600) + Duration::from_millis(1));
    assert!(browser.decide(&world, &page, "allow").await.is_page(400));
}

#[tokio::test]
async fn co_10_dc_05_names_are_shown_harmlessly() {
    let world = World::settled().await;
    let names = [
        "<img src=x onerror=alert(1)>",
        "\u{202e}txt.exe\u{200b}",
        &"\u{202e}x".repeat(1_200),
        "\"><script>",
    ];
    for name in names {
        let body = json!({
            "redirect_uris": ["https://xn--bcher-kva.test/cb"], "client_name": name,
            "logo_uri": "http://169.254.169.254/x.png", "client_uri": "javascript:alert(1)",
        });
        let client = world.register(&body).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = authorize(&client, "https://xn--bcher-kva.test/cb", &[]);
        let page = Browser::of_ada(&world).await.consent_page(&world, &path).await;
        for bad in [
            "<img src=x",
            "<script",
            "\u{202e}",
            "\u{200b}",
            "169.254",
            "javascript:",
        ] {
            assert!(!page.body.contains(bad), "{bad}");
        }
        assert!(page.body.contains("xn--bcher-kva.test"));
        assert!(page.body.len() < 10_000);
    }
}

#[tokio::test]
async fn nothing_is_granted_that_cannot_be_recorded() {
    let world = World::settled().await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    let page = browser
        .consent_page(&world, &authorize(&client, REDIRECT, &[]))
        .await;
    world.break_audit(true);
    assert!(browser.decide(&world, &page, "allow").await.is_page(503));
    world.break_audit(false);
    assert!(
        browser
            .decide(&world, &page, "allow")
            .await
            .redirected("code")
            .is_some()
    );
}

#[tokio::test]
async fn co_09_a_press_that_the_browser_gives_up_spoils_nothing() {
    let world = World::with(|s| s.throttle.registrations.burst = 100).await;
    world.add_user("ada", true).await;
    let client = world.client(REDIRECT).await;
    let mut browser = Browser::of_ada(&world).await;
    for steps in 0..40 {
        let page = browser
            .consent_page(&world, &authorize(&client, REDIRECT, &[]))
            .await;
        let mut hasty = browser.clone();
        {
            let mut press = std::pin::pin!(hasty.decide(&world, &page, "allow"));
            for _ in 0..steps {
                tokio::select! {
                    biased;
                    _ = &mut press => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let answer = browser.decide(&world, &page, "allow").await;
        assert!(answer.redirected("code").is_some(), "{steps}: {answer:?}");
        assert_eq!(world.recorded(Action::Consent, Outcome::Ok), steps + 1);
    }
}
