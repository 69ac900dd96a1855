//! Calls with the account of whoever calls.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sallyport_testkit::mcp::Modern;
use serde_json::json;

use super::Stage;
use crate::support::{PATIENCE, within};

const VISITS: &str = r#"{"elicitation":{"url":{}}}"#;

#[tokio::test]
async fn uc_07_nobody_is_ever_somebody_else() {
    for is_modern in [true, false] {
        let stage = Stage::new(is_modern).await.unwrap();
        let ada = stage.connected().await.unwrap();
        let mut bob = stage.someone("bob", false).await.unwrap();
        let asked = stage.whoami(&bob).await.unwrap();
        assert!(asked.text().unwrap().contains("/connect/docs?for="), "{asked:?}");
        stage.connect(&mut bob, "default").await.unwrap();
        let calls = (0..200).map(|n| {
            let someone = if n % 2 == 0 { &ada } else { &bob };
            let stage = &stage;
            async move {
                let answer = stage.whoami(someone).await.unwrap();
                assert_eq!(answer.text().unwrap(), someone.name);
            }
        });
        futures_util::future::join_all(calls).await;
        let seen = stage.server.provider.seen.lock().unwrap().clone();
        for someone in [&ada, &bob] {
            assert!(
                !seen.iter().any(|header| header.contains(&someone.token)),
                "uc_01: our own token stays here"
            );
        }
    }
}

#[tokio::test]
async fn uc_10_whoever_has_no_account_is_told_where_to_go() {
    let stage = Stage::new(true).await.unwrap();
    let ada = stage.connected().await.unwrap();
    let mut bob = stage.someone("bob", false).await.unwrap();
    let visits = || serde_json::from_str(VISITS).unwrap();
    let mut modern: Modern = stage.modern(&bob, visits());
    let asked = modern.call("whoami", json!({})).await.unwrap();
    assert_eq!(
        asked.answer["result"]["resultType"], "input_required",
        "{asked:?}"
    );
    let question = &asked.answer["result"]["inputRequests"]["u1"];
    assert_eq!(question["params"]["mode"], "url");
    let url = question["params"]["url"].as_str().unwrap().to_owned();
    assert!(
        url.starts_with(&format!("{}/connect/docs?for=", stage.gateway.origin())),
        "{url}"
    );
    for secret in [&bob.token, bob.id.as_str(), &ada.token] {
        assert!(!url.contains(secret));
    }
    let mut legacy = stage.legacy(&bob, visits()).await.unwrap();
    let refused = legacy.call("whoami", json!({})).await.unwrap();
    assert_eq!(refused.error_code().unwrap(), -32042);
    assert_eq!(refused.answer["error"]["data"]["elicitations"][0]["url"], url);
    let mut plain = stage.legacy(&bob, json!({})).await.unwrap();
    let told = plain.call("whoami", json!({})).await.unwrap();
    assert_eq!(told.answer["result"]["isError"], true);
    assert!(told.text().unwrap().contains(&url), "{told:?}");
    // The page works for bob and for nobody else.
    let path = url.strip_prefix(&stage.gateway.origin()).unwrap();
    let mut ada = ada;
    assert_eq!(
        ada.browser.open(path).await.unwrap().answer.status(),
        403,
        "uc_10"
    );
    assert_eq!(bob.browser.open(path).await.unwrap().answer.status(), 200);
    stage.connect(&mut bob, "default").await.unwrap();
    let accepted = json!({ "u1": { "action": "accept" } });
    let done = modern.retry("whoami", json!({}), &asked, accepted).await.unwrap();
    assert_eq!(done.text().unwrap(), "bob");
    assert_eq!(
        legacy.call("whoami", json!({})).await.unwrap().text().unwrap(),
        "bob"
    );
    assert_eq!(
        plain.call("whoami", json!({})).await.unwrap().text().unwrap(),
        "bob"
    );
}

#[tokio::test]
async fn tokens_are_replaced_before_they_end_once_however_many_call() {
    let stage = Stage::new(true).await.unwrap();
    stage.issuer.provider.lifetime.store(100, Ordering::SeqCst);
    let ada = stage.connected().await.unwrap();
    stage.gateway.advance(Duration::from_secs(89));
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
    assert_eq!(stage.issuer.provider.count("refresh_token"), 0);
    stage.gateway.advance(Duration::from_secs(2));
    let calls = (0..64).map(|_| stage.whoami(&ada));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().text().unwrap(), "ada");
    }
    assert_eq!(stage.issuer.provider.count("refresh_token"), 1);
    let requests = stage.issuer.provider.requests.lock().unwrap().clone();
    assert_eq!(requests[1]["resource"], stage.server.provider.endpoint());
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once_and_the_call_sent_again() {
    for is_modern in [true, false] {
        let stage = Stage::new(is_modern).await.unwrap();
        let ada = stage.connected().await.unwrap();
        assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
        let before = stage.server.provider.calls.load(Ordering::SeqCst);
        stage.gateway.advance(Duration::from_secs(61));
        stage.issuer.provider.end_access();
        let calls = (0..64).map(|_| stage.whoami(&ada));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().text().unwrap(), "ada");
        }
        assert_eq!(stage.issuer.provider.count("refresh_token"), 1);
        let after = stage.server.provider.calls.load(Ordering::SeqCst);
        assert_eq!(after - before, 64, "each was carried out once");
    }
}

#[tokio::test]
async fn what_was_revoked_has_to_be_connected_again() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.connected().await.unwrap();
    stage.issuer.provider.end_access();
    stage.issuer.provider.end_refresh();
    let asked = stage.whoami(&ada).await.unwrap();
    let text = asked.text().unwrap();
    assert!(
        text.contains("has to be connected again") && text.contains("/connect/docs"),
        "{text}"
    );
    let html = stage.page(&mut ada).await.unwrap();
    assert!(
        html.contains("needs connecting") && html.contains("invalid_grant"),
        "{html}"
    );
    let tried = stage.issuer.provider.count("refresh_token");
    stage.whoami(&ada).await.unwrap();
    assert_eq!(
        stage.issuer.provider.count("refresh_token"),
        tried,
        "it is not tried again and again"
    );
    stage.connect(&mut ada, "default").await.unwrap();
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
}

#[tokio::test]
async fn accounts_outlive_the_process() {
    let stage = Stage::new(true).await.unwrap();
    let ada = stage.connected().await.unwrap();
    let more = super::configuration(&stage.server, "");
    let later = stage.gateway.beside_with(&more).await.unwrap();
    let mut client = Modern::new(later.endpoint("default", &ada.token), json!({}));
    within(PATIENCE, async || {
        let called = client.call("whoami", json!({})).await?;
        Ok(called.text().is_ok_and(|text| text == "ada"))
    })
    .await
    .unwrap();
    assert_eq!(stage.issuer.provider.count("authorization_code"), 1);
}

#[tokio::test]
async fn more_is_asked_for_when_a_call_needs_it() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.connected().await.unwrap();
    let mut client = stage.modern(&ada, json!({}));
    let short = client.call("administrate", json!({})).await.unwrap();
    assert!(
        short.text().unwrap().contains("needs more permissions"),
        "{short:?}"
    );
    assert_eq!(
        client.call("whoami", json!({})).await.unwrap().text().unwrap(),
        "ada",
        "everything else goes on"
    );
    let page = ada.browser.open("/connect/docs").await.unwrap();
    let form = super::button(&page, "again").unwrap();
    let page = ada.browser.submit(&page, &form).await.unwrap();
    let away = super::go(&mut ada.browser, &page).await.unwrap();
    let answer = stage.issuer.visit(&away).await.unwrap();
    super::come_back(&mut ada.browser, &answer).await.unwrap();
    let visits = stage.issuer.provider.visits.lock().unwrap().clone();
    assert_eq!(
        visits[1]["scope"], "read admin",
        "p_131: both, what was granted and what is missing"
    );
    assert_eq!(
        client
            .call("administrate", json!({}))
            .await
            .unwrap()
            .text()
            .unwrap(),
        "ada"
    );
}

#[tokio::test]
async fn a_server_that_lists_freely_asks_when_it_is_called() {
    let stage = Stage::new(true).await.unwrap();
    let provider = &stage.server.provider;
    provider.lists_freely.store(true, Ordering::SeqCst);
    let more = super::configuration(&stage.server, ", protocol: modern");
    stage.gateway.configure(&more).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    stage.tools(&ada).await.unwrap();
    for _ in 0..2 {
        let asked = stage.whoami(&ada).await.unwrap();
        assert!(asked.text().unwrap().contains("/connect/docs?for="), "{asked:?}");
    }
    stage.connect(&mut ada, "default").await.unwrap();
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
}
