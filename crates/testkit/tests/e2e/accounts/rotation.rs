//! The master key is replaced while calls use what is sealed under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sallyport_testkit::browser::Browser;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::mcp::{Exchange, Legacy, Modern};
use sallyport_testkit::oauth::{OauthClient, Tokens};
use sallyport_testkit::process::GatewayProcess;
use sallyport_testkit::provider::{Guarded, LoginServer, Provider};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{come_back, configuration, leave};
use crate::support::{PATIENCE, names, within};

const PEOPLE: [&str; 4] = ["ada", "bea", "cid", "dan"];

/// Of each person: together 200 calls a second.
const PACE: Duration = Duration::from_millis(20);

/// Somebody who has logged in at the gateway.
struct Person {
    name: &'static str,
    browser: Browser,
    client: OauthClient,
    tokens: Tokens,
}

impl Person {
    async fn new(gateway: &GatewayProcess, name: &'static str) -> anyhow::Result<Self> {
        gateway.add_user(name, false).await?;
        let (client, mut browser) = (gateway.client().await?, gateway.browser()?);
        let resource = gateway.resource("default");
        let tokens = client.log_in(&mut browser, &resource, (name, PASSWORD)).await?;
        browser.come_from("same-origin");
        Ok(Self {
            name,
            browser,
            client,
            tokens,
        })
    }

    async fn connect(&mut self, issuer: &Provider<LoginServer>) -> anyhow::Result<()> {
        issuer.provider.log_in_next(self.name);
        let away = leave(&mut self.browser, "docs", "default").await?;
        let answer = issuer.visit(&away).await?;
        let page = come_back(&mut self.browser, &answer).await?;
        anyhow::ensure!(
            page.answer.text().contains(">connected<"),
            "{}",
            page.answer.text()
        );
        Ok(())
    }

    fn modern(&self, gateway: &GatewayProcess) -> Modern {
        let visits = json!({ "elicitation": { "url": {} } });
        Modern::new(gateway.endpoint("default", &self.tokens.access), visits)
    }

    async fn legacy(&self, gateway: &GatewayProcess) -> anyhow::Result<Legacy> {
        let endpoint = gateway.endpoint("default", &self.tokens.access);
        Legacy::open(endpoint, "2025-11-25", json!({})).await
    }
}

fn is_by(name: &str, answer: &Exchange) -> anyhow::Result<()> {
    anyhow::ensure!(answer.text().is_ok_and(|text| text == name), "{name}: {answer:?}");
    Ok(())
}

/// Somebody's calls in both eras, until the end.
async fn work(
    mut clients: (Modern, Legacy),
    name: &'static str,
    (over, calls): (Arc<AtomicBool>, Arc<AtomicU64>),
) -> anyhow::Result<Legacy> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !over.load(Ordering::Acquire) {
        pace.tick().await;
        let turn = calls.fetch_add(1, Ordering::AcqRel);
        let answer = match turn % 2 {
            0 => clients.0.call("whoami", json!({})).await?,
            _ => clients.1.call("whoami", json!({})).await?,
        };
        is_by(name, &answer)?;
    }
    Ok(clients.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn va_06_the_master_key_changes_under_load_and_no_call_fails() {
    let issuer = LoginServer::start().await.unwrap();
    let server = Guarded::start(true, &issuer).await.unwrap();
    let more = configuration(&server, ", auth: { mode: oauth }");
    let mut gateway = GatewayProcess::start(&more).await.unwrap();
    // Tokens are renewed, and so sealed, all the time.
    issuer.provider.lifetime.store(3, Ordering::SeqCst);
    let (over, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let (mut people, mut workers) = (Vec::new(), JoinSet::new());
    for name in PEOPLE {
        let mut person = Person::new(&gateway, name).await.unwrap();
        person.connect(&issuer).await.unwrap();
        let mut modern = person.modern(&gateway);
        within(PATIENCE, async || {
            let listed = modern.request("tools/list", json!({})).await?;
            Ok(names(listed.result()?).contains(&"whoami"))
        })
        .await
        .unwrap();
        let legacy = person.legacy(&gateway).await.unwrap();
        people.push(person);
        let counting = (Arc::clone(&over), Arc::clone(&calls));
        workers.spawn(async move { (name, work((modern, legacy), name, counting).await) });
    }
    // Somebody who was sent away with a state that is sealed under the old key.
    let mut eve = Person::new(&gateway, "eve").await.unwrap();
    let mut hers = eve.modern(&gateway);
    let asked = hers.call("whoami", json!({})).await.unwrap();
    assert_eq!(
        asked.answer["result"]["resultType"], "input_required",
        "{asked:?}"
    );
    let key_file = gateway.data_dir().join("master.key");
    let old = std::fs::read_to_string(&key_file).unwrap();
    let (begun, renewed) = (
        calls.load(Ordering::Acquire),
        issuer.provider.count("refresh_token"),
    );
    let rotated = tokio::select! {
        rotated = gateway.run(&["-o", "json", "vault", "rotate"], "") => rotated.unwrap(),
        Some(ended) = workers.join_next() => panic!("{:?}", ended.map(|(name, ended)| (name, ended.err()))),
    };
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    assert_eq!(rotated["remaining"], 0, "{rotated}");
    let during = calls.load(Ordering::Acquire) - begun;
    // Once more around, when the old key is gone.
    let renewals = issuer.provider.count("refresh_token");
    within(PATIENCE, async || {
        Ok(issuer.provider.count("refresh_token") >= renewals + 4)
    })
    .await
    .unwrap();
    over.store(true, Ordering::Release);
    let mut sessions = Vec::new();
    while let Some(ended) = workers.join_next().await {
        let (name, session) = ended.unwrap();
        sessions.push((name, session.unwrap()));
    }
    assert!(during >= 100, "{during} calls");
    assert!(renewals > renewed, "tokens were renewed meanwhile");
    let new = std::fs::read_to_string(&key_file).unwrap();
    assert!(!new.contains(old.trim()) && new.lines().count() == 1);
    // The state from before is good.
    eve.connect(&issuer).await.unwrap();
    let accepted = json!({ "u1": { "action": "accept" } });
    let done = hers.retry("whoami", json!({}), &asked, accepted).await.unwrap();
    is_by("eve", &done).unwrap();
    // So are, after a restart, the ids of sessions, access and refresh tokens of before.
    gateway.kill().await.unwrap();
    gateway.serve().await.unwrap();
    for (name, mut session) in sessions {
        is_by(name, &session.call("whoami", json!({})).await.unwrap()).unwrap();
    }
    for person in &mut people {
        person.tokens = Tokens::read(person.client.refresh(&person.tokens.refresh).await.unwrap()).unwrap();
        let answer = person.modern(&gateway).call("whoami", json!({})).await.unwrap();
        is_by(person.name, &answer).unwrap();
    }
    assert!(
        gateway
            .run(&["audit", "verify"], "")
            .await
            .unwrap()
            .contains("unbroken")
    );
}
