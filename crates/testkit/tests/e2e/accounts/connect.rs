//! The page, the way out and the way back.

use sallyport_testkit::provider::{Guarded, LoginServer};
use serde_json::json;

use super::{Stage, ask, button, come_back, configuration, go, leave};

#[tokio::test]
async fn an_account_is_connected_used_and_disconnected() {
    for is_modern in [true, false] {
        let stage = Stage::new(is_modern).await.unwrap();
        let mut ada = stage.someone("ada", true).await.unwrap();
        crate::support::within(crate::support::PATIENCE, async || {
            let page = ada.browser.open("/connect").await?;
            Ok(page.answer.text().contains("Not connected."))
        })
        .await
        .unwrap();
        let page = stage.connect(&mut ada, "default").await.unwrap();
        assert_eq!(page.url.path(), "/connect/docs");
        stage.tools(&ada).await.unwrap();
        assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
        let mut legacy = stage.legacy(&ada, json!({})).await.unwrap();
        assert_eq!(
            legacy.call("whoami", json!({})).await.unwrap().text().unwrap(),
            "ada"
        );
        let page = ada.browser.open("/connect/docs").await.unwrap();
        let form = button(&page, "disconnect").unwrap();
        ada.browser.submit(&page, &form).await.unwrap();
        assert!(stage.page(&mut ada).await.unwrap().contains("Not connected."));
        let asked = stage.whoami(&ada).await.unwrap();
        assert!(asked.text().unwrap().contains("/connect/docs?for="), "{asked:?}");
    }
}

#[tokio::test]
async fn both_requests_say_what_the_token_is_for_and_registration_what_we_are() {
    let stage = Stage::new(true).await.unwrap();
    stage.connected().await.unwrap();
    let issuer = &stage.issuer.provider;
    let visits = issuer.visits.lock().unwrap().clone();
    let requests = issuer.requests.lock().unwrap().clone();
    let resource = stage.server.provider.endpoint();
    let [visit] = &visits[..] else {
        panic!("{visits:?}")
    };
    assert_eq!(visit["resource"], resource);
    assert_eq!(visit["code_challenge_method"], "S256");
    assert_eq!(visit["scope"], "read", "what the challenge asks for, and no more");
    assert!(visit["state"].len() >= 43 && visit["redirect_uri"].ends_with("/oauth/callback"));
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request["resource"], resource);
    assert!(request["code_verifier"].len() >= 43);
    let registrations = issuer.registrations.lock().unwrap().clone();
    let [registration] = &registrations[..] else {
        panic!("{registrations:?}")
    };
    assert_eq!(registration["application_type"], "native");
    assert_eq!(registration["token_endpoint_auth_method"], "client_secret_post");
}

#[tokio::test]
async fn co_01_co_03_nothing_leaves_before_the_person_says_yes() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    let page = ask(&mut ada.browser, "docs", "default").await.unwrap();
    let html = page.answer.text();
    let host = stage.issuer.url().replace("http://", "");
    assert!(
        html.contains(&host) && html.contains("<li><bdi>read</bdi></li>"),
        "{html}"
    );
    let policy = page.answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'") && policy.contains(&stage.issuer.url()),
        "{policy}"
    );
    assert!(
        stage.issuer.provider.told.lock().unwrap().is_empty(),
        "nobody there has heard of it"
    );
    let no = ada
        .browser
        .submit(&page, &button(&page, "deny").unwrap())
        .await
        .unwrap();
    assert_eq!(no.answer.header("location"), Some("/connect/docs"));
    assert!(stage.issuer.provider.told.lock().unwrap().is_empty());
    for path in ["/oauth/callback", "/oauth/callback?code=c&state=s"] {
        let page = ada.browser.open(path).await.unwrap();
        assert_eq!(page.answer.status(), 403, "{path}");
    }
    let yes = go(&mut ada.browser, &page).await.unwrap();
    assert!(
        yes.starts_with(&format!("{}/authorize?", stage.issuer.url())),
        "{yes}"
    );
}

#[tokio::test]
async fn several_accounts_by_name_and_one_that_calls_use() {
    let stage = Stage::new(false).await.unwrap();
    let mut ada = stage.connected().await.unwrap();
    let mut session = stage.legacy(&ada, json!({})).await.unwrap();
    assert_eq!(
        session.call("whoami", json!({})).await.unwrap().text().unwrap(),
        "ada"
    );
    ada.name = "ada-at-work";
    stage.connect(&mut ada, "work").await.unwrap();
    let html = stage.page(&mut ada).await.unwrap();
    assert!(html.contains(">work<") && html.contains(">default<"), "{html}");
    let used = session.call("whoami", json!({})).await.unwrap();
    assert_eq!(
        used.text().unwrap(),
        "ada-at-work",
        "in a session of its own at the server"
    );
    let page = ada.browser.open("/connect/docs").await.unwrap();
    ada.browser
        .submit(&page, &button(&page, "use").unwrap())
        .await
        .unwrap();
    assert_eq!(
        session.call("whoami", json!({})).await.unwrap().text().unwrap(),
        "ada"
    );
    let page = ask(&mut ada.browser, "docs", "a b").await.unwrap();
    assert_eq!(page.answer.status(), 400);
    for n in 3..=8 {
        stage.connect(&mut ada, &format!("a{n}")).await.unwrap();
    }
    let page = ask(&mut ada.browser, "docs", "a9").await.unwrap();
    assert_eq!(page.answer.status(), 400, "eight are enough");
}

#[tokio::test]
async fn one_account_for_all_is_the_administrators_affair() {
    let stage = Stage::with(true, ", auth: { mode: oauth, accounts: shared }")
        .await
        .unwrap();
    let ada = stage.connected().await.unwrap();
    let mut bob = stage.someone("bob", false).await.unwrap();
    assert_eq!(stage.whoami(&bob).await.unwrap().text().unwrap(), "ada");
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
    let page = bob.browser.open("/connect/docs").await.unwrap();
    assert_eq!(page.answer.status(), 200);
    assert!(page.forms().is_empty(), "{}", page.answer.text());
}

#[tokio::test]
async fn uc_06_two_tabs_come_back_in_either_order() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    let first = leave(&mut ada.browser, "docs", "one").await.unwrap();
    let second = leave(&mut ada.browser, "docs", "two").await.unwrap();
    for away in [&second, &first] {
        let answer = stage.issuer.visit(away).await.unwrap();
        let page = come_back(&mut ada.browser, &answer).await.unwrap();
        assert_eq!(page.answer.status(), 200, "{}", page.answer.text());
    }
    let html = stage.page(&mut ada).await.unwrap();
    assert!(html.contains(">one<") && html.contains(">two<"));
}

#[tokio::test]
async fn a_client_that_the_operator_registered_is_for_its_issuer_alone() {
    let issuer = LoginServer::start().await.unwrap();
    let other = LoginServer::start().await.unwrap();
    let server = Guarded::start(true, &other).await.unwrap();
    let more = format!(
        ", auth: {{ mode: oauth, issuer: \"{}\", client_id: ours, client_secret: hidden }}",
        issuer.url()
    );
    let gateway = sallyport_testkit::gateway::TestGateway::start(&configuration(&server, &more))
        .await
        .unwrap();
    let stage = Stage {
        issuer: other,
        server,
        gateway,
    };
    let mut ada = stage.someone("ada", true).await.unwrap();
    let page = ask(&mut ada.browser, "docs", "default").await.unwrap();
    assert_eq!(page.answer.status(), 502);
    assert!(
        page.answer
            .text()
            .contains("does not name the authorization server"),
        "{}",
        page.answer.text()
    );
    assert!(stage.issuer.provider.told.lock().unwrap().is_empty());
    assert!(issuer.provider.told.lock().unwrap().is_empty());
}
