//! Devices without a browser (RFC 8628).

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, hidden, refresh};
use crate::world::{Answer, MCP, TEAM, World};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn client(world: &World) -> String {
    let body = json!({ "client_name": "Television", "grant_types": [GRANT, "refresh_token"] });
    let answer = world.register(&body).await;
    assert_eq!(
        answer.json()["grant_types"],
        json!([GRANT, "refresh_token"]),
        "{answer:?}"
    );
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// The answer of the device authorization endpoint.
async fn begin(world: &World, client: &str) -> Value {
    let fields = [("client_id", client), ("scope", "mcp"), ("resource", MCP)];
    let answer = world.form("/device_authorization", &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

async fn poll(world: &World, client: &str, code: &str) -> Answer {
    let fields = [
        ("grant_type", GRANT),
        ("client_id", client),
        ("device_code", code),
    ];
    world.form("/token", &fields).await
}

/// Enters a code and presses a button.
async fn decide(world: &World, browser: &mut Browser, code: &str, decision: &str) -> Answer {
    let page = browser.open(world, &format!("/device?user_code={code}")).await;
    assert_eq!(page.status, 200, "{page:?}");
    let fields = [("transaction", hidden(&page)), ("decision", decision.to_owned())];
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    browser.submit(world, "/device", &fields).await
}

#[tokio::test]
async fn a_device_gets_its_tokens_once_when_a_person_has_confirmed_its_code() {
    let world = World::settled().await;
    let client = client(&world).await;
    let begun = begin(&world, &client).await;
    assert_eq!(
        (begun["expires_in"].as_u64(), begun["interval"].as_u64()),
        (Some(600), Some(5))
    );
    assert!(text(&begun, "verification_uri").ends_with("/device"));
    let (device, code) = (text(&begun, "device_code"), text(&begun, "user_code"));
    assert!(text(&begun, "verification_uri_complete").ends_with(&format!("/device?user_code={code}")));
    assert_eq!(
        poll(&world, &client, device).await.error(),
        (400, "authorization_pending".into())
    );
    // The person types the code as people do, after a log-in that the code survives.
    let mut browser = Browser::default();
    let typed = code.to_lowercase().replace('-', "+");
    let page = browser
        .log_in(&world, &format!("/device?user_code={typed}"), "ada")
        .await;
    for shown in [
        code,
        "Television",
        "unverified",
        MCP,
        "All servers",
        "use the tools",
        "30 days",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    world.pass(Duration::from_secs(5));
    // Looking at the page has allowed nothing.
    assert_eq!(
        poll(&world, &client, device).await.error().1,
        "authorization_pending"
    );
    let done = decide(&world, &mut browser, code, "allow").await;
    assert!(
        done.status == 200 && done.body.contains("is connected"),
        "{done:?}"
    );
    let answer = poll(&world, &client, device).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert!(world.verify(text(&tokens, "access_token"), MCP).is_ok());
    assert!(world.verify(text(&tokens, "access_token"), TEAM).is_err());
    let refreshed = refresh(&world, &client, text(&tokens, "refresh_token"), &[]).await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
    // A second use ends everything, as with codes.
    assert_eq!(
        poll(&world, &client, device).await.error(),
        (400, "invalid_grant".into())
    );
    assert!(world.verify(text(&tokens, "access_token"), MCP).is_err());
    // The user code is over too.
    let page = browser.open(&world, &format!("/device?user_code={code}")).await;
    assert_eq!(page.status, 404);
}

#[tokio::test]
async fn whoever_polls_too_soon_waits_longer() {
    let world = World::settled().await;
    let client = client(&world).await;
    let begun = begin(&world, &client).await;
    let device = text(&begun, "device_code");
    let error = async || poll(&world, &client, device).await.error().1;
    assert_eq!(error().await, "authorization_pending");
    assert_eq!(error().await, "slow_down");
    world.pass(Duration::from_millis(9_999));
    assert_eq!(error().await, "slow_down");
    world.pass(Duration::from_secs(15));
    assert_eq!(error().await, "authorization_pending");
    world.pass(Duration::from_secs(600));
    assert_eq!(error().await, "expired_token");
}

#[tokio::test]
async fn a_no_is_told_and_final() {
    let world = World::settled().await;
    let client = client(&world).await;
    let begun = begin(&world, &client).await;
    let (device, code) = (text(&begun, "device_code"), text(&begun, "user_code"));
    let mut browser = Browser::of_ada(&world).await;
    let page = browser.open(&world, &format!("/device?user_code={code}")).await;
    let transaction = hidden(&page);
    let answer = |decision: &'static str| [("transaction", transaction.as_str()), ("decision", decision)];
    let done = browser.submit(&world, "/device", &answer("deny")).await;
    assert!(done.body.contains("not connected"), "{done:?}");
    assert!(
        browser
            .submit(&world, "/device", &answer("allow"))
            .await
            .is_page(400)
    );
    assert_eq!(
        poll(&world, &client, device).await.error(),
        (400, "access_denied".into())
    );
}

#[tokio::test]
async fn only_its_own_client_may_use_a_device_code() {
    let world = World::settled().await;
    let (mine, other) = (client(&world).await, client(&world).await);
    let begun = begin(&world, &mine).await;
    let device = text(&begun, "device_code");
    assert_eq!(
        poll(&world, &other, device).await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        poll(&world, &mine, "nonsense").await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        poll(&world, &mine, device).await.error().1,
        "authorization_pending"
    );
    // Who has not registered for it gets no code; nor does who asks for another resource.
    let web = world.client("https://c.test/cb").await;
    let fields = [("client_id", web.as_str())];
    let refused = world.form("/device_authorization", &fields).await;
    assert_eq!(refused.error(), (400, "unauthorized_client".into()));
    let fields = [
        ("client_id", mine.as_str()),
        ("resource", "https://evil.test/mcp"),
    ];
    let refused = world.form("/device_authorization", &fields).await;
    assert_eq!(refused.error(), (400, "invalid_target".into()));
    let refused = world
        .form("/device_authorization", &[("client_id", "nobody")])
        .await;
    assert_eq!(refused.error(), (401, "invalid_client".into()));
    let fields = [("grant_type", GRANT), ("client_id", mine.as_str())];
    assert_eq!(
        world.form("/token", &fields).await.error(),
        (400, "invalid_request".into())
    );
}

#[tokio::test]
async fn codes_cannot_be_guessed_nor_pages_confirmed_by_others() {
    let world = World::settled().await;
    world.add_user("eve", false).await;
    let client = client(&world).await;
    let begun = begin(&world, &client).await;
    let code = text(&begun, "user_code");
    // Without an account nobody may try.
    let answer = world.get(&format!("/device?user_code={code}")).await;
    assert!(answer.header("location").starts_with("/login?"), "{answer:?}");
    let mut ada = Browser::of_ada(&world).await;
    let page = ada.open(&world, &format!("/device?user_code={code}")).await;
    let fields = [("transaction", hidden(&page)), ("decision", "allow".to_owned())];
    let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut eve = Browser::default();
    eve.log_in(&world, "/login", "eve").await;
    assert!(eve.submit(&world, "/device", &fields).await.is_page(403));
    assert!(
        ada.submit_from(&world, "/device", &fields, "cross-site")
            .await
            .is_page(403)
    );
    // Ten wrong codes, and the address waits; right ones cost nothing.
    for _ in 0..20 {
        let right = eve.open(&world, &format!("/device?user_code={code}")).await;
        assert_eq!(right.status, 200);
    }
    for n in 0..10 {
        let wrong = eve.open(&world, "/device?user_code=BBBB-BBBB").await;
        assert_eq!(wrong.status, 404, "{n}");
    }
    let slowed = eve.open(&world, &format!("/device?user_code={code}")).await;
    assert!(slowed.is_page(429), "{slowed:?}");
    assert_eq!(slowed.header("retry-after"), "10");
    // What cannot be a code is not looked for.
    let odd = eve.open(&world, "/device?user_code=%3Cscript%3E").await;
    assert!(odd.status == 404 && !odd.body.contains("<script>"), "{odd:?}");
}

#[tokio::test]
async fn devices_that_wait_are_bounded_for_each_address() {
    let world = World::settled().await;
    let client = client(&world).await;
    let fields = [("client_id", client.as_str())];
    let mut statuses = Vec::new();
    for _ in 0..45 {
        statuses.push(world.form("/device_authorization", &fields).await.status.as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 40);
    assert_eq!(statuses.last(), Some(&429));
}
