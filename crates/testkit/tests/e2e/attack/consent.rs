//! CO: consent, cross-site requests, frames and cookies.

use sallyport_testkit::browser::{Browser, Form, Page};
use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::VERIFIER;
use serde_json::json;

use super::{ADA, Stage, WEB, is_page, redirected};

/// The consent page at `path`, after a login if that is asked for.
async fn consent_page(browser: &mut Browser, path: &str) -> anyhow::Result<Page> {
    let mut page = browser.open(path).await?;
    for _ in 0..3 {
        page = browser
            .follow(page)
            .await?
            .map_err(|url| anyhow::anyhow!("left for {url}"))?;
        if page.consent().is_some() {
            return Ok(page);
        }
        let form = page.form_with("password")?;
        let form = form.fill("username", ADA.0).fill("password", ADA.1);
        page = browser.submit(&page, &form).await?;
    }
    anyhow::bail!("no consent page: {}", page.answer.text())
}

fn allow(page: &Page) -> Form {
    let form = page.consent().unwrap_or_default();
    form.press("decision", "allow")
}

#[tokio::test]
async fn co_01_each_client_is_asked_about_even_from_a_link() {
    let mut stage = Stage::new().await.unwrap();
    let good = stage.client_at(WEB).await.unwrap();
    stage.code_of(&good).await.unwrap();
    let evil = stage.client_at("https://evil.test/cb").await.unwrap();
    let (theirs, ours) = (stage.authorize_of(&evil, &[]), stage.authorize_of(&good, &[]));
    let (site, browser) = ("cross-site", &mut stage.browser);
    // The page that brings the person here belongs to the attacker.
    browser.come_from(site);
    for path in [theirs, ours] {
        let page = browser.open(&path).await.unwrap();
        assert_eq!(redirected(&page.answer, "code"), None);
        let page = browser.follow(page).await.unwrap().unwrap();
        assert!(page.consent().is_some(), "{}", page.answer.text());
    }
}

#[tokio::test]
async fn co_02_a_form_works_for_its_own_person_only() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let mut mallory = stage.gateway.browser().unwrap();
    let theirs = consent_page(&mut mallory, &path).await.unwrap();
    let ours = consent_page(&mut stage.browser, &path).await.unwrap();
    // Another session's form; a form without its secret; our form in a browser without a session.
    let without = Form {
        fields: vec![("decision".to_owned(), "allow".to_owned())],
        ..allow(&ours)
    };
    for form in [allow(&theirs), without] {
        let page = stage.browser.submit(&ours, &form).await.unwrap();
        assert!(is_page(&page.answer, 403), "{:?}", page.answer);
    }
    let mut stranger = stage.gateway.browser().unwrap();
    let page = stranger.submit(&ours, &allow(&ours)).await.unwrap();
    assert!(is_page(&page.answer, 403), "{:?}", page.answer);
    // The browser says where the form came from; with the right cookie and the right secret it is still refused.
    let cookies: Vec<_> = stage
        .browser
        .cookies()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let fields = allow(&ours).fields;
    let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    for (name, value) in [
        ("Origin", "https://evil.test"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let request = Request::post("/consent")
            .header("Cookie", &cookies.join("; "))
            .header(name, value)
            .form(&fields);
        let answer = stage.ask(&request).await.unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
        assert_eq!(redirected(&answer, "code"), None);
    }
}

#[tokio::test]
async fn co_03_co_11_there_is_no_callback_to_jump_to() {
    let stage = Stage::new().await.unwrap();
    let look = stage.get(&stage.authorize(&[])).await.unwrap();
    assert!(look.header("set-cookie").is_none(), "{look:?}");
    for (path, status) in [
        ("/oauth/callback?code=x&state=y", 403),
        ("/callback/github?code=x&state=y", 404),
        ("/connect?code=x", 303),
    ] {
        assert_eq!(stage.get(path).await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test]
async fn co_04_co_10_no_page_can_be_framed_or_run_scripts() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let login = stage.browser.open(&path).await.unwrap();
    let login = stage.browser.follow(login).await.unwrap().unwrap();
    let consent = consent_page(&mut stage.browser, &path).await.unwrap();
    let front = stage.browser.open("/").await.unwrap();
    let unknown = stage
        .browser
        .open("/authorize?client_id=%3Cscript%3E")
        .await
        .unwrap();
    for page in [login, consent, front, unknown] {
        let policy = page.answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'"), "{} {policy}", page.url);
        assert!(policy.contains("frame-ancestors 'none'"), "{} {policy}", page.url);
        assert!(!policy.contains("unsafe-"), "{} {policy}", page.url);
        assert_eq!(
            page.answer.header("x-frame-options"),
            Some("DENY"),
            "{}",
            page.url
        );
        assert_eq!(
            page.answer.header("x-content-type-options"),
            Some("nosniff"),
            "{}",
            page.url
        );
        assert!(!page.answer.text().contains("<script"), "{}", page.url);
    }
}

#[tokio::test]
async fn co_05_what_was_shown_is_what_is_allowed() {
    let mut stage = Stage::new().await.unwrap();
    let evil = stage.client_at("https://evil.test/cb").await.unwrap();
    let path = stage.authorize(&[]);
    let page = consent_page(&mut stage.browser, &path).await.unwrap();
    for (name, value) in [
        ("client_id", evil.id.as_str()),
        ("redirect_uri", "https://evil.test/cb"),
        ("scope", "mcp admin"),
        ("resource", "https://evil.test/mcp"),
        ("decision", "deny"),
    ] {
        let form = allow(&page).press(name, value);
        let answer = stage.browser.submit(&page, &form).await.unwrap().answer;
        assert!(is_page(&answer, 400), "{name}={value} {answer:?}");
    }
    let mut form = allow(&page);
    for (_, value) in form.fields.iter_mut().filter(|(name, _)| name != "decision") {
        let last = if value.ends_with('A') { 'B' } else { 'A' };
        value.pop();
        value.insert(value.len() / 2, last);
    }
    let answer = stage.browser.submit(&page, &form).await.unwrap().answer;
    assert!(matches!(answer.status(), 400 | 403), "{answer:?}");
    assert_eq!(redirected(&answer, "code"), None);
}

#[tokio::test]
async fn co_06_cookies_are_for_this_host_and_no_script() {
    let stage = Stage::with("public_url: https://gateway.test\n").await.unwrap();
    let mut checked = 0;
    for path in ["/login", "/setup", "/"] {
        let request = Request::get(path).header("Host", "gateway.test");
        let answer = stage.ask(&request).await.unwrap();
        for cookie in answer.head.all("set-cookie") {
            checked += 1;
            assert!(cookie.starts_with("__Host-"), "{cookie}");
            for flag in ["; Secure", "; HttpOnly", "; Path=/"] {
                assert!(cookie.contains(flag), "{flag} {cookie}");
            }
            assert!(
                cookie.contains("SameSite=Lax") || cookie.contains("SameSite=Strict"),
                "{cookie}"
            );
            assert!(!cookie.to_lowercase().contains("domain="), "{cookie}");
        }
    }
    assert!(checked > 0);
}

#[tokio::test]
async fn co_08_two_tabs_work_side_by_side() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let first = consent_page(&mut stage.browser, &path).await.unwrap();
    let second = consent_page(&mut stage.browser, &path).await.unwrap();
    for page in [first, second] {
        let answer = stage.browser.submit(&page, &allow(&page)).await.unwrap().answer;
        let code = redirected(&answer, "code").unwrap();
        let answer = stage.redeem(&code, &[("code_verifier", VERIFIER)]).await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

#[tokio::test]
async fn co_09_ten_presses_give_one_code() {
    let mut stage = Stage::new().await.unwrap();
    let path = stage.authorize(&[]);
    let page = consent_page(&mut stage.browser, &path).await.unwrap();
    let mut codes = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let answer = stage.browser.submit(&page, &allow(&page)).await.unwrap().answer;
        codes.extend(redirected(&answer, "code"));
    }
    assert_eq!(codes.len(), 1);
}

#[tokio::test]
async fn co_10_a_clients_name_is_text() {
    let mut stage = Stage::new().await.unwrap();
    for name in [
        "<img src=x onerror=alert(1)>",
        "\"><script>alert(1)</script>",
        "{{ 7 * 7 }}\u{202e}gpj.exe",
    ] {
        let uri = "https://xn--80ak6aa92e.test/cb";
        let metadata = json!({
            "client_name": name, "redirect_uris": [uri], "client_uri": "javascript:alert(1)",
            "logo_uri": "http://169.254.169.254/logo.png",
        });
        let registered = stage.register(&metadata).await.unwrap().expect(201).unwrap();
        let id = registered.json().unwrap()["client_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let path = stage.authorize(&[("client_id", &id), ("redirect_uri", uri)]);
        let page = consent_page(&mut stage.browser, &path).await.unwrap();
        let text = page.answer.text();
        for bad in ["<img src=x", "<script", "javascript:", "169.254", "\u{202e}"] {
            assert!(!text.contains(bad), "{bad} {text}");
        }
        assert!(text.contains("xn--80ak6aa92e.test"), "{text}");
    }
}
