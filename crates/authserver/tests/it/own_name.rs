//! Clients in their own name (client credentials).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sallyport_core::audit::{Action, Outcome};
use sallyport_core::capability::TokenError;
use sallyport_core::{ClientId, ScopeSet, UserId};
use sallyport_oauth::registration::{Policy, Registration};
use sallyport_store::Maker;
use serde_json::{Value, json};

use crate::browser::Connected;
use crate::token::confidential;
use crate::world::{Answer, MCP, REDIRECT, TEAM, World};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// A client that the operator has registered for `paths`, and its `Authorization` header.
async fn made(world: &World, id: &str, paths: &[&str]) -> String {
    let (secret, digest) =
        sallyport_authserver::credentials::client_secret(&*world.parts.derive, &*world.parts.random);
    let body = json!({
        "client_name": "nightly", "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["client_credentials"], "sallyport_resources": paths,
    });
    let policy = Policy {
        private_schemes: &[],
        scopes: &ScopeSet::parse("mcp"),
        is_operator: true,
    };
    let accepted = Registration::read(body.to_string().as_bytes(), policy).unwrap();
    let client = accepted.into_client(ClientId::new(id), Some(digest), world.parts.clock.now());
    world
        .store
        .register_client(&client, Maker::Operator, None)
        .await
        .unwrap();
    format!("Basic {}", STANDARD.encode(format!("{id}:{}", secret.expose())))
}

async fn ask(world: &World, header: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [&[GRANT], more].concat();
    world.form_as("/token", &fields, Some(header)).await
}

fn access(answer: &Answer) -> String {
    answer.json()["access_token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned()
}

#[tokio::test]
async fn a_client_of_the_operator_gets_tokens_in_its_own_name() {
    let world = World::settled().await;
    let header = made(&world, "nightly", &["/mcp/team", "/mcp"]).await;
    let first = ask(&world, &header, &[]).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.json()["expires_in"], json!(900));
    assert_eq!(first.json()["scope"], json!("mcp"));
    assert!(first.json().get("refresh_token").is_none());
    assert!(world.verify(&access(&first), TEAM).is_ok());
    assert_eq!(world.verify(&access(&first), MCP), Err(TokenError::Audience));
    let other = ask(&world, &header, &[("resource", MCP), ("scope", "mcp")]).await;
    assert!(world.verify(&access(&other), MCP).is_ok());
    // Asking often leaves no more grants.
    for _ in 0..5 {
        assert_eq!(ask(&world, &header, &[]).await.status, 200);
    }
    let user = UserId::new("client:nightly");
    assert_eq!(world.store.grants_of(&user).await.unwrap().len(), 2);
    assert_eq!(world.recorded(Action::TokenIssue, Outcome::Ok), 7);
    let fields = [
        ("token", access(&first)),
        ("token_type_hint", "access_token".to_owned()),
    ];
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(world.form_as("/revoke", &fields, Some(&header)).await.status, 200);
    assert_eq!(world.verify(&access(&first), TEAM), Err(TokenError::Revoked));
}

#[tokio::test]
async fn tk_10_dc_03_nobody_else_acts_in_its_own_name() {
    let world = World::settled().await;
    let public = world.client(REDIRECT).await;
    let answer = world.form("/token", &[GRANT, ("client_id", &public)]).await;
    assert_eq!(answer.error(), (400, "unauthorized_client".into()));
    let (_, _, header) = confidential(&world, "client_secret_basic").await;
    assert_eq!(
        ask(&world, &header, &[]).await.error(),
        (400, "unauthorized_client".into())
    );
    // Asking for it at registration gives nobody the right.
    let body = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["authorization_code", "client_credentials"], "sallyport_resources": ["/mcp"],
    });
    let echo: Value = world.register(&body).await.json();
    assert_eq!(echo["grant_types"], json!(["authorization_code"]));
    assert!(echo.get("sallyport_resources").is_none());
    let fields = [
        GRANT,
        ("client_id", echo["client_id"].as_str().unwrap()),
        ("client_secret", echo["client_secret"].as_str().unwrap()),
    ];
    assert_eq!(
        world.form("/token", &fields).await.error(),
        (400, "unauthorized_client".into())
    );
}

#[tokio::test]
async fn az_08_au_02_no_more_than_the_operator_has_named() {
    let world = World::settled().await;
    let header = made(&world, "nightly", &["/mcp/team"]).await;
    for (field, error) in [
        (("resource", MCP), "invalid_target"),
        (("resource", "https://elsewhere.test/mcp"), "invalid_target"),
        (("scope", "mcp admin"), "invalid_scope"),
        (("scope", "admin"), "invalid_scope"),
    ] {
        let answer = ask(&world, &header, &[field]).await;
        assert_eq!(answer.error(), (400, error.into()), "{field:?}");
    }
    let bad = format!("Basic {}", STANDARD.encode("nightly:bad"));
    assert_eq!(
        ask(&world, &bad, &[]).await.error(),
        (401, "invalid_client".into())
    );
    let posing = world.form("/token", &[GRANT, ("client_id", "nightly")]).await;
    assert_eq!(posing.error(), (401, "invalid_client".into()));
    let gone = made(&world, "gone", &["/mcp/gone"]).await;
    assert_eq!(
        ask(&world, &gone, &[]).await.error(),
        (400, "invalid_target".into())
    );
}

#[tokio::test]
async fn is_02_a_client_is_nobody_that_logs_in() {
    let world = World::settled().await;
    let header = made(&world, "nightly", &["/mcp"]).await;
    let token = access(&ask(&world, &header, &[]).await);
    let fields = [("token", token.as_str())];
    let told = world.form_as("/introspect", &fields, Some(&header)).await.json();
    assert_eq!(told["sub"], json!("client:nightly"));
    assert_eq!(told["client_id"], json!("nightly"));
    let person = Connected::new(&world, REDIRECT).await;
    assert!(world.verify(person.access(), MCP).is_ok());
    // It cannot send anybody to log in either.
    let page = world
        .get(&crate::world::authorize("nightly", REDIRECT, &[]))
        .await;
    assert!(page.is_page(400));
    let ended = world
        .store
        .delete_client(&ClientId::new("nightly"), world.parts.clock.now())
        .await
        .unwrap();
    assert_eq!(ended.map(|grants| grants.len()), Some(1));
    assert_eq!(
        ask(&world, &header, &[]).await.error(),
        (401, "invalid_client".into())
    );
}
