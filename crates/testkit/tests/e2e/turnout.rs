//! Whoever is turned out is out: what runs under a revoked token is cut, whatever carries it.

use std::time::{Duration, Instant};

use sallyport_core::Clock as _;
use sallyport_core::clock::SystemClock;
use sallyport_testkit::everything::Era;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::http::{Events, Request};
use sallyport_testkit::mcp::{Endpoint, Exchange, Legacy, Modern, Talk};
use sallyport_testkit::process::free_address;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::attack::list;
use crate::support::{PATIENCE, Scene, server, servers, within};

/// Within what time after a revocation everything is cut.
const CUT: Duration = Duration::from_secs(5);

/// Somebody's streams and calls, each of which ends with its name.
type Running = JoinSet<anyhow::Result<&'static str>>;

async fn over(mut events: Events, what: &'static str) -> anyhow::Result<&'static str> {
    while events.next().await?.is_some() {}
    Ok(what)
}

/// A call whose answer does not come: 401, or a stream that ends without it.
fn cut(called: anyhow::Result<Exchange>, what: &'static str) -> anyhow::Result<&'static str> {
    match called {
        Ok(exchange) if exchange.status == 200 => anyhow::bail!("{what} was answered: {exchange:?}"),
        Ok(exchange) => {
            anyhow::ensure!(exchange.status == 401, "{what}: {exchange:?}");
            Ok(what)
        }
        Err(_) => Ok(what),
    }
}

async fn closed(mut talk: Talk, what: &'static str) -> anyhow::Result<&'static str> {
    loop {
        if let Err(error) = talk.receive().await {
            anyhow::ensure!(format!("{error:#}").contains("is closed"), "{what}: {error:#}");
            return Ok(what);
        }
    }
}

/// A gateway with every way in, and one server behind.
async fn scene() -> anyhow::Result<(Scene, std::net::SocketAddr)> {
    let (server, tcp) = (server(Era::Dual).await?, free_address()?);
    let more = format!("tcp_listen: {tcp}\n{}", servers(&[("everything", &server)]));
    Ok((Scene::with(&more, vec![server]).await?, tcp))
}

/// Opens everything that stays open, and makes calls that wait.
async fn run(scene: &Scene, tcp: std::net::SocketAddr, token: &str) -> anyhow::Result<Running> {
    let endpoint = scene.gateway.endpoint("default", token);
    let below = |path: &str| Endpoint {
        path: format!("/mcp{path}"),
        ..endpoint.clone()
    };
    let mut running = Running::new();
    let mut modern = Modern::new(endpoint.clone(), json!({}));
    running.spawn(over(
        modern.listen(json!({ "toolsListChanged": true })).await?,
        "listen",
    ));
    let mut legacy = Legacy::open(endpoint.clone(), "2025-11-25", json!({})).await?;
    running.spawn(over(legacy.stream().await?, "GET"));
    running.spawn(closed(Talk::sse(&below("/sse")).await?, "HTTP+SSE"));
    running.spawn(closed(Talk::ws(&below("/ws")).await?, "WebSocket"));
    let now = u64::try_from(SystemClock.now().as_secs())?;
    running.spawn(closed(Talk::tcp(tcp, token, now).await?, "framed TCP"));
    let wait = json!({ "ms": 60_000 });
    let waiting = wait.clone();
    running.spawn(async move { cut(modern.call("wait", waiting).await, "a modern call") });
    running.spawn(async move { cut(legacy.call("wait", wait).await, "a legacy call") });
    let mut watcher = scene.modern(json!({}));
    let begun = async || {
        let counters = watcher.call("counters", json!({})).await?;
        let counters: Value = serde_json::from_str(counters.text()?)?;
        Ok(counters.get("wait").and_then(Value::as_u64) >= Some(2))
    };
    within(PATIENCE, begun).await?;
    anyhow::ensure!(running.try_join_next().is_none(), "something ended by itself");
    Ok(running)
}

/// Waits until everything is cut; fails with what is left.
async fn all_cut(mut running: Running, since: Instant) -> anyhow::Result<()> {
    let mut gone = Vec::new();
    while !running.is_empty() {
        let left = CUT.saturating_sub(since.elapsed());
        let ended = timeout(left, running.join_next()).await;
        let ended = ended.map_err(|_| anyhow::anyhow!("only {gone:?} ended within {CUT:?}"))?;
        gone.extend(ended.transpose()?.transpose()?);
    }
    Ok(())
}

/// What a token is answered with.
async fn status(scene: &Scene, token: &str) -> anyhow::Result<u16> {
    let mut connection = scene.gateway.connect().await?;
    Ok(connection.ask(&list("/mcp").bearer(token)).await?.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_04_in_the_same_process_tokens_end_at_once_and_streams_within_five_seconds() {
    let (scene, tcp) = scene().await.unwrap();
    let client = scene.gateway.client().await.unwrap();
    let (mut browser, resource) = (
        scene.gateway.browser().unwrap(),
        scene.gateway.resource("default"),
    );
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let running = run(&scene, tcp, &tokens.access).await.unwrap();
    let form = Request::post("/revoke").form(&[("token", &tokens.refresh), ("client_id", &client.id)]);
    let mut connection = scene.gateway.connect().await.unwrap();
    let since = Instant::now();
    assert_eq!(connection.ask(&form).await.unwrap().status(), 200);
    // Already the next request is refused: there is nothing to wait for.
    assert_eq!(status(&scene, &tokens.access).await.unwrap(), 401);
    all_cut(running, since).await.unwrap();
    assert_eq!(
        status(&scene, &scene.token).await.unwrap(),
        200,
        "another's token stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rv_04_by_another_process_tokens_end_within_a_second_and_streams_within_five() {
    let (scene, tcp) = scene().await.unwrap();
    scene.gateway.add_user("bob", false).await.unwrap();
    let token = scene.token_for("bob", "default").await.unwrap();
    let running = run(&scene, tcp, &token).await.unwrap();
    scene.gateway.run(&["user", "remove", "bob"], "").await.unwrap();
    let since = Instant::now();
    let refused = async || Ok(status(&scene, &token).await? == 401);
    within(Duration::from_secs(1), refused).await.unwrap();
    all_cut(running, since).await.unwrap();
}
