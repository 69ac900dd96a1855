//! Signing keys that are replaced while everybody works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport::keys::{PUBLISHED, Rotated, SKEW};
use sallyport_testkit::front::{Front, PASSWORD};
use sallyport_testkit::gateway::TestGateway;
use sallyport_testkit::http::Request;
use sallyport_testkit::oauth::{OauthClient, Tokens};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::attack::list;
use crate::support::{PATIENCE, Scene, within};

/// How long clients' tokens live by default.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// The ids of the published keys: the one that signs, the next, and the others.
async fn published(front: &Front) -> anyhow::Result<Vec<String>> {
    let mut connection = front.connect().await?;
    let set = connection.ask(&Request::get("/.well-known/jwks.json")).await?;
    let set = set.expect(200)?.json()?;
    let keys = set.get("keys").and_then(Value::as_array).context("keys")?;
    let kid = |key: &Value| key.get("kid").and_then(Value::as_str).map(str::to_owned);
    Ok(keys.iter().filter_map(kid).collect())
}

/// A member of a token's header.
fn header(token: &str, name: &str) -> anyhow::Result<String> {
    let header = token.split('.').next().context("a header")?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    Ok(header
        .get(name)
        .and_then(Value::as_str)
        .context("text")?
        .to_owned())
}

async fn log_in(gateway: &TestGateway) -> anyhow::Result<(OauthClient, Tokens)> {
    let client = gateway.client().await?;
    let mut browser = gateway.browser()?;
    let resource = gateway.resource("default");
    let tokens = client.log_in(&mut browser, &resource, ("ada", PASSWORD)).await?;
    Ok((client, tokens))
}

async fn started(more: &str) -> anyhow::Result<TestGateway> {
    let gateway = TestGateway::start(more).await?;
    gateway.add_user("ada", true).await?;
    // The next key is made within a second.
    within(PATIENCE, async || Ok(published(&gateway).await?.len() == 2)).await?;
    Ok(gateway)
}

/// A client that calls both replicas with its newest and its first token, and refreshes, until it is told to stop.
struct Worker {
    client: OauthClient,
    first: String,
    tokens: Tokens,
    replicas: [Front; 2],
    over: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

impl Worker {
    async fn work(mut self) -> anyhow::Result<()> {
        let [one, other] = &self.replicas;
        let mut connections = [one.connect().await?, other.connect().await?];
        while !self.over.load(Ordering::Acquire) {
            self.tokens = Tokens::read(self.client.refresh(&self.tokens.refresh).await?)?;
            for token in [&self.tokens.access, &self.first] {
                for connection in &mut connections {
                    let answer = connection.ask(&list("/mcp").bearer(token)).await?;
                    anyhow::ensure!(
                        answer.status() == 200,
                        "{} with a token of {}",
                        answer.status(),
                        header(token, "kid")?
                    );
                    self.calls.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jw_16_fifty_rotations_under_load_and_no_false_401() {
    let one = started("").await.unwrap();
    let other = one.beside().await.unwrap();
    let store = one.store().await.unwrap();
    let (over, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        let (client, tokens) = log_in(&one).await.unwrap();
        let worker = Worker {
            client,
            first: tokens.access.clone(),
            tokens,
            replicas: [Front::clone(&one), Front::clone(&other)],
            over: Arc::clone(&over),
            calls: Arc::clone(&calls),
        };
        workers.spawn(worker.work());
    }
    let rotations = async {
        for _ in 0..50 {
            let before = calls.load(Ordering::Acquire);
            let ring = store.signing_keys().await?;
            let next = ring.into_iter().find(|key| key.signs.is_none());
            let next = next.context("the next key")?.kid;
            // Both know the next key before it signs, as they do within the time that a rotation by command waits.
            within(PATIENCE, async || {
                let (here, there) = (published(&one).await?, published(&other).await?);
                Ok(here == there && here.get(1) == Some(&next) && calls.load(Ordering::Acquire) > before)
            })
            .await?;
            one.advance(PUBLISHED);
            let rotated = one.rotate_keys().await?;
            anyhow::ensure!(rotated == Rotated::Done(next), "{rotated:?}");
        }
        anyhow::Ok(())
    };
    tokio::select! {
        rotated = rotations => rotated.unwrap(),
        Some(ended) = workers.join_next() => panic!("{ended:?}"),
    }
    over.store(true, Ordering::Release);
    while let Some(ended) = workers.join_next().await {
        ended.unwrap().unwrap();
    }
    assert!(calls.load(Ordering::Acquire) >= 50);
    within(PATIENCE, async || Ok(published(&one).await?.len() == 52))
        .await
        .unwrap();
    // When the last token of each has ended, they go.
    one.advance(LIFE + SKEW);
    for replica in [&one, &other] {
        within(PATIENCE, async || Ok(published(replica).await?.len() == 2))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_key_is_replaced_when_it_is_ninety_days_old() {
    let gateway = started("").await.unwrap();
    let keys = published(&gateway).await.unwrap();
    let [old, next] = keys.as_slice() else {
        panic!("{keys:?}")
    };
    let (_, tokens) = log_in(&gateway).await.unwrap();
    assert_eq!(&header(&tokens.access, "kid").unwrap(), old);
    gateway.advance(Duration::from_secs(90 * 86_400 - 1));
    let (_, tokens) = log_in(&gateway).await.unwrap();
    assert_eq!(&header(&tokens.access, "kid").unwrap(), old);
    gateway.advance(Duration::from_secs(1));
    within(PATIENCE, async || {
        Ok(published(&gateway).await?.first() == Some(next))
    })
    .await
    .unwrap();
    let answer = gateway
        .connect()
        .await
        .unwrap()
        .ask(&list("/mcp").bearer(&tokens.access))
        .await;
    assert_eq!(answer.unwrap().status(), 200, "its token outlives it");
    let (_, tokens) = log_in(&gateway).await.unwrap();
    assert_eq!(&header(&tokens.access, "kid").unwrap(), next);
    gateway.advance(LIFE);
    assert!(published(&gateway).await.unwrap().contains(old));
    gateway.advance(SKEW);
    within(PATIENCE, async || Ok(!published(&gateway).await?.contains(old)))
        .await
        .unwrap();
}

#[tokio::test]
async fn another_algorithm_gets_a_key_of_its_own_and_old_tokens_live_on() {
    let gateway = started("").await.unwrap();
    let (client, mut tokens) = log_in(&gateway).await.unwrap();
    let first = tokens.access.clone();
    let store = gateway.store().await.unwrap();
    let good = async |token: &str| {
        let answer = gateway.connect().await?.ask(&list("/mcp").bearer(token)).await?;
        anyhow::Ok(answer.status() == 200)
    };
    for alg in ["EdDSA", "RS256", "HS256", "ES256"] {
        gateway
            .configure(&format!("auth: {{ tokens: {{ alg: {alg} }} }}\n"))
            .await
            .unwrap();
        let made = async || {
            let keys = store.signing_keys().await?;
            Ok(keys.iter().any(|key| key.signs.is_none() && key.alg == alg))
        };
        within(PATIENCE, made).await.unwrap();
        // It has to be known for a while before it signs.
        gateway.advance(PUBLISHED);
        within(PATIENCE, async || {
            tokens = Tokens::read(client.refresh(&tokens.refresh).await?)?;
            Ok(header(&tokens.access, "alg")? == alg)
        })
        .await
        .unwrap();
        assert!(good(&tokens.access).await.unwrap(), "{alg}");
        assert!(good(&first).await.unwrap(), "{alg}");
    }
}

#[tokio::test]
async fn keys_are_listed_and_rotated_by_command() {
    let scene = Scene::demo().await.unwrap();
    let listed = async || -> anyhow::Result<Vec<(String, String)>> {
        let listed = scene.gateway.run(&["-o", "json", "key", "list"], "").await?;
        let listed: Value = serde_json::from_str(&listed)?;
        let text = |key: &Value, name: &str| {
            key.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let keys = listed.as_array().context("a list")?.iter();
        Ok(keys.map(|key| (text(key, "state"), text(key, "kid"))).collect())
    };
    within(PATIENCE, async || Ok(listed().await?.len() == 2))
        .await
        .unwrap();
    let before = listed().await.unwrap();
    let [(next, new), (current, old)] = before.as_slice() else {
        panic!("{before:?}")
    };
    assert_eq!((next.as_str(), current.as_str()), ("next", "current"));
    let printed = scene.gateway.run(&["key", "rotate"], "").await.unwrap();
    assert_eq!(printed, format!("{new}\n"));
    let after = listed().await.unwrap();
    let states: Vec<_> = after.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(states, ["next", "current", "retiring"]);
    assert_eq!((&after[1].1, &after[2].1), (new, old));
    // The running gateway follows within a second.
    let follows = async || Ok(published(&scene.gateway).await?.first() == Some(new));
    within(Duration::from_secs(1), follows).await.unwrap();
    let mut connection = scene.gateway.connect().await.unwrap();
    let answer = connection.ask(&list("/mcp").bearer(&scene.token)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let trail = scene.gateway.run(&["audit", "tail"], "").await.unwrap();
    assert!(trail.contains("key_rotate"), "{trail}");
    let table = scene.gateway.run(&["key", "list"], "").await.unwrap();
    let is_table = table.starts_with("STATE") && table.contains(old.as_str());
    assert!(is_table, "{table}");
}
