//! What real clients need of a gateway (R1 to R27), where no other test has its number.

use std::time::Duration;

use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::{Answer, Request};
use sallyport_testkit::oauth::{OauthClient, Tokens, get};
use serde_json::{Value, json};

use sallyport_testkit::front::PASSWORD;

async fn gateway() -> TestGateway {
    let gateway = TestGateway::start("").await.unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway
}

async fn ask(gateway: &TestGateway, request: Request) -> Answer {
    gateway.connect().await.unwrap().ask(&request).await.unwrap()
}

fn initialize(version: &str) -> Request {
    let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    Request::post("/mcp").rpc(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }))
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn r1_the_resource_is_the_url_that_people_type_and_a_slash_is_served_but_not_told() {
    let gateway = gateway().await;
    let tokens = gateway.log_in("ada", "default").await.unwrap();
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/mcp/",
    ] {
        let document = ask(&gateway, Request::get(path)).await.json().unwrap();
        assert_eq!(
            text(&document, "/resource"),
            gateway.resource("default"),
            "{path}"
        );
    }
    for path in ["/mcp", "/mcp/"] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-11-25",
            "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } } });
        let answer = ask(&gateway, Request::post(path).bearer(&tokens.access).rpc(&message)).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn r5_every_redirect_carries_the_issuer_of_the_metadata_refusals_too() {
    let gateway = gateway().await;
    let metadata = ask(&gateway, Request::get("/.well-known/oauth-authorization-server"))
        .await
        .json()
        .unwrap();
    let issuer = text(&metadata, "/issuer").to_owned();
    let document = ask(&gateway, Request::get("/.well-known/oauth-protected-resource"))
        .await
        .json()
        .unwrap();
    assert_eq!(text(&document, "/authorization_servers/0"), issuer);
    assert_eq!(
        metadata.get("authorization_response_iss_parameter_supported"),
        Some(&json!(true))
    );
    let client = gateway.client().await.unwrap();
    let resource = gateway.resource("default");
    for (decision, error) in [("allow", None), ("deny", Some("access_denied"))] {
        let mut browser = gateway.browser().unwrap();
        let back = client
            .authorize(&mut browser, &resource, ("ada", PASSWORD), decision)
            .await
            .unwrap();
        assert_eq!(get(&back, "iss"), Some(issuer.as_str()), "{back:?}");
        assert_eq!(get(&back, "error"), error);
    }
}

#[tokio::test]
async fn r6_without_a_resource_a_token_is_for_the_default_one_and_stays_so() {
    let gateway = gateway().await;
    let client = gateway.client().await.unwrap();
    let mut asked = client.parameters(&gateway.resource("default"));
    asked.retain(|(name, _)| name != "resource");
    let mut browser = gateway.browser().unwrap();
    let page = browser.open(&OauthClient::authorize_path(&asked)).await.unwrap();
    let back = sallyport_testkit::oauth::walk(&mut browser, page, ("ada", PASSWORD), "allow")
        .await
        .unwrap();
    let code = back
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let answer = client.redeem(&code, &gateway.resource("default")).await.unwrap();
    let tokens = Tokens::read(answer).unwrap();
    assert_eq!(
        ask(&gateway, initialize("2025-11-25").bearer(&tokens.access))
            .await
            .status(),
        200
    );
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh.as_str()),
        ("resource", "https://other.test/mcp"),
    ];
    let other = client.token(&fields).await.unwrap();
    assert_eq!(
        (other.status(), text(&other.json().unwrap(), "/error")),
        (400, "invalid_target")
    );
}

#[tokio::test]
async fn r9_ten_registrations_a_minute_from_one_address_are_no_flood() {
    let gateway = gateway().await;
    for _ in 0..30 {
        gateway.client().await.unwrap();
        gateway.advance(Duration::from_secs(6));
    }
}

#[tokio::test]
async fn r14_r15_the_pages_let_a_browser_come_from_the_client_and_go_back_to_it() {
    let gateway = gateway().await;
    let client = gateway.client().await.unwrap();
    let path = OauthClient::authorize_path(&client.parameters(&gateway.resource("default")));
    let request = Request::get(&path)
        .header("Referer", "http://127.0.0.1:6274/")
        .header("Sec-Fetch-Site", "cross-site");
    assert_eq!(ask(&gateway, request).await.status(), 303);
    let mut browser = gateway.browser().unwrap();
    browser.come_from("cross-site");
    let page = browser.open(&path).await.unwrap();
    let login = browser.follow(page).await.unwrap().unwrap();
    for cookie in login.answer.head.all("set-cookie") {
        assert!(cookie.contains("SameSite=Lax"), "{cookie}");
    }
    let origin = url::Url::parse(&client.redirect)
        .unwrap()
        .origin()
        .ascii_serialization();
    let form = login
        .form_with("password")
        .unwrap()
        .fill("username", "ada")
        .fill("password", PASSWORD);
    let page = browser.submit(&login, &form).await.unwrap();
    let consent = browser.follow(page).await.unwrap().unwrap();
    for page in [login, consent] {
        let policy = page.answer.header("content-security-policy").unwrap_or_default();
        let wanted = format!("form-action 'self' {origin}");
        assert!(policy.contains(&wanted), "{policy}");
    }
}

#[tokio::test]
async fn r17_an_access_token_lives_for_fifteen_minutes_and_says_so() {
    let gateway = gateway().await;
    let client = gateway.client().await.unwrap();
    let resource = gateway.resource("default");
    let mut browser = gateway.browser().unwrap();
    let back = client
        .authorize(&mut browser, &resource, ("ada", PASSWORD), "allow")
        .await
        .unwrap();
    let answer = client
        .redeem(get(&back, "code").unwrap(), &resource)
        .await
        .unwrap();
    let body = answer.json().unwrap();
    assert_eq!(body.get("expires_in"), Some(&json!(900)));
    let access = text(&body, "/access_token");
    gateway.advance(Duration::from_secs(899));
    assert_eq!(
        ask(&gateway, initialize("2025-11-25").bearer(access))
            .await
            .status(),
        200
    );
    gateway.advance(Duration::from_secs(1));
    assert_eq!(
        ask(&gateway, initialize("2025-11-25").bearer(access))
            .await
            .status(),
        401
    );
}

#[tokio::test]
async fn r20_r21_what_clients_are_told_by_the_token_endpoint() {
    let gateway = gateway().await;
    let tokens = gateway.log_in("ada", "default").await.unwrap();
    let unknown = [
        (gateway.client().await.unwrap().id, 400, "invalid_grant"),
        ("nobody".to_owned(), 401, "invalid_client"),
    ];
    for (client, status, error) in unknown {
        for accept in [
            "application/json",
            "*/*",
            "",
            "application/json, application/x-www-form-urlencoded",
        ] {
            let form = Request::post("/token").form(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", &tokens.refresh),
                ("client_id", &client),
            ]);
            let form = if accept.is_empty() {
                form
            } else {
                form.header("Accept", accept)
            };
            let answer = ask(&gateway, form).await;
            assert_eq!(
                (answer.status(), text(&answer.json().unwrap(), "/error")),
                (status, error),
                "{accept}"
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

#[tokio::test]
async fn r22_the_first_challenge_names_every_scope() {
    let gateway = gateway().await;
    let metadata = ask(
        &gateway,
        Request::get("/.well-known/oauth-protected-resource/mcp"),
    )
    .await
    .json()
    .unwrap();
    let scopes: Vec<&str> = metadata["scopes_supported"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let answer = ask(&gateway, Request::get("/mcp")).await;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains(&format!("scope=\"{}\"", scopes.join(" "))),
        "{challenge}"
    );
}

#[tokio::test]
async fn r23_r26_r27_both_eras_on_one_url_and_ends_that_are_told_twice() {
    let gateway = gateway().await;
    let tokens = gateway.log_in("ada", "default").await.unwrap();
    let discover = json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {} });
    assert_eq!(
        ask(&gateway, Request::post("/mcp").rpc(&discover)).await.status(),
        401
    );
    let answer = ask(&gateway, initialize("2026-07-28").bearer(&tokens.access)).await;
    assert_eq!(
        text(&answer.json().unwrap(), "/result/protocolVersion"),
        "2025-11-25"
    );
    let session = answer.header("mcp-session-id").unwrap().to_owned();
    let with = |request: Request| request.bearer(&tokens.access).header("Mcp-Session-Id", &session);
    let notify = |method: &str, params: Value| {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        with(Request::post("/mcp").rpc(&message)).header("MCP-Protocol-Version", "2025-11-25")
    };
    assert_eq!(
        ask(&gateway, notify("notifications/initialized", json!({})))
            .await
            .status(),
        202
    );
    // Of a request that has its answer already.
    let cancelled = notify(
        "notifications/cancelled",
        json!({ "requestId": 0, "reason": "done" }),
    );
    assert_eq!(ask(&gateway, cancelled).await.status(), 202);
    let end = || with(Request::new("DELETE", "/mcp"));
    assert!(matches!(ask(&gateway, end()).await.status(), 200 | 202 | 204));
    assert!(matches!(
        ask(&gateway, end()).await.status(),
        200 | 202 | 204 | 404
    ));
    gateway.advance(Duration::from_secs(900));
    assert_eq!(ask(&gateway, end()).await.status(), 401);
}
