//! The command line and what it tells.

use std::time::Duration;

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::http::Request;
use sallyport_testkit::process::GatewayProcess;
use serde_json::{Value, json};

use crate::support::{Scene, within};

#[tokio::test]
async fn a_wrong_configuration_starts_nothing_and_names_every_problem() {
    let gateway =
        GatewayProcess::prepare("colour: red\nservers:\n  x: { uri: \"http://localhost/\" }\n").unwrap();
    for verb in [&["serve"][..], &["config", "check"]] {
        let output = gateway.command().unwrap().args(verb).output().await.unwrap();
        assert_eq!(output.status.code(), Some(78), "{verb:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for part in ["colour", "uri", "sallyport.yaml:5", "sallyport.yaml:7"] {
            assert!(said.contains(part), "{verb:?}: {part} is not in\n{said}");
        }
    }
    assert!(!gateway.data_dir().exists());
}

#[tokio::test]
async fn tools_can_be_listed_and_called_from_the_command_line() {
    let scene = Scene::demo().await.unwrap();
    let list = scene
        .gateway
        .run(&["-o", "json", "tools", "list"], "")
        .await
        .unwrap();
    assert!(list.contains("\"echo\""), "{list}");
    let answer = scene
        .gateway
        .run(&["tools", "call", "echo", r#"{"text":"from the shell"}"#], "")
        .await
        .unwrap();
    assert!(answer.contains("from the shell"), "{answer}");
}

#[tokio::test]
async fn a_removed_user_is_out_at_once() {
    let scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let token = scene.token_for("bob", "default").await.unwrap();
    let endpoint = scene.gateway.endpoint("default", &token);
    let mut bob = sallyport_testkit::mcp::Modern::new(endpoint, serde_json::json!({}));
    assert_eq!(bob.request("tools/list", Value::Null).await.unwrap().status, 200);
    scene.gateway.run(&["user", "remove", "bob"], "").await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    loop {
        if bob.request("tools/list", Value::Null).await.unwrap().status == 401 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "still in after a second");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rf_08_another_password_ends_everything_that_came_of_the_former_one() {
    let scene = Scene::demo().await.unwrap();
    let client = scene.gateway.client().await.unwrap();
    let resource = scene.gateway.resource("default");
    let mut browser = scene.gateway.browser().unwrap();
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let endpoint = scene.gateway.endpoint("default", &tokens.access);
    let mut modern = sallyport_testkit::mcp::Modern::new(endpoint, json!({}));
    assert_eq!(
        modern.request("tools/list", Value::Null).await.unwrap().status,
        200
    );
    let set = |name, line: &'static str| {
        let args = ["user", "password", name, "--password-stdin"];
        let gateway = &scene.gateway;
        async move { gateway.run(&args, line).await }
    };
    assert!(set("nobody", "a long enough password\n").await.is_err());
    assert!(set("ada", "short\n").await.is_err());
    assert_eq!(
        modern.request("tools/list", Value::Null).await.unwrap().status,
        200
    );
    set("ADA", "another password, long enough\n").await.unwrap();
    let refreshed = client.refresh(&tokens.refresh).await.unwrap();
    assert_eq!(refreshed.status(), 400);
    assert_eq!(refreshed.json().unwrap()["error"], "invalid_grant");
    let deadline = std::time::Instant::now() + Duration::from_secs(1);
    while modern.request("tools/list", Value::Null).await.unwrap().status != 401 {
        assert!(std::time::Instant::now() < deadline, "still in after a second");
        tokio::task::yield_now().await;
    }
    assert!(
        scene.gateway.log_in("ada", "default").await.is_err(),
        "the former password"
    );
    let trail = scene.gateway.run(&["audit", "export"], "").await.unwrap();
    assert!(trail.contains("user_password"), "{trail}");
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let scene = Scene::demo().await.unwrap();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(scene.gateway.admin(path).await.unwrap(), 200, "{path}");
    }
}

#[tokio::test]
async fn the_log_holds_no_secret() {
    let scene = Scene::demo().await.unwrap();
    let tokens = scene.gateway.log_in("ada", "default").await.unwrap();
    let log = scene.gateway.log();
    for secret in [
        &tokens.access,
        &tokens.refresh,
        &scene.token,
        sallyport_testkit::front::PASSWORD,
    ] {
        assert!(!log.contains(secret));
    }
    assert!(
        !log.contains("code=") && !log.contains("state-of-the-test"),
        "{log}"
    );
}

#[tokio::test]
async fn the_operator_reads_why_a_log_in_failed_and_that_another_did_not() {
    let mut scene = Scene::demo().await.unwrap();
    let tokens = scene.gateway.log_in("ada", "default").await.unwrap();
    let mut modern = sallyport_testkit::mcp::Modern::new(
        scene.gateway.endpoint("default", &tokens.access),
        serde_json::json!({}),
    );
    assert_eq!(
        modern.request("tools/list", Value::Null).await.unwrap().status,
        200
    );
    let client = scene.gateway.client().await.unwrap();
    let resource = scene.gateway.resource("default");
    let mut wrong = client.parameters(&resource);
    for (name, value) in &mut wrong {
        if name == "redirect_uri" {
            value.push_str("/elsewhere");
        }
    }
    let mut browser = scene.gateway.browser().unwrap();
    let page = browser
        .open(&sallyport_testkit::oauth::OauthClient::authorize_path(&wrong))
        .await
        .unwrap();
    assert_eq!(page.answer.status(), 400);
    let named = async |gateway: &GatewayProcess| -> anyhow::Result<Vec<(String, String)>> {
        let all = gateway.run(&["client", "logins", "-o", "json"], "").await?;
        let all: Vec<Value> = serde_json::from_str(&all)?;
        let text = |value: &Value, path: &str| {
            value
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut named: Vec<_> = all
            .iter()
            .map(|one| (text(one, "/verdict/name"), text(one, "/id")))
            .collect();
        named.sort();
        Ok(named)
    };
    let expected = ["connected", "redirect-not-registered"];
    crate::support::within(crate::support::PATIENCE, async || {
        let found = named(&scene.gateway).await?;
        Ok(found.iter().map(|(name, _)| name.as_str()).eq(expected))
    })
    .await
    .unwrap();
    scene.gateway.stop().await.unwrap();
    let found = named(&scene.gateway).await.unwrap();
    let (_, id) = found.last().unwrap();
    let told = scene.gateway.run(&["client", "logins", id], "").await.unwrap();
    for part in [
        "asked to return to",
        "/elsewhere",
        "but it registered",
        "Mend: Register ",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[tokio::test]
async fn groups_of_local_people_open_profiles_and_close_them_within_a_second() {
    let profiles = "profiles:\n  default: { servers: [\"*\"] }\n  \
                    ops: { servers: [\"*\"], users: { allow: [\"group:ops\", \"role:admin\"] } }\n";
    let scene = Scene::with(profiles, Vec::new()).await.unwrap();
    let password = "correct horse battery staple\n";
    let run = async |words: &[&str]| scene.gateway.run(words, password).await;
    run(&[
        "user",
        "add",
        "bob",
        "--group",
        "dev",
        "--group",
        "ops",
        "--password-stdin",
    ])
    .await
    .unwrap();
    run(&["user", "add", "eve", "--group", "dev", "--password-stdin"])
        .await
        .unwrap();
    let mut tokens = Vec::new();
    for name in ["ada", "bob", "eve"] {
        tokens.push(scene.token_for(name, "ops").await.unwrap());
    }
    let let_in = async || {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
        let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let mut let_in = Vec::new();
        for token in &tokens {
            let request = Request::post("/mcp/ops").bearer(token).rpc(&initialize);
            let answer = scene.gateway.connect().await?.ask(&request).await?;
            let_in.push(answer.status() == 200);
        }
        anyhow::Ok(let_in)
    };
    let second = Duration::from_secs(1);
    within(second, async || Ok(let_in().await? == [true, true, false]))
        .await
        .unwrap();
    run(&["user", "groups", "bob", "dev"]).await.unwrap();
    run(&["user", "groups", "EVE", "ops"]).await.unwrap();
    within(second, async || Ok(let_in().await? == [true, false, true]))
        .await
        .unwrap();
    let listed: Value = serde_json::from_str(&run(&["-o", "json", "user", "list"]).await.unwrap()).unwrap();
    assert_eq!(listed[1]["groups"], json!(["dev"]));
    assert!(run(&["user", "groups", "nobody", "ops"]).await.is_err());
    assert!(run(&["user", "groups", "bob", "a b"]).await.is_err());
}

#[tokio::test]
async fn everything_that_a_client_was_given_can_be_taken_back_while_it_stays() {
    let scene = Scene::demo().await.unwrap();
    let gateway = &scene.gateway;
    let (client, other) = (gateway.client().await.unwrap(), gateway.client().await.unwrap());
    let resource = gateway.resource("default");
    let mut browser = gateway.browser().unwrap();
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let others = other
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let said = gateway
        .run(&["-o", "json", "client", "revoke", &client.id], "")
        .await;
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!(said["grants_revoked"], 1);
    let is_refused = async |token: &str| {
        let request = Request::get("/mcp").bearer(token);
        anyhow::Ok(gateway.connect().await?.ask(&request).await?.status() == 401)
    };
    within(Duration::from_secs(1), async || is_refused(&tokens.access).await)
        .await
        .unwrap();
    assert_eq!(client.refresh(&tokens.refresh).await.unwrap().status(), 400);
    assert!(!is_refused(&others.access).await.unwrap());
    assert_eq!(other.refresh(&others.refresh).await.unwrap().status(), 200);
    // It is registered still, and its person is asked again.
    client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    assert!(gateway.run(&["client", "revoke", "nobody"], "").await.is_err());
}

#[tokio::test]
async fn each_failed_log_in_is_counted() {
    let scene = Scene::demo().await.unwrap();
    let failures = async || {
        let page = scene.gateway.admin_page("/metrics").await?;
        let lines = page.text();
        let counted = lines
            .lines()
            .filter(|line| line.starts_with("mcp_gateway_auth_failures_total{"));
        let numbers = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        anyhow::Ok(numbers.sum::<u64>())
    };
    let before = failures().await.unwrap();
    for failed in 1..=3 {
        let mut browser = scene.gateway.browser().unwrap();
        let login = browser.open("/login").await.unwrap();
        let form = login.form_with("password").unwrap();
        let form = form.fill("username", "ada").fill("password", "wrong horse");
        browser.submit(&login, &form).await.unwrap();
        assert_eq!(failures().await.unwrap(), before + failed);
    }
}
