//! Clients as the operator manages them, and as they manage themselves.

use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::OauthClient;
use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};

use crate::attack::list;
use crate::support::{Scene, within};

/// Within a second by the contract; more on a busy machine.
const SOON: Duration = Duration::from_secs(10);

async fn command(gateway: &GatewayProcess, args: &[&str]) -> anyhow::Result<Value> {
    let args = [args, &["-o", "json"]].concat();
    Ok(serde_json::from_str(&gateway.run(&args, "").await?)?)
}

fn text<'a>(value: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .context(member.to_owned())
}

/// Whether the token opens the endpoint.
async fn opens(gateway: &GatewayProcess, token: &str) -> anyhow::Result<bool> {
    let request = list("/mcp").bearer(token);
    Ok(gateway.connect().await?.ask(&request).await?.status() == 200)
}

async fn manage(gateway: &GatewayProcess, request: Request, token: &str) -> anyhow::Result<u16> {
    let request = request.bearer(token);
    Ok(gateway.connect().await?.ask(&request).await?.status())
}

#[tokio::test]
async fn dc_09_the_operator_makes_shows_and_ends_a_client() {
    let scene = Scene::demo().await.unwrap();
    let mut client: OauthClient = scene.gateway.client().await.unwrap();
    let redirect = client.redirect.clone();
    let create = [
        "client",
        "create",
        "Web app",
        "--redirect-uri",
        &redirect,
        "--auth",
        "client_secret_post",
    ];
    let made = command(&scene.gateway, &create).await.unwrap();
    text(&made, "client_id").unwrap().clone_into(&mut client.id);
    client.secret = Some(text(&made, "client_secret").unwrap().to_owned());
    let mut browser = scene.gateway.browser().unwrap();
    let resource = scene.gateway.resource("default");
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    assert!(opens(&scene.gateway, &tokens.access).await.unwrap());
    let shown = command(&scene.gateway, &["client", "show", &client.id])
        .await
        .unwrap();
    assert_eq!(text(&shown, "made_by").unwrap(), "operator");
    assert!(shown.get("client_secret").is_none());
    let listed = command(&scene.gateway, &["client", "list"]).await.unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let gone = command(&scene.gateway, &["client", "delete", &client.id])
        .await
        .unwrap();
    assert_eq!(gone.get("grants_revoked"), Some(&json!(1)));
    within(SOON, async || Ok(!opens(&scene.gateway, &tokens.access).await?))
        .await
        .unwrap();
    assert_eq!(client.refresh(&tokens.refresh).await.unwrap().status(), 401);
    let unknown = scene.gateway.run(&["client", "delete", &client.id], "").await;
    assert!(unknown.is_err());
}

#[tokio::test]
async fn dc_10_the_operator_gives_a_registration_another_token() {
    let scene = Scene::demo().await.unwrap();
    let body = json!({ "redirect_uris": ["http://127.0.0.1/cb"] });
    let mut connection = scene.gateway.connect().await.unwrap();
    let answer = connection
        .ask(&Request::post("/register").json(&body))
        .await
        .unwrap();
    let registered = answer.expect(201).unwrap().json().unwrap();
    let id = text(&registered, "client_id").unwrap();
    let first = text(&registered, "registration_access_token").unwrap();
    let path = format!("/register/{id}");
    let get = || Request::get(&path);
    assert_eq!(manage(&scene.gateway, get(), first).await.unwrap(), 200);
    assert_eq!(manage(&scene.gateway, get(), &scene.token).await.unwrap(), 403);
    let second = scene.gateway.run(&["client", "token", id], "").await.unwrap();
    let second = second.trim();
    assert!(second.starts_with("reg-"), "{second}");
    assert_eq!(manage(&scene.gateway, get(), first).await.unwrap(), 401);
    assert_eq!(manage(&scene.gateway, get(), second).await.unwrap(), 200);
}

#[tokio::test]
async fn tk_10_is_02_a_client_acts_in_its_own_name_where_profile_and_operator_let_it() {
    let profiles = "profiles:\n  default: { servers: [\"*\"] }\n  \
                    reading: { servers: [\"*\"], users: { allow: [ada, \"client:nightly\"] } }\n  \
                    people: { servers: [\"*\"], users: { allow: [ada] } }\n";
    let scene = Scene::with(profiles, Vec::new()).await.unwrap();
    let create = async |name: &str| {
        let args = [
            "client",
            "create",
            name,
            "--auth",
            "client_secret_post",
            "--grant",
            "client_credentials",
            "--profile",
            "reading",
            "--profile",
            "people",
        ];
        command(&scene.gateway, &args).await.unwrap()
    };
    let (nightly, other) = (create("nightly").await, create("other").await);
    let token = async |client: &Value, slug: &str| -> anyhow::Result<String> {
        let resource = scene.gateway.resource(slug);
        let form = Request::post("/token").form(&[
            ("grant_type", "client_credentials"),
            ("client_id", text(client, "client_id")?),
            ("client_secret", text(client, "client_secret")?),
            ("resource", &resource),
        ]);
        let answer = scene
            .gateway
            .connect()
            .await?
            .ask(&form)
            .await?
            .expect(200)?
            .json()?;
        Ok(text(&answer, "access_token")?.to_owned())
    };
    let opens = async |slug: &str, token: &str| -> anyhow::Result<bool> {
        let request = list(&format!("/mcp/{slug}")).bearer(token);
        Ok(scene.gateway.connect().await?.ask(&request).await?.status() == 200)
    };
    let reading = token(&nightly, "reading").await.unwrap();
    within(SOON, async || opens("reading", &reading).await)
        .await
        .unwrap();
    assert!(!opens("default", &reading).await.unwrap());
    // The operator has named the profile to it, but the profile lets nobody but ada in.
    let people = token(&nightly, "people").await.unwrap();
    assert!(!opens("people", &people).await.unwrap());
    let foreign = token(&other, "reading").await.unwrap();
    assert!(!opens("reading", &foreign).await.unwrap());
    assert!(token(&nightly, "default").await.is_err());
    let id = text(&nightly, "client_id").unwrap();
    scene.gateway.run(&["client", "delete", id], "").await.unwrap();
    within(SOON, async || Ok(!opens("reading", &reading).await?))
        .await
        .unwrap();
}
