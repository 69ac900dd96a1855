//! Servers at which the gateway logs in by itself, and who it is there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::mcp::Modern;
use sallyport_testkit::provider::{Guarded, LoginServer};
use serde_json::json;

use super::{Stage, configuration, leave};
use crate::support::{PATIENCE, names, within};

/// A stage whose server is logged in at as `auth` says, besides the issuer; `secret` is the one that is registered.
async fn stage(root: &str, auth: &str, secret: Option<&str>) -> anyhow::Result<Stage> {
    let issuer = LoginServer::start().await?;
    issuer.provider.enrol("us", secret);
    // The first token is got before anybody asks.
    issuer.provider.lifetime.store(100, Ordering::SeqCst);
    let server = Guarded::start(true, &issuer).await?;
    let more = format!(", auth: {{ issuer: \"{}\", {auth} }}", issuer.provider.issuer());
    let text = format!("{root}{}", configuration(&server, &more));
    let gateway = TestGateway::start(&text).await?;
    Ok(Stage {
        issuer,
        server,
        gateway,
    })
}

const OWN: &str = "accounts: gateway, client_id: us";

#[tokio::test]
async fn where_the_gateway_has_tokens_of_its_own_nobody_connects_anything() {
    let auth = format!("{OWN}, client_secret: s, scopes: [read]");
    let stage = stage("", &auth, Some("s")).await.unwrap();
    let issuer = &stage.issuer.provider;
    let mut ada = stage.someone("ada", true).await.unwrap();
    let bob = stage.someone("bob", false).await.unwrap();
    stage.tools(&ada).await.unwrap();
    for someone in [&ada, &bob] {
        assert_eq!(stage.whoami(someone).await.unwrap().text().unwrap(), "us");
    }
    assert_eq!(issuer.count("client_credentials"), 1);
    let requests = issuer.requests.lock().unwrap().clone();
    assert_eq!(requests[0]["scope"], "read");
    assert_eq!(requests[0]["resource"], stage.server.provider.endpoint());
    assert_eq!(issuer.registrations.lock().unwrap().len(), 0);
    let page = ada.browser.open("/connect").await.unwrap().answer.text();
    assert!(
        page.contains("None of the servers asks for an account."),
        "{page}"
    );
    assert_eq!(
        ada.browser.open("/connect/docs").await.unwrap().answer.status(),
        404
    );
    stage.gateway.advance(Duration::from_secs(91));
    let calls = (0..64).map(|_| stage.whoami(&bob));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().text().unwrap(), "us");
    }
    assert_eq!(
        issuer.count("client_credentials"),
        2,
        "replaced once, before its end"
    );
    let seen = stage.server.provider.seen.lock().unwrap().clone();
    for someone in [&ada, &bob] {
        assert!(
            !seen.iter().any(|header| header.contains(&someone.token)),
            "uc_01"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_gateways_own_that_is_refused_is_replaced_once() {
    let auth = format!("{OWN}, client_secret: s");
    let stage = stage("", &auth, Some("s")).await.unwrap();
    let ada = stage.someone("ada", true).await.unwrap();
    stage.tools(&ada).await.unwrap();
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "us");
    stage.issuer.provider.end_access();
    let refused = stage.whoami(&ada).await.unwrap();
    assert!(refused.error_code().is_ok(), "{refused:?}");
    assert_eq!(
        stage.issuer.provider.count("client_credentials"),
        1,
        "one that was got just now is not refused for its age"
    );
    stage.gateway.advance(Duration::from_secs(61));
    let before = stage.server.provider.calls.load(Ordering::SeqCst);
    let calls = (0..64).map(|_| stage.whoami(&ada));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().text().unwrap(), "us");
    }
    assert_eq!(stage.issuer.provider.count("client_credentials"), 2);
    let after = stage.server.provider.calls.load(Ordering::SeqCst);
    assert_eq!(after - before, 64, "each was carried out once");
}

/// A private key as an operator would write it into the configuration.
fn key() -> anyhow::Result<String> {
    let key = STANDARD.encode(rcgen::KeyPair::generate()?.serialize_der());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    Ok(format!("client_key: {}", json!(pem)))
}

#[tokio::test]
async fn a_signed_statement_takes_the_place_of_a_secret_and_counts_once() {
    let auth = format!("{OWN}, {}", key().unwrap());
    let stage = stage("", &auth, None).await.unwrap();
    let ada = stage.someone("ada", true).await.unwrap();
    stage.tools(&ada).await.unwrap();
    stage.gateway.advance(Duration::from_secs(91));
    // The issuer takes no statement twice, and none that is meant for another one.
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "us");
    let requests = stage.issuer.provider.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(!request.contains_key("client_secret"), "{request:?}");
    }
}

#[tokio::test]
async fn accounts_of_people_are_connected_and_renewed_by_statements_too() {
    let auth = format!("client_id: us, {}", key().unwrap());
    let stage = stage("", &auth, None).await.unwrap();
    let ada = stage.connected().await.unwrap();
    stage.gateway.advance(Duration::from_secs(91));
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
    let issuer = &stage.issuer.provider;
    assert_eq!(
        (issuer.count("authorization_code"), issuer.count("refresh_token")),
        (1, 1)
    );
    assert_eq!(issuer.registrations.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_another_authority_says_of_us_is_read_each_time_that_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first.of.all\n").unwrap();
    let auth = format!("{OWN}, assertion_file: {}", file.display());
    let stage = stage("", &auth, None).await.unwrap();
    let ada = stage.someone("ada", true).await.unwrap();
    stage.tools(&ada).await.unwrap();
    std::fs::write(&file, "another.one.now").unwrap();
    stage.gateway.advance(Duration::from_secs(91));
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "us");
    std::fs::remove_file(&file).unwrap();
    stage.gateway.advance(Duration::from_secs(91));
    let old = stage.whoami(&ada).await.unwrap();
    assert_eq!(
        old.text().unwrap(),
        "us",
        "the one before is good for nine seconds yet"
    );
    stage.gateway.advance(Duration::from_secs(10));
    assert!(stage.whoami(&ada).await.unwrap().error_code().is_ok());
    let requests = stage.issuer.provider.requests.lock().unwrap().clone();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| request["assertion"].as_str())
        .collect();
    assert_eq!(sent, ["first.of.all", "another.one.now"]);
}

#[tokio::test]
async fn an_issuer_that_refuses_is_not_asked_again_and_again() {
    let auth = format!("{OWN}, client_secret: wrong");
    let stage = stage("", &auth, Some("right")).await.unwrap();
    let ada = stage.someone("ada", true).await.unwrap();
    let issuer = &stage.issuer.provider;
    within(PATIENCE, async || Ok(issuer.count("client_credentials") == 1))
        .await
        .unwrap();
    let mut client = stage.modern(&ada, json!({}));
    for _ in 0..8 {
        let listed = client.request("tools/list", json!({})).await.unwrap();
        assert!(names(listed.result().unwrap()).is_empty());
        assert!(stage.whoami(&ada).await.unwrap().text().is_err());
    }
    assert_eq!(issuer.count("client_credentials"), 1);
}

#[tokio::test]
async fn nobody_has_to_log_in_at_the_gateway_for_that() {
    let auth = format!("{OWN}, client_secret: s");
    let stage = stage("auth: { mode: none }\n", &auth, Some("s")).await.unwrap();
    let mut endpoint = stage.gateway.endpoint("default", "");
    endpoint.token = None;
    let mut client = Modern::new(endpoint, json!({}));
    within(PATIENCE, async || {
        let called = client.call("whoami", json!({})).await?;
        Ok(called.text().is_ok_and(|text| text == "us"))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_document_that_describes_us_may_lie_elsewhere() {
    let document = "https://www.example.com/sallyport.json";
    let more = format!(", auth: {{ client_id: \"{document}\" }}");
    let stage = Stage::with(true, &more).await.unwrap();
    let away = async |takes: bool| {
        stage.issuer.provider.behave(|habits| {
            let name = "client_id_metadata_document_supported".to_owned();
            habits.metadata.insert(name, takes.into());
        });
        let mut ada = stage
            .someone(if takes { "ada" } else { "bob" }, true)
            .await
            .unwrap();
        let away = leave(&mut ada.browser, "docs", "default").await.unwrap();
        let away = url::Url::parse(&away).unwrap();
        let id = away.query_pairs().find(|(name, _)| name == "client_id");
        id.unwrap().1.into_owned()
    };
    assert_eq!(away(true).await, document);
    assert_eq!(stage.issuer.provider.registrations.lock().unwrap().len(), 0);
    assert!(
        away(false).await.starts_with("client-"),
        "whoever takes no documents registers us"
    );
}
