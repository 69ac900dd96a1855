//! Servers and authorization servers that lie, and people who are led astray.

use std::sync::Arc;

use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::provider::{Guarded, LoginServer, location};
use serde_json::{Map, Value, json};

use super::{Stage, ask, come_back, leave};

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

/// A parameter of a path's query; empty where it is not there.
fn of(path: &str, wanted: &str) -> String {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn pk_08_without_s256_in_the_metadata_nobody_leaves() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    for methods in [Value::Null, json!([]), json!(["plain"])] {
        stage
            .issuer
            .provider
            .behave(|habits| habits.metadata = one("code_challenge_methods_supported", methods));
        let page = ask(&mut ada.browser, "docs", "default").await.unwrap();
        assert_eq!(page.answer.status(), 502);
        assert!(
            page.answer.text().contains("PKCE with S256"),
            "{}",
            page.answer.text()
        );
    }
    assert!(stage.issuer.provider.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn md_03_a_document_about_another_resource_is_not_used() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.connected().await.unwrap();
    let told = stage.issuer.provider.told.lock().unwrap().len();
    for other in ["https://evil.test/mcp", "http://127.0.0.1:1/mcp"] {
        *stage.server.provider.metadata.lock().unwrap() = one("resource", json!(other));
        let page = ask(&mut ada.browser, "docs", "another").await.unwrap();
        assert_eq!(page.answer.status(), 502);
        assert!(
            page.answer.text().contains("another resource"),
            "{}",
            page.answer.text()
        );
    }
    // An account of before is not renewed by a server that says so, and no token goes there any more.
    stage.issuer.provider.end_access();
    let asked = stage.whoami(&ada).await.unwrap();
    assert!(asked.text().unwrap().contains("another resource"), "{asked:?}");
    let seen = stage.server.provider.seen.lock().unwrap().len();
    stage.whoami(&ada).await.unwrap();
    assert_eq!(stage.server.provider.seen.lock().unwrap().len(), seen);
    assert_eq!(
        stage.issuer.provider.told.lock().unwrap().len(),
        told,
        "nobody was asked for tokens"
    );
}

#[tokio::test]
async fn md_04_md_05_an_issuers_document_is_its_own_and_leads_nowhere_odd() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    for lie in [
        one("issuer", json!("https://honest.test")),
        one("issuer", json!(format!("{}/", stage.issuer.url()))),
        one("authorization_endpoint", json!("javascript:alert(1)")),
        one("authorization_endpoint", json!("file:///etc/passwd")),
        one("token_endpoint", json!("http://169.254.169.254/token")),
        one("registration_endpoint", json!("a:$(id)")),
    ] {
        stage
            .issuer
            .provider
            .behave(|habits| habits.metadata = lie.clone());
        let page = ask(&mut ada.browser, "docs", "default").await.unwrap();
        assert_eq!(page.answer.status(), 502, "{lie:?}");
    }
    assert!(stage.issuer.provider.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn md_06_what_one_authorization_server_gave_another_never_sees() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.connected().await.unwrap();
    let other = LoginServer::start().await.unwrap();
    *stage.server.provider.believes.lock().unwrap() = vec![Arc::clone(&other.provider)];
    let told = stage.issuer.provider.told.lock().unwrap().len();
    let asked = stage.whoami(&ada).await.unwrap();
    assert!(
        asked.text().unwrap().contains("another authorization server"),
        "{asked:?}"
    );
    assert!(
        stage
            .page(&mut ada)
            .await
            .unwrap()
            .contains("another authorization server")
    );
    assert!(
        other.provider.told.lock().unwrap().is_empty(),
        "nothing was sent there"
    );
    assert_eq!(stage.issuer.provider.told.lock().unwrap().len(), told);
    // The person is told on the page that asks, and becomes a new client there.
    let page = ada.browser.open("/connect/docs").await.unwrap();
    let page = ada
        .browser
        .submit(&page, &super::button(&page, "again").unwrap())
        .await
        .unwrap();
    let html = page.answer.text();
    assert!(
        html.contains("was connected through") && html.contains(&stage.issuer.url()),
        "{html}"
    );
    let away = super::go(&mut ada.browser, &page).await.unwrap();
    let answer = other.visit(&away).await.unwrap();
    come_back(&mut ada.browser, &answer).await.unwrap();
    assert_eq!(stage.whoami(&ada).await.unwrap().text().unwrap(), "ada");
    let requests = stage.issuer.provider.requests.lock().unwrap().clone();
    let told = other.provider.told.lock().unwrap().join("\n");
    for name in ["client_id", "client_secret", "code_verifier"] {
        assert!(!told.contains(&requests[0][name]), "{name}");
    }
    assert!(
        !told.contains(&stage.issuer.url().replace("http://", "")),
        "not even its name"
    );
}

#[tokio::test]
async fn uc_04_the_code_goes_to_nobody_who_does_not_say_who_he_is() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    let issuer = stage.issuer.url();
    for (iss, error) in [
        ("", None),
        ("https://evil.test", None),
        (&*format!("{issuer}/"), None),
        (&*issuer.to_uppercase(), None),
        ("https://evil.test", Some("<b>evil</b>")),
    ] {
        stage.issuer.provider.behave(|habits| {
            habits.iss = Some(iss.to_owned());
            habits.refuses = error;
        });
        let away = leave(&mut ada.browser, "docs", "default").await.unwrap();
        let answer = stage.issuer.visit(&away).await.unwrap();
        let page = come_back(&mut ada.browser, &answer).await.unwrap();
        assert_eq!(page.answer.status(), 502, "{iss}");
        assert!(!page.answer.text().contains("evil"), "{}", page.answer.text());
    }
    assert_eq!(
        stage.issuer.provider.count("authorization_code"),
        0,
        "no code was sent anywhere"
    );
}

#[tokio::test]
async fn co_11_an_answer_counts_once_in_the_browser_of_whoever_began() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    let mut bob = stage.someone("bob", false).await.unwrap();
    let away = leave(&mut ada.browser, "docs", "default").await.unwrap();
    let path = location(&stage.issuer.visit(&away).await.unwrap()).unwrap();
    let mut stranger = stage.gateway.browser().unwrap();
    for browser in [&mut bob.browser, &mut stranger] {
        browser.come_from("cross-site");
        assert_eq!(browser.open(&path).await.unwrap().answer.status(), 403);
    }
    // The same person in another browser.
    let client = stage.gateway.client().await.unwrap();
    let mut elsewhere = stage.gateway.browser().unwrap();
    let who = ("ada", sallyport_testkit::front::PASSWORD);
    client
        .log_in(&mut elsewhere, &stage.gateway.resource("default"), who)
        .await
        .unwrap();
    assert_eq!(elsewhere.open(&path).await.unwrap().answer.status(), 403);
    assert_eq!(stage.issuer.provider.count("authorization_code"), 0);
    assert_eq!(ada.browser.open(&path).await.unwrap().answer.status(), 303);
    assert_eq!(
        ada.browser.open(&path).await.unwrap().answer.status(),
        403,
        "once"
    );
    let late = leave(&mut ada.browser, "docs", "late").await.unwrap();
    let path = location(&stage.issuer.visit(&late).await.unwrap()).unwrap();
    stage.gateway.advance(std::time::Duration::from_secs(600));
    assert_eq!(
        ada.browser.open(&path).await.unwrap().answer.status(),
        403,
        "ten minutes"
    );
}

#[tokio::test]
async fn co_11_the_answers_of_two_servers_cannot_be_swapped() {
    let (honest, evil) = (
        LoginServer::start().await.unwrap(),
        LoginServer::start().await.unwrap(),
    );
    let docs = Guarded::start(true, &honest).await.unwrap();
    let other = Guarded::start(true, &evil).await.unwrap();
    let configuration = format!(
        "servers:\n  docs: {{ url: \"{}\" }}\n  other: {{ url: \"{}\" }}\n",
        docs.provider.endpoint(),
        other.provider.endpoint()
    );
    let stage = Stage {
        gateway: TestGateway::start(&configuration).await.unwrap(),
        issuer: honest,
        server: docs,
    };
    let mut ada = stage.someone("ada", true).await.unwrap();
    let to_honest = leave(&mut ada.browser, "docs", "default").await.unwrap();
    let to_evil = leave(&mut ada.browser, "other", "default").await.unwrap();
    let from_honest = location(&stage.issuer.visit(&to_honest).await.unwrap()).unwrap();
    let from_evil = location(&evil.visit(&to_evil).await.unwrap()).unwrap();
    // The one's state with the other's code and name, and the other way round.
    for (state, code, iss) in [
        (
            of(&from_evil, "state"),
            of(&from_honest, "code"),
            stage.issuer.url(),
        ),
        (of(&from_honest, "state"), of(&from_evil, "code"), evil.url()),
    ] {
        let query = sallyport_testkit::http::encode(&[("code", &code), ("state", &state), ("iss", &iss)]);
        let page = ada
            .browser
            .open(&format!("/oauth/callback?{query}"))
            .await
            .unwrap();
        assert_eq!(page.answer.status(), 502, "{}", page.answer.text());
    }
    assert_eq!(evil.provider.count("authorization_code"), 0);
    assert_eq!(stage.issuer.provider.count("authorization_code"), 0);
}

#[tokio::test]
async fn uc_08_strange_token_answers_make_no_account() {
    let stage = Stage::new(true).await.unwrap();
    let mut ada = stage.someone("ada", true).await.unwrap();
    for (name, value) in [
        ("token_type", json!("mac")),
        ("token_type", Value::Null),
        ("expires_in", json!(-1)),
        ("access_token", json!("a\r\nx: y")),
        ("access_token", json!("x".repeat(20_000))),
    ] {
        stage
            .issuer
            .provider
            .behave(|habits| habits.tokens = one(name, value.clone()));
        let page = stage.connect(&mut ada, "default").await.unwrap();
        assert_eq!(page.answer.status(), 502, "{name}: {value}");
    }
    assert!(stage.page(&mut ada).await.unwrap().contains("Not connected."));
    stage.issuer.provider.behave(|habits| {
        habits.tokens = one("scope", json!("read write admin everything"));
    });
    stage.connect(&mut ada, "default").await.unwrap();
    let html = stage.page(&mut ada).await.unwrap();
    assert!(
        html.contains("<bdi>read</bdi>"),
        "no more than was asked for: {html}"
    );
}

#[tokio::test]
async fn the_data_directory_holds_no_token_of_servers_in_the_clear() {
    let stage = Stage::new(true).await.unwrap();
    let ada = stage.connected().await.unwrap();
    stage.whoami(&ada).await.unwrap();
    let requests = stage.issuer.provider.requests.lock().unwrap().clone();
    let seen = stage.server.provider.seen.lock().unwrap().clone();
    let token = seen.last().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let refresh = token.replacen("at-", "rt-", 1).replace("-ada", "");
    let secrets = [requests[0]["client_secret"].clone(), token, refresh];
    let mut files = 0;
    for entry in std::fs::read_dir(stage.gateway.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        for secret in &secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} is in {}", secret, path.display());
        }
    }
    assert!(files > 1);
}
