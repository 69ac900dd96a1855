//! OpenID providers, true ones and liars.

use std::sync::atomic::Ordering;

use sallyport_core::Clock as _;
use sallyport_oauth::flight::verdict::State;
use sallyport_testkit::browser::Browser;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::oauth::OauthClient;
use sallyport_testkit::provider::{Issuer, Lies, Provider};
use serde_json::{Map, Value, json};

use super::{come_back, gateway, leave, signed_in};
use crate::attack::is_page;

async fn stage(lists: &str) -> anyhow::Result<(Provider<Issuer>, TestGateway)> {
    let person = json!({ "sub": "7", "preferred_username": "ada", "groups": ["staff"] });
    let idp = Issuer::start(person).await?;
    let providers = format!("  oidc:\n{}", idp.configuration("corp"));
    let gateway = gateway(lists, &providers).await?;
    Ok((idp, gateway))
}

async fn log_in(idp: &Provider<Issuer>, browser: &mut Browser) -> anyhow::Result<u16> {
    let target = leave(browser, "corp", "/").await?;
    let answer = idp.visit(&target).await?;
    Ok(come_back(browser, &answer).await?.answer.status())
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

#[tokio::test]
async fn people_of_an_openid_provider_come_in_by_name_id_or_group() {
    for (entry, admitted) in [
        ("corp:ada", true),
        ("corp:id:7", true),
        ("group:staff", true),
        ("corp:group:staff", true),
        ("\"*\"", true),
        ("corp:bob", false),
        ("corp:id:8", false),
        ("group:Staff", false),
    ] {
        let (idp, gateway) = stage(&format!("  allow_users: [{entry}]\n")).await.unwrap();
        let mut browser = gateway.browser().unwrap();
        let status = log_in(&idp, &mut browser).await.unwrap();
        assert_eq!(status, if admitted { 200 } else { 403 }, "{entry}");
        let name = signed_in(&mut browser).await.unwrap();
        assert_eq!(name.as_deref(), admitted.then_some("corp:ada"), "{entry}");
    }
}

#[tokio::test]
async fn what_the_id_token_lacks_is_asked_for() {
    let (idp, gateway) = stage("  allow_users: [\"group:staff\"]\n").await.unwrap();
    *idp.provider.person.lock().unwrap() = json!({ "sub": "7" });
    idp.provider.lie(|lies| {
        lies.userinfo = one("groups", json!(["staff"]));
        lies.userinfo
            .insert("preferred_username".to_owned(), json!("ada"));
    });
    let mut browser = gateway.browser().unwrap();
    assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 200);
    assert_eq!(
        signed_in(&mut browser).await.unwrap().as_deref(),
        Some("corp:ada")
    );
    // What is said there about somebody else does not count.
    idp.provider.lie(|lies| {
        lies.userinfo = one("groups", json!(["staff"]));
        lies.userinfo.insert("sub".to_owned(), json!("8"));
    });
    let mut browser = gateway.browser().unwrap();
    assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 403);
}

#[tokio::test]
async fn an_id_token_that_is_not_right_in_everything_logs_nobody_in() {
    let (idp, gateway) = stage("  allow_users: [\"*\"]\n").await.unwrap();
    let now = 1_795_132_800;
    let mut all: Vec<(&str, Lies)> = Vec::new();
    let mut claim = |name: &'static str, value: Value| {
        let lies = Lies {
            claims: one(name, value),
            ..Lies::default()
        };
        all.push((name, lies));
    };
    claim("iss", json!("https://evil.test"));
    claim("aud", json!("another-client"));
    claim("aud", json!(["sallyport", "another-client"]));
    claim("azp", json!("another-client"));
    claim("nonce", json!("of another log-in"));
    claim("nonce", Value::Null);
    claim("exp", json!(now - 61));
    claim("exp", Value::Null);
    claim("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"));
    claim("sub", Value::Null);
    let header = |value: Value| Lies {
        header: value.as_object().cloned().unwrap(),
        ..Lies::default()
    };
    all.push(("alg none", header(json!({ "alg": "none" }))));
    all.push(("alg HS256", header(json!({ "alg": "HS256" }))));
    all.push(("typ", header(json!({ "typ": "at+jwt" }))));
    all.push((
        "key",
        Lies {
            foreign_key: true,
            ..Lies::default()
        },
    ));
    for (what, lies) in all {
        idp.provider.lie(|now| *now = lies);
        gateway.advance(std::time::Duration::from_secs(15));
        let mut browser = gateway.browser().unwrap();
        assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 502, "{what}");
        assert_eq!(signed_in(&mut browser).await.unwrap(), None, "{what}");
    }
    idp.provider.lie(|_| {});
    let mut browser = gateway.browser().unwrap();
    assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 200);
}

#[tokio::test]
async fn co_11_the_code_goes_to_nobody_who_does_not_say_who_he_is() {
    let (idp, gateway) = stage("  allow_users: [\"*\"]\n").await.unwrap();
    for iss in ["", "https://evil.test", &format!("{}/", idp.url())] {
        idp.provider.lie(|lies| lies.iss = Some(iss.to_owned()));
        let mut browser = gateway.browser().unwrap();
        assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 502, "{iss}");
    }
    assert_eq!(
        idp.provider.exchanges.load(Ordering::SeqCst),
        0,
        "no code was sent anywhere"
    );
}

#[tokio::test]
async fn co_11_the_answers_of_two_providers_cannot_be_swapped() {
    let person = json!({ "sub": "7", "preferred_username": "ada" });
    let (honest, evil) = (
        Issuer::start(person.clone()).await.unwrap(),
        Issuer::start(person).await.unwrap(),
    );
    let providers = format!(
        "  oidc:\n{}{}",
        honest.configuration("honest"),
        evil.configuration("evil")
    );
    let gateway = gateway("  allow_users: [\"*\"]\n", &providers).await.unwrap();
    let mut browser = gateway.browser().unwrap();
    let to_honest = leave(&mut browser, "honest", "/").await.unwrap();
    let to_evil = leave(&mut browser, "evil", "/").await.unwrap();
    let honest_answer = honest.visit(&to_honest).await.unwrap();
    let evil_answer = evil.visit(&to_evil).await.unwrap();
    let swapped = |answer, from: &str, to: &str| {
        let path = sallyport_testkit::provider::location(answer).unwrap();
        path.replace(&format!("/callback/{from}"), &format!("/callback/{to}"))
    };
    for path in [
        swapped(&honest_answer, "honest", "evil"),
        swapped(&evil_answer, "evil", "honest"),
    ] {
        let page = browser.open(&path).await.unwrap();
        assert!(is_page(&page.answer, 403), "{path}: {:?}", page.answer);
    }
    let exchanges = |idp: &Provider<Issuer>| idp.provider.exchanges.load(Ordering::SeqCst);
    assert_eq!((exchanges(&honest), exchanges(&evil)), (0, 0));
    // Nothing was used up by it.
    come_back(&mut browser, &honest_answer).await.unwrap();
    assert_eq!(
        signed_in(&mut browser).await.unwrap().as_deref(),
        Some("honest:ada")
    );
}

#[tokio::test]
async fn md_04_md_05_md_08_a_discovery_document_of_somebody_else_is_a_page_that_says_so() {
    let (idp, gateway) = stage("  allow_users: [\"*\"]\n").await.unwrap();
    for (member, value) in [
        ("issuer", json!("https://evil.test")),
        ("token_endpoint", json!("http://192.0.2.1/token")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("authorization_endpoint", json!("a:$(id)")),
        ("jwks_uri", Value::Null),
        ("longer than is read", json!("x".repeat(512 * 1024))),
    ] {
        idp.provider
            .lie(|lies| lies.metadata = one(member, value.clone()));
        let mut browser = gateway.browser().unwrap();
        let page = browser.open("/login/corp").await.unwrap();
        assert!(is_page(&page.answer, 502), "{member}: {:?}", page.answer);
    }
    // At another host only the open network is in reach.
    idp.provider
        .lie(|lies| lies.metadata = one("token_endpoint", json!("https://10.0.0.1/token")));
    let mut browser = gateway.browser().unwrap();
    assert_eq!(log_in(&idp, &mut browser).await.unwrap(), 502);
}

/// Goes to the provider on the way of a client, and comes back with what `answer` makes of its answer; the name of the
/// verdict in the record of the log-in.
async fn verdict(
    (idp, gateway): &(Provider<Issuer>, TestGateway),
    answer: impl Fn(String) -> String,
    other_browser: bool,
) -> anyhow::Result<String> {
    gateway.advance(std::time::Duration::from_secs(20));
    let begin = gateway.clock().now();
    let client = gateway.client().await?;
    let parameters = client.parameters(&gateway.resource("default"));
    let next = OauthClient::authorize_path(&parameters);
    let mut browser = gateway.browser()?;
    browser.open(&next).await?;
    let target = leave(&mut browser, "corp", &next).await?;
    let came = answer(sallyport_testkit::provider::location(&idp.visit(&target).await?)?);
    if other_browser {
        browser = gateway.browser()?;
    }
    browser.come_from("cross-site");
    browser.open(&came).await?;
    let store = gateway.store().await?;
    let mut name = String::new();
    crate::support::within(crate::support::PATIENCE, async || {
        let traces = store.logins(begin).await?;
        let now = gateway.clock().now();
        let states = traces.iter().map(|trace| trace.verdict(now));
        let refused = states.into_iter().find(|verdict| verdict.state == State::Refused);
        name = refused.map(|verdict| verdict.name).unwrap_or_default();
        Ok(!name.is_empty() && traces.len() == 1)
    })
    .await?;
    store.close().await;
    Ok(name)
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_back_is_in_the_record_of_the_log_in() {
    let stage = stage("  allow_users: [\"corp:bob\"]\n").await.unwrap();
    let same = |path: String| path;
    assert_eq!(verdict(&stage, same, false).await.unwrap(), "person-unlisted");
    assert_eq!(verdict(&stage, same, true).await.unwrap(), "provider-foreign");
    let denied = |path: String| path.replace("code=", "error=access_denied&was=");
    assert_eq!(verdict(&stage, denied, false).await.unwrap(), "provider-denied");
    let failed = |path: String| path.replace("code=", "error=server_error&was=");
    assert_eq!(verdict(&stage, failed, false).await.unwrap(), "provider-failed");
    stage
        .0
        .provider
        .lie(|lies| lies.claims = one("aud", json!("another-client")));
    assert_eq!(verdict(&stage, same, false).await.unwrap(), "provider-failed");
}
