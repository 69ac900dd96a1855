//! `/introspect`.

use std::time::Duration;

use sallyport_core::ClientId;
use serde_json::{Value, json};

use crate::browser::Connected;
use crate::token::{code_of, confidential};
use crate::world::{Answer, ISSUER, MCP, REDIRECT, VERIFIER, World};

async fn introspect(world: &World, header: &str, token: &str) -> Answer {
    world
        .form_as("/introspect", &[("token", token)], Some(header))
        .await
}

const INACTIVE: &str = r#"{"active":false}"#;

async fn tokens(world: &World, client: &str, header: &str) -> Value {
    let code = code_of(world, client).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    world.form_as("/token", &fields, Some(header)).await.json()
}

#[tokio::test]
async fn a_client_hears_of_its_own_tokens() {
    let world = World::settled().await;
    let (client, _, header) = confidential(&world, "client_secret_basic").await;
    let tokens = tokens(&world, &client, &header).await;
    let answer = introspect(&world, &header, tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let told = answer.json();
    for (member, value) in [
        ("active", json!(true)),
        ("token_type", json!("Bearer")),
        ("iss", json!(ISSUER)),
        ("client_id", json!(client)),
        ("aud", json!(MCP)),
        ("scope", json!("mcp")),
        ("exp", json!(1_790_000_900)),
    ] {
        assert_eq!(told[member], value, "{member}");
    }
    assert!(told["sub"].is_string() && told["jti"].is_string());
    let told = introspect(&world, &header, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(told.json()["active"], json!(true));
    assert_eq!(told.json()["client_id"], json!(client));
}

#[tokio::test]
async fn rv_06_nobody_asks_without_proof() {
    let world = World::settled().await;
    let connected = Connected::new(&world, REDIRECT).await;
    let (client, _, _) = confidential(&world, "client_secret_post").await;
    let bearer = format!("Bearer {}", connected.access());
    let token = ("token", connected.access());
    for (fields, header) in [
        (vec![token], None),
        (vec![token], Some(bearer.as_str())),
        (vec![token, ("client_id", &connected.client)], None),
        (vec![token, ("client_id", &client)], None),
        (vec![token, ("client_id", "nobody"), ("client_secret", "x")], None),
    ] {
        let answer = world.form_as("/introspect", &fields, header).await;
        assert_eq!(answer.error(), (401, "invalid_client".into()), "{fields:?}");
        assert!(!answer.body.contains("active"), "{answer:?}");
    }
    let bare = world.form("/introspect", &[token]).await;
    assert!(bare.header("www-authenticate").starts_with("Basic "));
}

#[tokio::test]
async fn rv_07_whatever_is_not_the_askers_is_inactive_in_one_way() {
    let world = World::settled().await;
    let (client, _, header) = confidential(&world, "client_secret_basic").await;
    let foreign = Connected::new(&world, REDIRECT).await;
    let own = tokens(&world, &client, &header).await;
    let (access, refresh) = (
        own["access_token"].as_str().unwrap(),
        own["refresh_token"].as_str().unwrap(),
    );
    let forged = format!("{}x", access.rsplit_once('.').unwrap().0);
    let rows = [foreign.access(), foreign.refresh(), "unknown", "a.b.c", &forged];
    for token in rows {
        let answer = introspect(&world, &header, token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, INACTIVE),
            "{token}"
        );
    }
    let fields = [("token", access)];
    assert_eq!(world.form_as("/revoke", &fields, Some(&header)).await.status, 200);
    assert_eq!(introspect(&world, &header, access).await.body, INACTIVE);
    let active = introspect(&world, &header, refresh).await;
    assert_eq!(active.json()["active"], json!(true));
    world.pass(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(introspect(&world, &header, refresh).await.body, INACTIVE);
}

#[tokio::test]
async fn rv_07_the_operator_names_the_resources_that_a_client_may_see() {
    let world = World::settled().await;
    let foreign = Connected::new(&world, REDIRECT).await;
    // Nobody names them for itself.
    let body = json!({
        "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post",
        "sallyport_introspects": ["/mcp"],
    });
    let echo = world.register(&body).await.json();
    assert!(echo.get("sallyport_introspects").is_none());
    let text = |member: &str| echo[member].as_str().unwrap().to_owned();
    let (id, secret) = (text("client_id"), text("client_secret"));
    let ask = async |id: &str| {
        let fields = [
            ("token", foreign.access()),
            ("client_id", id),
            ("client_secret", &secret),
        ];
        world.form("/introspect", &fields).await.body
    };
    assert_eq!(ask(&id).await, INACTIVE);
    for (path, is_seen) in [("/mcp/team", false), ("/mcp", true)] {
        let mut client = world
            .store
            .client(&ClientId::new(id.as_str()))
            .await
            .unwrap()
            .unwrap();
        client.id = ClientId::new(format!("of the operator for {path}"));
        client
            .metadata
            .insert("sallyport_introspects".into(), json!([path]));
        world.store.insert_client(&client).await.unwrap();
        assert_eq!(ask(client.id.as_str()).await != INACTIVE, is_seen, "{path}");
    }
}
