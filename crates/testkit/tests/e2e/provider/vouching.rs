//! An identity provider vouches for its people to clients (enterprise-managed authorization), and liars do.

use sallyport_testkit::browser::Browser;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::oauth::Tokens;
use sallyport_testkit::provider::{Issuer, Provider};
use serde_json::{Map, Value, json};

use super::{come_back, gateway, leave};
use crate::attack::{error, list, refused};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A provider that vouches, a gateway that trusts it, a person who has come in once, and a client with a secret.
struct Stage {
    idp: Provider<Issuer>,
    gateway: TestGateway,
    client: (String, String),
    /// What is in the gateway's configuration.
    configured: String,
    count: u32,
}

impl Stage {
    async fn new(trusted: bool) -> anyhow::Result<Self> {
        Self::with(trusted, "[\"corp:ada\"]").await
    }

    /// With these people listed.
    async fn with(trusted: bool, listed: &str) -> anyhow::Result<Self> {
        let idp = Issuer::start(json!({ "sub": "7", "preferred_username": "ada" })).await?;
        let configured = idp.configuration("corp");
        let configured = configured.trim_end().trim_end_matches('}');
        let providers = format!("  oidc:\n{configured}, identity_assertions: {trusted} }}\n");
        let listed = format!("  allow_users: {listed}\n");
        let gateway = gateway(&listed, &providers).await?;
        let metadata = json!({
            "client_name": "managed", "redirect_uris": ["https://c.test/cb"],
            "grant_types": ["authorization_code", GRANT], "token_endpoint_auth_method": "client_secret_post",
        });
        let client = register(&gateway, &metadata).await?;
        let stage = Self {
            idp,
            gateway,
            client,
            configured: format!("auth:\n{listed}{providers}"),
            count: 0,
        };
        let mut browser = stage.gateway.browser()?;
        stage.log_in(&mut browser).await?;
        Ok(stage)
    }

    async fn log_in(&self, browser: &mut Browser) -> anyhow::Result<()> {
        let target = leave(browser, "corp", "/").await?;
        let answer = self.idp.visit(&target).await?;
        come_back(browser, &answer).await.map(|_| ())
    }

    /// A new assertion, with other claims; null removes one.
    fn vouch(&mut self, changes: &[(&str, Value)]) -> anyhow::Result<String> {
        self.count += 1;
        let claims = json!({
            "aud": self.gateway.origin(), "client_id": self.client.0, "jti": format!("j{}", self.count),
            "resource": self.gateway.resource("default"), "scope": "mcp",
        });
        let changes = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        self.idp.provider.vouch(claims, &Map::from_iter(changes))
    }

    async fn show(&self, assertion: &str, more: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.show_as(&self.client, assertion, more).await
    }

    async fn show_as(
        &self,
        (id, secret): &(String, String),
        assertion: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut fields = vec![("grant_type", GRANT), ("assertion", assertion), ("client_id", id)];
        if !secret.is_empty() {
            fields.push(("client_secret", secret));
        }
        fields.extend_from_slice(more);
        self.gateway
            .connect()
            .await?
            .ask(&Request::post("/token").form(&fields))
            .await
    }
}

async fn register(gateway: &TestGateway, metadata: &Value) -> anyhow::Result<(String, String)> {
    let answer = gateway
        .connect()
        .await?
        .ask(&Request::post("/register").json(metadata))
        .await?;
    let body = answer.expect(201)?.json()?;
    let text = |member: &str| {
        body.get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Ok((text("client_id"), text("client_secret")))
}

#[tokio::test]
async fn a_person_that_the_provider_vouches_for_needs_no_page() {
    let mut stage = Stage::new(true).await.unwrap();
    let assertion = stage.vouch(&[]).unwrap();
    let answer = stage.show(&assertion, &[]).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let body = answer.json().unwrap();
    assert!(body.get("refresh_token").is_none(), "{body}");
    assert_eq!(body["scope"], json!("mcp"));
    let tokens = Tokens::read(answer).unwrap();
    let request = list("/mcp").bearer(&tokens.access);
    let answer = stage
        .gateway
        .connect()
        .await
        .unwrap()
        .ask(&request)
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let told = Request::get("/.well-known/oauth-authorization-server");
    let told = stage
        .gateway
        .connect()
        .await
        .unwrap()
        .ask(&told)
        .await
        .unwrap()
        .json()
        .unwrap();
    assert!(
        told["grant_types_supported"]
            .as_array()
            .unwrap()
            .contains(&json!(GRANT))
    );
    let profiles = json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(told["authorization_grant_profiles_supported"], profiles);
}

#[tokio::test]
async fn tk_13_an_assertion_counts_once_and_for_what_it_says() {
    let mut stage = Stage::new(true).await.unwrap();
    let now = 1_795_132_800;
    let good = stage.vouch(&[]).unwrap();
    assert_eq!(stage.show(&good, &[]).await.unwrap().status(), 200);
    let again = stage.show(&good, &[]).await.unwrap();
    assert_eq!(error(&again), refused(400, "invalid_grant"));
    for (claim, value, expected) in [
        ("aud", json!("https://elsewhere.test"), "invalid_grant"),
        ("aud", json!(["http://a.test", "http://b.test"]), "invalid_grant"),
        ("client_id", json!("another"), "invalid_grant"),
        ("iss", json!("https://evil.test"), "invalid_grant"),
        ("sub", json!("8"), "invalid_grant"),
        ("sub", Value::Null, "invalid_grant"),
        ("jti", Value::Null, "invalid_grant"),
        ("exp", json!(now - 61), "invalid_grant"),
        ("exp", json!(now + 7200), "invalid_grant"),
        ("exp", json!("soon"), "invalid_grant"),
        ("nbf", json!(now + 3600), "invalid_grant"),
        ("resource", json!("https://elsewhere.test/mcp"), "invalid_target"),
        ("scope", json!("admin"), "invalid_scope"),
    ] {
        let assertion = stage.vouch(&[(claim, value.clone())]).unwrap();
        let answer = stage.show(&assertion, &[]).await.unwrap();
        assert_eq!(error(&answer), refused(400, expected), "{claim} {value}");
    }
    // The request takes no more than the assertion says.
    let other = stage.gateway.resource("other");
    let assertion = stage.vouch(&[]).unwrap();
    let answer = stage.show(&assertion, &[("resource", &other)]).await.unwrap();
    assert_eq!(error(&answer), refused(400, "invalid_target"));
    let answer = stage.show(&assertion, &[("scope", "admin")]).await.unwrap();
    assert_eq!(error(&answer), refused(400, "invalid_scope"));
    // What was refused for another reason has not been used up.
    assert_eq!(stage.show(&assertion, &[]).await.unwrap().status(), 200);
}

#[tokio::test]
async fn tk_13_only_the_provider_vouches_and_only_to_a_client_that_proves_itself() {
    let mut stage = Stage::new(true).await.unwrap();
    stage.idp.provider.lie(|lies| lies.foreign_key = true);
    let forged = stage.vouch(&[]).unwrap();
    assert_eq!(
        error(&stage.show(&forged, &[]).await.unwrap()),
        refused(400, "invalid_grant")
    );
    for kind in ["JWT", "at+jwt", "dpop+jwt"] {
        stage.idp.provider.lie(|lies| {
            lies.header.insert("typ".to_owned(), json!(kind));
        });
        let other = stage.vouch(&[]).unwrap();
        assert_eq!(
            error(&stage.show(&other, &[]).await.unwrap()),
            refused(400, "invalid_grant"),
            "{kind}"
        );
    }
    stage.idp.provider.lie(|_| {});
    let good = stage.vouch(&[]).unwrap();
    let guessed = (stage.client.0.clone(), "guess".to_owned());
    let answer = stage.show_as(&guessed, &good, &[]).await.unwrap();
    assert_eq!(error(&answer), refused(401, "invalid_client"));
    let nothing = (stage.client.0.clone(), String::new());
    let answer = stage.show_as(&nothing, &good, &[]).await.unwrap();
    assert_eq!(error(&answer), refused(401, "invalid_client"));
    // A public client proves nothing, and one that has not registered for it may not, though the provider vouches to them.
    for metadata in [
        json!({ "redirect_uris": ["https://c.test/cb"], "grant_types": ["authorization_code", GRANT] }),
        json!({ "redirect_uris": ["https://c.test/cb"], "token_endpoint_auth_method": "client_secret_post" }),
    ] {
        let client = register(&stage.gateway, &metadata).await.unwrap();
        let assertion = stage.vouch(&[("client_id", json!(client.0))]).unwrap();
        let answer = stage.show_as(&client, &assertion, &[]).await.unwrap();
        assert_eq!(error(&answer), refused(400, "unauthorized_client"), "{metadata}");
    }
    assert_eq!(stage.show(&good, &[]).await.unwrap().status(), 200);
}

#[tokio::test]
async fn tk_13_a_provider_that_is_not_trusted_for_it_vouches_for_nobody() {
    let mut stage = Stage::new(false).await.unwrap();
    let assertion = stage.vouch(&[]).unwrap();
    let answer = stage.show(&assertion, &[]).await.unwrap();
    assert_eq!(error(&answer), refused(400, "unsupported_grant_type"));
    let told = Request::get("/.well-known/oauth-authorization-server");
    let told = stage.gateway.connect().await.unwrap().ask(&told).await.unwrap();
    assert!(!told.text().contains("jwt-bearer\""), "{}", told.text());
    assert!(!told.text().contains("id-jag"));
}

#[tokio::test]
async fn somebody_new_is_made_as_a_log_in_would_make_them() {
    let mut stage = Stage::with(true, "[\"corp:ada\", \"corp:grace\", \"group:ops\"]")
        .await
        .unwrap();
    let person = |sub: &str, name: &str| [("sub", json!(sub)), ("preferred_username", json!(name))];
    let grace = stage.vouch(&person("9", "grace")).unwrap();
    let answer = stage.show(&grace, &[]).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let first = Tokens::read(answer).unwrap();
    let groups = [("sub", json!("10")), ("groups", json!(["ops"]))];
    let member = stage.vouch(&groups).unwrap();
    assert_eq!(stage.show(&member, &[]).await.unwrap().status(), 200);
    // Nobody else comes in, neither under the name that somebody has.
    for stranger in [
        person("11", "eve"),
        person("12", "grace"),
        person("13", "corp:ada"),
    ] {
        let assertion = stage.vouch(&stranger).unwrap();
        let answer = stage.show(&assertion, &[]).await.unwrap();
        assert_eq!(error(&answer), refused(400, "invalid_grant"), "{stranger:?}");
    }
    let store = stage.gateway.store().await.unwrap();
    let users = store.users().await.unwrap();
    store.close().await;
    let mut names: Vec<&str> = users.iter().map(|user| user.name.as_str()).collect();
    names.sort_unstable();
    assert!(
        names.contains(&"corp:grace") && !names.contains(&"corp:eve"),
        "{names:?}"
    );
    // The same person again, not another one.
    let again = stage.vouch(&person("9", "grace")).unwrap();
    let again = Tokens::read(stage.show(&again, &[]).await.unwrap()).unwrap();
    assert_eq!(again.claims().unwrap()["sub"], first.claims().unwrap()["sub"]);
}

#[tokio::test]
async fn tk_13_an_assertion_counts_once_in_whatever_process() {
    let mut stage = Stage::new(true).await.unwrap();
    let assertion = stage.vouch(&[]).unwrap();
    assert_eq!(stage.show(&assertion, &[]).await.unwrap().status(), 200);
    let fields = [
        ("grant_type", GRANT),
        ("assertion", assertion.as_str()),
        ("client_id", stage.client.0.as_str()),
        ("client_secret", stage.client.1.as_str()),
    ];
    // After a restart there is nothing but the store.
    let configured = stage.configured.clone();
    let again = stage.gateway.beside_with(&configured).await.unwrap();
    let answer = again
        .connect()
        .await
        .unwrap()
        .ask(&Request::post("/token").form(&fields))
        .await
        .unwrap();
    assert_eq!(error(&answer), refused(400, "invalid_grant"));
}
