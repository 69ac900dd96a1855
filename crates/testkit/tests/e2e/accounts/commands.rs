//! The same from the command line.

use std::process::Stdio;

use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::process::GatewayProcess;
use sallyport_testkit::provider::{Guarded, LoginServer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

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
    let mut waiting = gateway
        .command()
        .unwrap()
        .args(["login", "docs", "--account", "work", "-o", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What was connected before it says where to go is not what it waits for.
    let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
    while !said
        .next_line()
        .await
        .unwrap()
        .expect("an address")
        .contains("/connect/docs")
    {}
    let away = leave(&mut browser, "docs", "work").await.unwrap();
    let answer = issuer.visit(&away).await.unwrap();
    come_back(&mut browser, &answer).await.unwrap();
    let waited = waiting.wait_with_output().await.unwrap();
    let waited: Value = serde_json::from_slice(&waited.stdout).unwrap();
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
