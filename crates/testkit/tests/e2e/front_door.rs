//! From nothing to a tool's answer: the way of a newcomer.

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::mcp::{Legacy, Modern};
use sallyport_testkit::oauth::get;
use sallyport_testkit::process::GatewayProcess;
use serde_json::json;

use crate::support::names;

#[tokio::test]
async fn setup_link_account_login_consent_list_and_call() {
    let gateway = GatewayProcess::start("").await.unwrap();
    let link = gateway.setup_link().unwrap();

    let mut browser = gateway.browser().unwrap();
    let page = browser.open(&link).await.unwrap();
    let form = page.form_with("password").unwrap();
    let form = form
        .fill("username", "ada")
        .fill("password", PASSWORD)
        .fill("password_again", PASSWORD);
    let page = browser.submit(&page, &form).await.unwrap();
    let page = browser.follow(page).await.unwrap().unwrap();
    assert_eq!(page.answer.status(), 200, "{}", page.answer.text());

    // The link is used up: it opens no second account.
    let mut other = gateway.browser().unwrap();
    let again = other.open(&link).await.unwrap();
    assert!(again.form_with("password").is_err(), "{}", again.answer.text());

    // Another browser: the person has to log in, and to allow the client.
    let tokens = gateway.log_in("ada", "default").await.unwrap();
    let mut session = Legacy::open(
        gateway.endpoint("default", &tokens.access),
        "2025-11-25",
        json!({}),
    )
    .await
    .unwrap();
    let list = session.request("tools/list", json!({})).await.unwrap();
    assert!(names(list.result().unwrap()).contains(&"echo"), "{list:?}");
    let answer = session
        .call("echo", json!({ "text": "good morning" }))
        .await
        .unwrap();
    assert_eq!(answer.text().unwrap(), "good morning");

    let mut modern = Modern::new(gateway.endpoint("default", &tokens.access), json!({}));
    let list = modern.request("tools/list", json!({})).await.unwrap();
    assert!(names(list.result().unwrap()).contains(&"echo"), "{list:?}");
    let answer = modern
        .call("echo", json!({ "text": "good evening" }))
        .await
        .unwrap();
    assert_eq!(answer.text().unwrap(), "good evening");
    assert_eq!(answer.result().unwrap()["resultType"], "complete");
}

#[tokio::test]
async fn a_denied_consent_goes_back_to_the_client_as_an_error() {
    let gateway = GatewayProcess::prepare("").unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let mut gateway = gateway;
    gateway.serve().await.unwrap();
    let client = gateway.client().await.unwrap();
    let mut browser = gateway.browser().unwrap();
    let resource = gateway.resource("default");
    let answer = client
        .authorize(&mut browser, &resource, ("ada", PASSWORD), "deny")
        .await
        .unwrap();
    assert_eq!(get(&answer, "error"), Some("access_denied"), "{answer:?}");
    assert_eq!(get(&answer, "state"), Some("state-of-the-test"));
    assert_eq!(get(&answer, "iss"), Some(gateway.origin().as_str()));
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_and_leaves_the_old_access_token_alive() {
    let mut gateway = GatewayProcess::prepare("").unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway.serve().await.unwrap();
    let client = gateway.client().await.unwrap();
    let resource = gateway.resource("default");
    let mut browser = gateway.browser().unwrap();
    let first = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let second = client.refresh(&first.refresh).await.unwrap();
    let second = sallyport_testkit::oauth::Tokens::read(second).unwrap();
    assert_ne!(first.refresh, second.refresh);
    for tokens in [&first, &second] {
        let mut client = Modern::new(gateway.endpoint("default", &tokens.access), json!({}));
        client
            .request("tools/list", json!({}))
            .await
            .unwrap()
            .result()
            .unwrap();
    }
    let claims = second.claims().unwrap();
    assert_eq!(claims["aud"], resource, "{claims}");
    assert_eq!(claims["iss"], gateway.origin());
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        15 * 60
    );
}
