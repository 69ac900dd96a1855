//! What real clients need of a gateway: where they return to (R8), how they are known (R10), how long a log-in may take (R16).

use std::time::Duration;

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::oauth::{OauthClient, Parameters, get, walk};
use serde_json::{Value, json};

use super::documented::Documented;

async fn gateway() -> TestGateway {
    let gateway = TestGateway::start("").await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway
}

async fn ask(gateway: &TestGateway, request: Request) -> Answer {
    gateway.connect().await.unwrap().ask(&request).await.unwrap()
}

async fn register(gateway: &TestGateway, redirects: Value) -> Answer {
    let sent = json!({ "client_name": "c", "redirect_uris": redirects });
    ask(gateway, Request::post("/register").json(&sent)).await
}

/// The path of an authorization request of a client that has registered one redirect URI and names another.
async fn asking(gateway: &TestGateway, registered: &str, named: &str) -> String {
    let answer = register(gateway, json!([registered])).await.json().unwrap();
    let id = answer["client_id"].as_str().unwrap();
    let mut client = OauthClient::known(gateway.address(), gateway.host(), id);
    named.clone_into(&mut client.redirect);
    OauthClient::authorize_path(&client.parameters(&gateway.resource("default")))
}

#[tokio::test]
async fn r8_a_loopback_client_returns_to_exactly_what_it_named_whatever_its_port() {
    let gateway = gateway().await;
    let mut browser = gateway.browser().unwrap();
    for (registered, named) in [
        ("http://127.0.0.1/", "http://127.0.0.1:41213/"),
        ("http://127.0.0.1:7/cb", "http://127.0.0.1:41213/cb"),
        (
            "http://localhost/oauth/callback",
            "http://localhost:7777/oauth/callback",
        ),
        ("http://localhost:1/a/b/c?d=e", "http://localhost:65535/a/b/c?d=e"),
        ("http://[::1]:9/cb", "http://[::1]:10/cb"),
    ] {
        let path = asking(&gateway, registered, named).await;
        let page = browser.open(&path).await.unwrap();
        let back = walk(&mut browser, page, ("ada", PASSWORD), "allow").await;
        let back = back.unwrap().to_string();
        assert!(
            back.starts_with(named) && back.contains("code="),
            "{named}: {back}"
        );
    }
    for (registered, named) in [
        ("http://127.0.0.1:7/cb", "http://localhost:7/cb"),
        ("http://localhost:7/cb", "http://127.0.0.1:7/cb"),
        ("http://127.0.0.1:7/cb", "http://127.0.0.1:7/cb/"),
        ("http://127.0.0.1/", "http://127.0.0.1/cb"),
    ] {
        let path = asking(&gateway, registered, named).await;
        let answer = ask(&gateway, Request::get(&path)).await;
        assert_eq!(answer.status(), 400, "{registered} {named}");
        assert_eq!(answer.header("location"), None);
    }
    for nowhere in [json!([]), Value::Null] {
        let answer = register(&gateway, nowhere).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json().unwrap()["error"], "invalid_redirect_uri");
    }
}

/// Whether a client gets in by its document, and whether one by registering itself.
async fn ways_in(documented: &Documented) -> (bool, bool) {
    let gateway = &documented.gateway;
    let metadata = ask(gateway, Request::get("/.well-known/oauth-authorization-server")).await;
    let metadata = metadata.json().unwrap();
    let by_document = documented.log_in().await.is_ok();
    let by_itself = register(gateway, json!(["http://127.0.0.1/cb"])).await.status() == 201;
    assert_eq!(
        metadata.get("client_id_metadata_document_supported") == Some(&json!(true)),
        by_document
    );
    assert_eq!(metadata.get("registration_endpoint").is_some(), by_itself);
    (by_document, by_itself)
}

#[tokio::test]
async fn r10_documents_and_registration_are_two_ways_in_each_with_its_switch() {
    for by_document in [true, false] {
        for by_itself in [true, false] {
            let switches = format!(
                "auth: {{ client_metadata_documents: {by_document}, dynamic_registration: {by_itself} }}\n"
            );
            let documented = Documented::start(&switches).await.unwrap();
            assert_eq!(ways_in(&documented).await, (by_document, by_itself));
        }
    }
}

#[tokio::test]
async fn r16_the_page_comes_at_once_and_the_log_in_may_take_minutes() {
    // A provider that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "auth:\n  allow_users: [\"*\"]\n  oidc:\n    staff: {{ issuer: \"http://{}\", client_id: x, client_secret: y }}\n",
        silent.local_addr().unwrap()
    );
    let gateway = TestGateway::start(&more).await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    let client = gateway.client().await.unwrap();
    let path = OauthClient::authorize_path(&client.parameters(&gateway.resource("default")));
    let mut browser = gateway.browser().unwrap();
    let at_once = Duration::from_secs(5);
    let page = tokio::time::timeout(at_once, async {
        let page = browser.open(&path).await.unwrap();
        browser.follow(page).await.unwrap().unwrap()
    });
    let login = page.await.unwrap();
    gateway.advance(Duration::from_secs(9 * 60));
    let form = login.form_with("password").unwrap();
    let form = form.fill("username", "ada").fill("password", PASSWORD);
    let page = browser.submit(&login, &form).await.unwrap();
    let consent = browser.follow(page).await.unwrap().unwrap();
    gateway.advance(Duration::from_secs(9 * 60));
    let form = consent.consent().unwrap().press("decision", "allow");
    let page = browser.submit(&consent, &form).await.unwrap();
    let back = browser.follow(page).await.unwrap().unwrap_err();
    let back: Parameters = back
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let answer = client
        .redeem(get(&back, "code").unwrap(), &gateway.resource("default"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
