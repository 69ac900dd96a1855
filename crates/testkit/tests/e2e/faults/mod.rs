//! The wire to a server fails at every stage of a conversation, over every transport that has one. It costs that server's
//! calls alone, and when the wire is well again, so is the server.

mod relay;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::everything::{Era, Options};
use sallyport_testkit::http::in_time;
use serde_json::json;

use crate::support::{PATIENCE, Scene, within};
use relay::{Failure, Wire};

/// At how many places of a conversation it fails.
const STAGES: u64 = 6;

/// What a call of a server takes at most that has nothing to do with it.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a call may take whose server does not answer.
const LIMITS: &str = "limits: { connect: 1s, handshake: 1s, idle: 1s, call: 5s, message_bytes: 1MiB }";

/// More memory than a gateway takes that is flooded, in KiB.
const MEMORY: u64 = 300 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transport {
    Http,
    Sse,
    WebSocket,
    Tcp,
}

impl Transport {
    const ALL: [Self; 4] = [Self::Http, Self::Sse, Self::WebSocket, Self::Tcp];

    async fn server(self) -> anyhow::Result<Server> {
        let options = Options {
            era: Era::Dual,
            ..Options::default()
        };
        let any = "127.0.0.1:0";
        match self {
            Self::Http => Server::start(any, options).await,
            Self::Sse => Server::start_sse(any, options).await,
            Self::WebSocket => Server::start_ws(any, options).await,
            Self::Tcp => Server::start_tcp(any, options).await,
        }
    }

    /// The configuration of a server behind this address.
    fn entry(self, name: &str, at: SocketAddr) -> String {
        let url = match self {
            Self::Http => format!("url: \"http://{at}/mcp\""),
            Self::Sse => format!("url: \"http://{at}/sse\", transport: sse"),
            Self::WebSocket => format!("url: \"ws://{at}/mcp\""),
            Self::Tcp => format!("url: \"tcp://{at}\", headers: {{ Authorization: \"Bearer any\" }}"),
        };
        format!("  {name}: {{ {url}, {LIMITS} }}\n")
    }

    /// How much the server says until one client of each era has had one answer.
    async fn length(self, server: &Server) -> anyhow::Result<u64> {
        let wire = Wire::new(server.address(), Failure::Breaks, u64::MAX).await?;
        let servers = format!("servers:\n{}", self.entry("well", wire.address()));
        let scene = Scene::with(&servers, Vec::new()).await?;
        called(&scene, "echo").await?;
        Ok(wire.passed())
    }
}

/// A server whose wire fails.
struct Ill {
    name: String,
    wire: Wire,
}

/// Calls a tool as a client of each era.
async fn called(scene: &Scene, tool: &str) -> anyhow::Result<()> {
    let hello = || json!({ "text": "x" });
    for answer in [
        scene.modern(json!({})).call(tool, hello()).await?,
        scene.legacy(json!({})).await?.call(tool, hello()).await?,
    ] {
        anyhow::ensure!(answer.text()? == "x", "{tool}: {answer:?}");
    }
    Ok(())
}

/// Calls the tool of an ill server until its wire has failed, and once more. Each call ends, with whatever answer.
async fn suffer(scene: &Scene, ill: &Ill) -> anyhow::Result<()> {
    let tool = format!("{}__echo", ill.name);
    loop {
        let last = ill.wire.has_failed();
        let begin = Instant::now();
        let mut client = scene.modern(json!({}));
        let call = client.call(&tool, json!({ "text": "x" }));
        let answer = in_time(&tool, call).await?.answer;
        let ended = answer.get("result").or_else(|| answer.get("error")).is_some();
        anyhow::ensure!(ended, "{tool}: {answer} after {:?}", begin.elapsed());
        if last {
            return Ok(());
        }
    }
}

/// Calls the well server again and again, and tells how long the slowest call took.
async fn enjoy(scene: &Scene, until: impl Fn() -> bool) -> anyhow::Result<Duration> {
    // Whoever comes first waits for those that may still introduce themselves.
    called(scene, "good__echo").await?;
    let mut slowest = Duration::ZERO;
    while !until() {
        let begin = Instant::now();
        called(scene, "good__echo").await?;
        slowest = slowest.max(begin.elapsed());
    }
    Ok(slowest)
}

fn memory(scene: &Scene) -> anyhow::Result<u64> {
    let id = scene.gateway.id().unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.unwrap_or_default().parse()?)
}

async fn failing(failure: Failure) -> anyhow::Result<()> {
    let good = Transport::Http.server().await?;
    let mut servers = format!("servers:\n{}", Transport::Http.entry("good", good.address()));
    let (mut behind, mut ills) = (vec![good], Vec::new());
    for transport in Transport::ALL {
        let server = transport.server().await?;
        let length = transport.length(&server).await?;
        for stage in 0..STAGES {
            let wire = Wire::new(server.address(), failure, length * stage / STAGES).await?;
            let name = format!("{transport:?}{stage}").to_lowercase();
            servers.push_str(&transport.entry(&name, wire.address()));
            ills.push(Ill { name, wire });
        }
        behind.push(server);
    }
    servers.push_str("profiles:\n  default: { servers: [\"*\"], naming: always }\n");
    let scene = Scene::with(&servers, Vec::new()).await?;
    let over = std::sync::atomic::AtomicBool::new(false);
    let (suffered, slowest) = tokio::join!(
        async {
            let all = ills.iter().map(|ill| suffer(&scene, ill));
            let suffered = futures_util::future::try_join_all(all).await;
            over.store(true, std::sync::atomic::Ordering::Release);
            suffered
        },
        enjoy(&scene, || over.load(std::sync::atomic::Ordering::Acquire)),
    );
    suffered?;
    let (slowest, memory) = (slowest?, memory(&scene)?);
    anyhow::ensure!(slowest < AT_ONCE, "{slowest:?}");
    anyhow::ensure!(memory < MEMORY, "{memory} KiB");
    for ill in &ills {
        ill.wire.mend();
    }
    for ill in &ills {
        let tool = format!("{}__echo", ill.name);
        within(PATIENCE, async || Ok(called(&scene, &tool).await.is_ok())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn wires_that_hang_cost_their_own_calls_only() {
    failing(Failure::Hangs).await.unwrap();
}

#[tokio::test]
async fn wires_that_break_cost_their_own_calls_only() {
    failing(Failure::Breaks).await.unwrap();
}

#[tokio::test]
async fn wires_that_garble_cost_their_own_calls_only() {
    failing(Failure::Garbles).await.unwrap();
}

#[tokio::test]
async fn wires_that_flood_cost_their_own_calls_only() {
    failing(Failure::Floods).await.unwrap();
}
