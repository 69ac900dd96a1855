//! Calls that a person has to approve: what the client is told, what the person sees, and what counts.

use sallyport_testkit::browser::Browser;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::mcp::{Exchange, Legacy, Modern};
use serde_json::{Value, json};

const ASKS: &str = "profiles:\n  default: { servers: [\"*\"], tools: { ask: [\"ec*\"] } }\n";

async fn gateway() -> TestGateway {
    let gateway = TestGateway::start(ASKS).await.unwrap();
    for name in ["ada", "eve"] {
        gateway.add_user(name, false).await.unwrap();
    }
    gateway
}

/// A browser in which somebody has logged in.
async fn person(gateway: &TestGateway, name: &str) -> Browser {
    let mut browser = gateway.browser().unwrap();
    let page = browser.open("/login").await.unwrap();
    let form = page.form_with("password").unwrap();
    let form = form.fill("username", name).fill("password", PASSWORD);
    browser.submit(&page, &form).await.unwrap();
    browser
}

/// The path of the page that a text names.
fn page(text: &str) -> String {
    let at = text.find("/approve/").unwrap();
    let id = text[at + 9..].split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    format!("/approve/{}", id.into_iter().next().unwrap())
}

async fn answer(browser: &mut Browser, path: &str, decision: &str) {
    let shown = browser.open(path).await.unwrap();
    let form = shown
        .form_with("transaction")
        .unwrap()
        .press("decision", decision);
    let done = browser.submit(&shown, &form).await.unwrap();
    assert_eq!(done.answer.status(), 200);
}

fn text(exchange: &Exchange) -> String {
    exchange.answer.to_string()
}

async fn echo(client: &mut Legacy, said: &str) -> Exchange {
    client.call("echo", json!({ "text": said })).await.unwrap()
}

#[tokio::test]
async fn n_06_a_call_runs_once_after_its_person_has_seen_it_and_said_yes() {
    let gateway = gateway().await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let mut client = Legacy::open(gateway.endpoint("default", &token), "2025-06-18", json!({}))
        .await
        .unwrap();
    let asked = echo(&mut client, "<b>all\u{202e}</b>").await;
    assert_eq!(asked.answer["result"]["isError"], true, "{asked:?}");
    let path = page(&text(&asked));
    assert_eq!(
        page(&text(&echo(&mut client, "<b>all\u{202e}</b>").await)),
        path,
        "asked once"
    );
    // Who is not that person finds nothing there.
    let mut stranger = gateway.browser().unwrap();
    let turned = stranger.open(&path).await.unwrap();
    let to = turned.answer.header("location").unwrap();
    assert!(to.starts_with("/login?next=%2Fapprove%2F"), "{to}");
    let mut eve = person(&gateway, "eve").await;
    assert_eq!(eve.open(&path).await.unwrap().answer.status(), 404);
    let mut ada = person(&gateway, "ada").await;
    let shown = ada.open(&path).await.unwrap().answer.text();
    for part in ["echo", "demo", "&#60;b&#62;all\\u{202e}"] {
        assert!(shown.contains(part), "{part}: {}", shown);
    }
    answer(&mut ada, &path, "allow").await;
    assert_eq!(ada.open(&path).await.unwrap().answer.status(), 404, "answered");
    // The yes is for these arguments, for this client, and once.
    let other = echo(&mut client, "something else").await;
    assert_ne!(page(&text(&other)), path);
    let ran = echo(&mut client, "<b>all\u{202e}</b>").await;
    assert!(
        ran.answer["result"].get("isError").is_none_or(|is| is == false),
        "{ran:?}"
    );
    let again = echo(&mut client, "<b>all\u{202e}</b>").await;
    assert_ne!(page(&text(&again)), path);
    // What is not on the list is not asked about.
    let free = client.call("time", json!({})).await.unwrap();
    assert!(!text(&free).contains("/approve/"), "{free:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn n_06_a_no_is_told_and_nothing_is_called() {
    let gateway = gateway().await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let mut client = Legacy::open(gateway.endpoint("default", &token), "2025-06-18", json!({}))
        .await
        .unwrap();
    let path = page(&text(&echo(&mut client, "x").await));
    let mut ada = person(&gateway, "ada").await;
    answer(&mut ada, &path, "deny").await;
    let told = echo(&mut client, "x").await;
    assert!(text(&told).contains("did not approve"), "{told:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn n_06_clients_that_can_open_urls_are_asked_to() {
    let gateway = gateway().await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let can = json!({ "elicitation": { "form": {}, "url": {} } });
    let endpoint = gateway.endpoint("default", &token);
    let mut ada = person(&gateway, "ada").await;

    let mut legacy = Legacy::open(endpoint.clone(), "2025-11-25", can.clone())
        .await
        .unwrap();
    let asked = echo(&mut legacy, "x").await;
    assert_eq!(asked.error_code().unwrap(), -32042, "{asked:?}");
    let visit = &asked.answer["error"]["data"]["elicitations"][0];
    assert_eq!(
        (&visit["mode"], visit["elicitationId"].is_string()),
        (&json!("url"), true)
    );
    answer(&mut ada, &page(visit["url"].as_str().unwrap()), "allow").await;
    assert!(echo(&mut legacy, "x").await.result().is_ok());

    let mut modern = Modern::new(endpoint, can);
    let arguments = json!({ "text": "y" });
    let asked = modern.call("echo", arguments.clone()).await.unwrap();
    let result = asked.result().unwrap();
    assert_eq!(result["resultType"], "input_required", "{asked:?}");
    assert!(result.get("requestState").is_none(), "{asked:?}");
    let question = &result["inputRequests"]["approval"]["params"];
    let path = page(question["url"].as_str().unwrap());
    // The client says that the person was there; whether it was yes is not the client's to say.
    let retry = |action: &str| {
        json!({
            "name": "echo", "arguments": arguments.clone(),
            "inputResponses": { "approval": { "action": action } },
        })
    };
    let claimed = modern.request("tools/call", retry("accept")).await.unwrap();
    assert_eq!(
        claimed.result().unwrap()["resultType"],
        "input_required",
        "{claimed:?}"
    );
    let declined = modern.request("tools/call", retry("decline")).await.unwrap();
    assert_eq!(declined.result().unwrap()["isError"], true, "{declined:?}");
    let mut forged = retry("accept");
    forged["requestState"] = json!("made-up");
    let forged = modern.request("tools/call", forged).await.unwrap();
    assert_eq!(forged.error_code().unwrap(), -32602, "{forged:?}");
    answer(&mut ada, &path, "allow").await;
    let ran = modern.request("tools/call", retry("accept")).await.unwrap();
    assert_eq!(ran.result().unwrap()["content"][0]["text"], "y", "{ran:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn n_06_a_server_alone_is_no_way_around_and_open_gateways_cannot_ask() {
    let gateway = gateway().await;
    let token = gateway.log_in("ada", "default").await.unwrap().access;
    let alone = sallyport_testkit::http::Request::post("/servers/demo/mcp")
        .bearer(&token)
        .rpc(&Value::Null);
    let answer = gateway.connect().await.unwrap().ask(&alone).await.unwrap();
    assert_eq!(answer.status(), 404);
    gateway.shutdown().await;
    let open = TestGateway::start(&format!("{ASKS}auth: {{ mode: none }}\n")).await;
    let error = open.err().unwrap().to_string();
    assert!(error.contains("needs people who log in"), "{error}");
}
