//! RU: redirect URIs.

use sallyport_testkit::http::encode;
use serde_json::json;

use super::{ADA, Stage, WEB, error, is_page, redirected, refused};

#[tokio::test]
async fn ru_01_ru_02_ru_09_a_uri_that_only_looks_registered_is_not() {
    let stage = Stage::new().await.unwrap();
    let client = stage.client_at(WEB).await.unwrap();
    for variant in [
        "https://c.test/cb/",
        "https://c.test/cb/x",
        "https://c.test/cb?x=1",
        "https://c.test/cb?",
        "https://c.test/cb%2f..",
        "https://c.test/CB",
        "https://C.TEST/cb",
        "https://c.test:443/cb",
        "https://c.test./cb",
        "https://c.test.evil.test/cb",
        "https://c.test@evil.test/cb",
        "https://c.test\\@evil.test/cb",
        "https://evil.test/https://c.test/cb",
        "https://c.test/%63b",
        "https://c.test/a/../cb",
        "https://c.test//cb",
        " https://c.test/cb",
        "https://c.test/cb#x",
    ] {
        let path = stage.authorize_of(&client, &[("redirect_uri", variant)]);
        let answer = stage.get(&path).await.unwrap();
        assert!(is_page(&answer, 400), "{variant} {answer:?}");
    }
    // A host in letters of its own alphabet is not the same text as its ASCII form (RFC 5890).
    let client = stage.client_at("https://xn--bcher-kva.test/cb").await.unwrap();
    let path = stage.authorize_of(&client, &[("redirect_uri", "https://b\u{fc}cher.test/cb")]);
    assert!(is_page(&stage.get(&path).await.unwrap(), 400));
}

#[tokio::test]
async fn ru_03_of_a_loopback_uri_the_port_is_free_and_nothing_else() {
    let stage = Stage::new().await.unwrap();
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        let client = stage.client_at(&format!("http://{host}/cb")).await.unwrap();
        for (uri, passes) in [
            (format!("http://{host}:1234/cb"), true),
            (format!("http://{host}/cb"), true),
            (format!("http://{host}:1234/other"), false),
            (format!("https://{host}:1234/cb"), false),
            ("http://127.0.0.2:1234/cb".to_owned(), false),
            ("http://127.0.0.1.evil.test:1234/cb".to_owned(), false),
            ("http://localhost@evil.test:1234/cb".to_owned(), false),
        ] {
            let path = stage.authorize_of(&client, &[("redirect_uri", &uri), ("response_type", "token")]);
            let answer = stage.get(&path).await.unwrap();
            if passes {
                let location = answer.header("location").unwrap_or_default();
                assert!(
                    location.starts_with(&format!("{uri}?")),
                    "{host} {uri} {answer:?}"
                );
            } else {
                assert!(is_page(&answer, 400), "{host} {uri} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn ru_05_ru_06_ru_07_what_must_not_be_registered_is_refused_at_both_ends() {
    let stage = Stage::new().await.unwrap();
    for uri in [
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "blob:https://c.test/x",
        "file:///etc/passwd",
        "about:blank",
        "https://c.test/cb#x",
        "https://c.test/cb#",
        "http://c.test/cb",
        "http://10.0.0.5/cb",
        "http://127.0.0.1.evil.test/cb",
        "",
    ] {
        let answer = stage.register(&json!({ "redirect_uris": [uri] })).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_redirect_uri"), "{uri}");
        let among = json!({ "redirect_uris": [WEB, uri] });
        let answer = stage.register(&among).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_redirect_uri"), "{uri}");
        let path = stage.authorize(&[("redirect_uri", uri)]);
        assert!(is_page(&stage.get(&path).await.unwrap(), 400), "{uri}");
    }
}

#[tokio::test]
async fn ru_08_a_request_says_where_to() {
    let stage = Stage::new().await.unwrap();
    let several = json!({ "redirect_uris": [WEB, "https://c.test/other"] });
    let registered = stage.register(&several).await.unwrap().json().unwrap();
    let id = registered["client_id"].as_str().unwrap();
    let path = stage.authorize(&[("client_id", id), ("redirect_uri", "")]);
    assert!(is_page(&stage.get(&path).await.unwrap(), 400));
}

#[tokio::test]
async fn ru_11_the_login_leads_to_no_other_site() {
    let stage = Stage::new().await.unwrap();
    for next in [
        "//evil.test",
        "/\\evil.test",
        "https:evil.test",
        "https://evil.test/",
        "\t//evil.test",
        "/\t/evil.test",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
    ] {
        stage.gateway.advance(std::time::Duration::from_secs(60));
        let mut browser = stage.gateway.browser().unwrap();
        let path = format!("/login?{}", encode(&[("next", next)]));
        let page = browser.open(&path).await.unwrap();
        // Some of them are no values at all.
        if page.answer.status() == 400 {
            continue;
        }
        let form = page.form_with("password").unwrap();
        let form = form.fill("username", ADA.0).fill("password", ADA.1);
        let answer = browser.submit(&page, &form).await.unwrap().answer;
        assert_eq!(answer.header("location"), Some("/"), "{next:?} {answer:?}");
    }
}

#[tokio::test]
async fn ru_12_a_scheme_that_anybody_may_claim_is_never_answered_silently() {
    let mut stage = Stage::new().await.unwrap();
    let uri = "cursor://anysphere.cursor-retrieval/oauth/callback";
    let answer = stage
        .register(&json!({ "redirect_uris": ["unlisted://cb"] }))
        .await
        .unwrap();
    assert_eq!(error(&answer), refused(400, "invalid_redirect_uri"));
    let (first, second) = (
        stage.client_at(uri).await.unwrap(),
        stage.client_at(uri).await.unwrap(),
    );
    assert_ne!(first.id, second.id);
    stage.tokens().await.unwrap();
    for client in [&first, &second] {
        let path = stage.authorize_of(client, &[]);
        for _ in 0..2 {
            let page = stage.browser.open(&path).await.unwrap();
            assert_eq!(redirected(&page.answer, "code"), None);
            let page = stage.browser.follow(page).await.unwrap().unwrap();
            assert!(
                page.answer.text().contains("unverified"),
                "{}",
                page.answer.text()
            );
            let form = page.consent().unwrap().press("decision", "allow");
            let page = stage.browser.submit(&page, &form).await.unwrap();
            assert!(redirected(&page.answer, "code").is_some(), "{:?}", page.answer);
        }
    }
}
