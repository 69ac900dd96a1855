//! AZ: the authorization endpoint.

use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::{Tokens, get, walk};
use serde_json::json;

use super::{ADA, Canary, Stage, WEB, is_page, redirected};

#[tokio::test]
async fn az_01_a_stranger_gets_a_page_and_no_redirect() {
    let stage = Stage::new().await.unwrap();
    for changes in [
        &[("client_id", "nope"), ("redirect_uri", "https://evil.test/cb")][..],
        &[("client_id", "nope")],
        &[("client_id", "")],
        &[("redirect_uri", "https://evil.test/cb")],
    ] {
        let answer = stage.get(&stage.authorize(changes)).await.unwrap();
        assert!(is_page(&answer, 400), "{changes:?} {answer:?}");
        assert!(!answer.text().contains("evil.test"), "{changes:?}");
    }
}

#[tokio::test]
async fn az_02_only_codes_are_given_out() {
    let stage = Stage::new().await.unwrap();
    for kind in [
        "token",
        "id_token",
        "none",
        "code token",
        "code id_token",
        "token code",
    ] {
        let answer = stage
            .get(&stage.authorize(&[("response_type", kind)]))
            .await
            .unwrap();
        assert!(matches!(answer.status(), 302 | 303), "{kind} {answer:?}");
        let location = answer.header("location").unwrap();
        assert!(
            location.starts_with(&stage.client.redirect) && !location.contains('#'),
            "{location}"
        );
        for (name, value) in [
            ("error", "unsupported_response_type"),
            ("state", "state-of-the-test"),
            ("iss", &stage.gateway.origin()),
        ] {
            assert_eq!(redirected(&answer, name).as_deref(), Some(value), "{kind}");
        }
    }
}

#[tokio::test]
async fn az_03_neither_the_first_nor_the_last_value_wins() {
    let stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[("scope", "mcp")]);
    for again in ["client_id=other", "redirect_uri=https%3A%2F%2Fevil.test%2Fcb"] {
        let answer = stage.get(&format!("{path}&{again}")).await.unwrap();
        assert!(is_page(&answer, 400), "{again} {answer:?}");
    }
    for again in [
        "state=other",
        "scope=other",
        "code_challenge=other",
        "code_challenge_method=plain",
        "response_type=token",
    ] {
        let answer = stage.get(&format!("{path}&{again}")).await.unwrap();
        assert_eq!(
            redirected(&answer, "error").as_deref(),
            Some("invalid_request"),
            "{again}"
        );
    }
}

#[tokio::test]
async fn az_04_query_and_body_are_never_merged() {
    let stage = Stage::new().await.unwrap();
    let good = stage.authorize(&[]);
    let (_, body) = good.split_once('?').unwrap();
    for target in ["/authorize?client_id=evil", "/authorize?state=other", &good] {
        let request = Request::post(target)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        let answer = stage.ask(&request).await.unwrap();
        assert!(is_page(&answer, 400), "{target} {answer:?}");
    }
}

#[tokio::test]
async fn az_05_no_other_origin_may_read_a_page() {
    let stage = Stage::with("allowed_origins: [\"https://app.test\"]\n")
        .await
        .unwrap();
    for path in ["/authorize", "/login", "/consent", "/setup", "/"] {
        for origin in ["https://evil.test", "https://app.test"] {
            for method in ["OPTIONS", "GET"] {
                let request = Request::new(method, path)
                    .header("Origin", origin)
                    .header("Access-Control-Request-Method", "GET");
                let answer = stage.ask(&request).await.unwrap();
                let open = answer
                    .head
                    .headers
                    .iter()
                    .find(|(name, _)| name.starts_with("access-control-allow"));
                assert!(open.is_none(), "{method} {path} {origin} {open:?}");
            }
        }
    }
}

#[tokio::test]
async fn az_06_a_posted_password_is_never_posted_on() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let page = stage.browser.open(&path).await.unwrap();
    let page = stage.browser.follow(page).await.unwrap().unwrap();
    let form = page.form_with("password").unwrap();
    let form = form.fill("username", ADA.0).fill("password", ADA.1);
    let login = stage.browser.submit(&page, &form).await.unwrap();
    assert!(
        matches!(login.answer.status(), 302 | 303),
        "{:?}",
        login.answer.head
    );
    let page = stage.browser.follow(login).await.unwrap().unwrap();
    let form = page.consent().unwrap().press("decision", "allow");
    let consent = stage.browser.submit(&page, &form).await.unwrap();
    assert!(
        matches!(consent.answer.status(), 302 | 303),
        "{:?}",
        consent.answer.head
    );
    assert!(redirected(&consent.answer, "code").is_some());
}

#[tokio::test]
async fn az_07_nobody_makes_the_gateway_fetch_a_request() {
    let stage = Stage::new().await.unwrap();
    let canary = Canary::new().unwrap();
    for (name, value, error) in [
        ("request_uri", canary.url().unwrap(), "request_uri_not_supported"),
        ("request", "e30.e30.".to_owned(), "request_not_supported"),
    ] {
        let answer = stage.get(&stage.authorize(&[(name, &value)])).await.unwrap();
        assert_eq!(redirected(&answer, "error").as_deref(), Some(error));
    }
    assert!(canary.sings());
}

#[tokio::test]
async fn az_08_nobody_gets_more_than_there_is_to_get() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[("scope", "admin mcp:* mcp")]);
    let page = stage.browser.open(&path).await.unwrap();
    let back = walk(&mut stage.browser, page, ADA, "allow").await.unwrap();
    let parameters = back
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let parameters = parameters.collect();
    let answer = stage
        .redeem(get(&parameters, "code").unwrap(), &[])
        .await
        .unwrap();
    assert_eq!(answer.json().unwrap()["scope"], "mcp");
    let claims = Tokens::read(answer).unwrap().claims().unwrap();
    assert_eq!(claims["scope"], "mcp");
}

#[tokio::test]
async fn az_09_prompt_none_asks_nobody() {
    let mut stage = Stage::new().await.unwrap();
    let web = stage.client_at(WEB).await.unwrap();
    let path = stage.authorize_of(&web, &[("prompt", "none")]);
    let answer = stage.get(&path).await.unwrap();
    assert_eq!(redirected(&answer, "error").as_deref(), Some("login_required"));
    stage.tokens().await.unwrap();
    let page = stage.browser.open(&path).await.unwrap();
    assert_eq!(
        redirected(&page.answer, "error").as_deref(),
        Some("consent_required")
    );
    assert_eq!(redirected(&page.answer, "code"), None);
}

#[tokio::test]
async fn az_11_what_is_sent_back_splits_no_header() {
    let stage = Stage::new().await.unwrap();
    let odd = "\"><script>\u{e9} \\ &;'";
    let answer = stage
        .get(&stage.authorize(&[("response_type", odd), ("state", odd), ("error_description", odd)]))
        .await
        .unwrap();
    assert_eq!(redirected(&answer, "state").as_deref(), Some(odd));
    let description = redirected(&answer, "error_description").unwrap();
    let harmless = |b: u8| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(description.bytes().all(harmless), "{description}");
    for broken in ["%0d%0aSet-Cookie:x=y", "%00", "%ff", "%"] {
        let path = format!("{}&state={broken}", stage.authorize(&[("state", "")]));
        let answer = stage.get(&path).await.unwrap();
        assert!(is_page(&answer, 400), "{broken} {answer:?}");
        assert!(answer.header("set-cookie").is_none(), "{answer:?}");
    }
    let long = "x".repeat(10_000);
    let answer = stage
        .get(&stage.authorize(&[("response_type", "token"), ("error_description", &long)]))
        .await
        .unwrap();
    assert!(answer.header("location").unwrap().len() < 1000);
}

#[tokio::test]
async fn az_12_no_page_tells_another_where_it_came_from() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let look = stage.browser.open(&path).await.unwrap();
    let login = stage.browser.follow(look.clone()).await.unwrap().unwrap();
    let unknown = stage
        .get(&stage.authorize(&[("client_id", "nope")]))
        .await
        .unwrap();
    let metadata = json!({ "redirect_uris": [WEB], "logo_uri": "https://cdn.test/logo.png" });
    stage.register(&metadata).await.unwrap().expect(201).unwrap();
    for answer in [&look.answer, &login.answer, &unknown] {
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{answer:?}"
        );
        let text = answer.text();
        for outside in ["src=\"http", "src=\"//", "href=\"http", "url(http", "@import"] {
            assert!(!text.contains(outside), "{outside} {text}");
        }
    }
}
