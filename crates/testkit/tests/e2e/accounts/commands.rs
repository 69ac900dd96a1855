//! The same from the command line.

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::process::GatewayProcess;
use sallyport_testkit::provider::{Guarded, LoginServer};
use serde_json::{Value, json};

use super::{come_back, configuration, leave};

#[tokio::test]
async fn a_log_in_at_a_server_is_begun_and_seen_from_the_command_line() {
    let issuer = LoginServer::start().await.unwrap();
    let server = Guarded::start(true, &issuer).await.unwrap();
    let more = configuration(&server, ", auth: { mode: oauth }");
    let mut gateway = GatewayProcess::prepare(&more).unwrap();
    gateway.add_user("ada", true).await.unwrap();
    gateway.serve().await.unwrap();
    let printed = gateway.run(&["login", "docs", "--no-wait"], "").await.unwrap();
    assert_eq!(
        printed.trim(),
        format!("{}/connect/docs?account=default", gateway.origin())
    );
    assert!(gateway.run(&["login", "nowhere"], "").await.is_err());
    assert_eq!(
        gateway.run(&["accounts", "-o", "json"], "").await.unwrap().trim(),
        "[]"
    );
    let mut browser = gateway.browser().unwrap();
    let client = gateway.client().await.unwrap();
    let who = ("ada", PASSWORD);
    client
        .log_in(&mut browser, &gateway.resource("default"), who)
        .await
        .unwrap();
    browser.come_from("same-origin");
    let waiting = gateway.run(&["login", "docs", "--account", "work", "-o", "json"], "");
    let connecting = async {
        let away = leave(&mut browser, "docs", "work").await.unwrap();
        let answer = issuer.visit(&away).await.unwrap();
        come_back(&mut browser, &answer).await.unwrap()
    };
    let (waited, _) = tokio::join!(waiting, connecting);
    let waited: Value = serde_json::from_str(&waited.unwrap()).unwrap();
    assert_eq!(
        (&waited["user"], &waited["state"]),
        (&json!("ada"), &json!("connected"))
    );
    let listed = gateway.run(&["accounts", "-o", "json"], "").await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed, json!([waited]));
    assert!(!listed.to_string().contains("at-"), "no token");
    let table = gateway.run(&["accounts"], "").await.unwrap();
    assert!(
        table.contains("docs") && table.contains("work") && table.contains("connected"),
        "{table}"
    );
}
