//! Tokens that a client of the operator exchanges, from the command that makes it to the call that is refused.

use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::mcp::Modern;
use sallyport_testkit::oauth::{OauthClient, Tokens};
use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};

use crate::attack::{error, list, refused};
use crate::support::{Scene, within};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Within a second by the contract; more on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A client that may exchange tokens for `profile`, with at most these scopes.
async fn agent(scene: &Scene, name: &str, scope: &str) -> anyhow::Result<OauthClient> {
    let create = [
        "client",
        "create",
        name,
        "--auth",
        "client_secret_post",
        "--grant",
        GRANT,
        "--profile",
        "default",
        "--scope",
        scope,
        "-o",
        "json",
    ];
    let made: Value = serde_json::from_str(&scene.gateway.run(&create, "").await?)?;
    let text = |member: &str| made.get(member).and_then(Value::as_str).map(str::to_owned);
    let mut client = scene.gateway.client().await?;
    client.id = text("client_id").context("client_id")?;
    client.secret = text("client_secret");
    Ok(client)
}

async fn exchange(client: &OauthClient, subject: &str, more: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let fields = [
        ("grant_type", GRANT),
        ("subject_token", subject),
        ("subject_token_type", ACCESS),
    ];
    client.token(&[&fields, more].concat()).await
}

async fn lists(gateway: &GatewayProcess, token: &str) -> anyhow::Result<u16> {
    let request = list("/mcp").bearer(token);
    Ok(gateway.connect().await?.ask(&request).await?.status())
}

async fn calls(gateway: &GatewayProcess, token: &str) -> anyhow::Result<u16> {
    let client = Modern::new(gateway.endpoint("default", token), json!({}));
    let message = client.message(7, "tools/call", json!({ "name": "time", "arguments": {} }));
    Ok(gateway
        .connect()
        .await?
        .ask(&client.http(&message))
        .await?
        .status())
}

#[tokio::test]
async fn tk_13_an_agent_reads_for_a_person_until_either_ends() {
    let scene = Scene::demo().await.unwrap();
    let gateway = &scene.gateway;
    let app = gateway.client().await.unwrap();
    let mut browser = gateway.browser().unwrap();
    let resource = gateway.resource("default");
    let mut log_in = async || app.log_in(&mut browser, &resource, ("ada", PASSWORD)).await;
    let ada = log_in().await.unwrap();
    let reader = agent(&scene, "reader", "mcp:read").await.unwrap();
    let given = exchange(&reader, &ada.access, &[]).await.unwrap();
    assert_eq!(given.json().unwrap()["scope"], json!("mcp:read"));
    let read = Tokens::read(given).unwrap();
    assert_eq!(lists(gateway, &read.access).await.unwrap(), 200);
    assert_eq!(calls(gateway, &read.access).await.unwrap(), 403);
    assert_eq!(calls(gateway, &ada.access).await.unwrap(), 200);
    let wider = exchange(&reader, &read.access, &[("scope", "mcp:write")])
        .await
        .unwrap();
    assert_eq!(error(&wider), refused(400, "invalid_scope"));
    // With the one token ends what was exchanged for it, and nothing else.
    let other = Tokens::read(exchange(&reader, &ada.access, &[]).await.unwrap()).unwrap();
    let give_back = async |token: &str| {
        let back = Request::post("/revoke").form(&[("token", token), ("client_id", &app.id)]);
        gateway
            .connect()
            .await
            .unwrap()
            .ask(&back)
            .await
            .unwrap()
            .status()
    };
    let refreshed = Tokens::read(app.refresh(&ada.refresh).await.unwrap()).unwrap();
    assert_eq!(give_back(&ada.access).await, 200);
    for ended in [&ada.access, &read.access, &other.access] {
        assert_eq!(lists(gateway, ended).await.unwrap(), 401);
    }
    assert_eq!(lists(gateway, &refreshed.access).await.unwrap(), 200);
    let ada = refreshed;
    let read = Tokens::read(exchange(&reader, &ada.access, &[]).await.unwrap()).unwrap();
    assert_eq!(lists(gateway, &read.access).await.unwrap(), 200);
    // With the log-in ends what came of it.
    assert_eq!(give_back(&ada.refresh).await, 200);
    assert_eq!(lists(gateway, &read.access).await.unwrap(), 401);
    // With the agent ends what it has exchanged, and nothing else.
    let again = log_in().await.unwrap();
    let read = Tokens::read(exchange(&reader, &again.access, &[]).await.unwrap()).unwrap();
    assert_eq!(lists(gateway, &read.access).await.unwrap(), 200);
    gateway.run(&["client", "delete", &reader.id], "").await.unwrap();
    let ended = async || Ok(lists(gateway, &read.access).await? == 401);
    within(SOON, ended).await.unwrap();
    assert_eq!(lists(gateway, &again.access).await.unwrap(), 200);
}

#[tokio::test]
async fn the_operator_is_told_which_scopes_there_are() {
    let scene = Scene::demo().await.unwrap();
    for wrong in ["", "admin", "mcp:raed", "mcp mcp:docs"] {
        assert!(agent(&scene, "a", wrong).await.is_err(), "{wrong:?}");
    }
    assert!(agent(&scene, "b", "mcp:docs:read mcp:mail:write").await.is_ok());
}
