//! What several of these tests begin with.

use std::time::{Duration, Instant};

use sallyport_testkit::everything::{Era, Options, serve::HttpServer};
use sallyport_testkit::mcp::{Conversation, Legacy, Modern};
use sallyport_testkit::process::{GatewayProcess, program};
use serde_json::{Value, json};

/// A gateway, what is behind it, and somebody's token for its default profile.
pub(crate) struct Scene {
    pub(crate) gateway: GatewayProcess,
    pub(crate) token: String,
    _behind: Vec<HttpServer>,
}

impl Scene {
    /// A gateway with its own `demo` server.
    pub(crate) async fn demo() -> anyhow::Result<Self> {
        Self::with("", Vec::new()).await
    }

    /// A gateway with one server over HTTP.
    pub(crate) async fn http(era: Era) -> anyhow::Result<Self> {
        let server = server(era).await?;
        let servers = servers(&[("everything", &server)]);
        Self::with(&servers, vec![server]).await
    }

    /// A gateway with one server over stdio.
    pub(crate) async fn stdio(era: &str) -> anyhow::Result<Self> {
        Self::with(&stdio(era)?, Vec::new()).await
    }

    /// A gateway with `more` in its configuration.
    pub(crate) async fn with(more: &str, behind: Vec<HttpServer>) -> anyhow::Result<Self> {
        let gateway = GatewayProcess::prepare(more)?;
        gateway.add_user("ada", true).await?;
        let mut this = Self {
            gateway,
            token: String::new(),
            _behind: behind,
        };
        this.gateway.serve().await?;
        this.token = this.token_for("ada", "default").await?;
        Ok(this)
    }

    /// A token from the command line.
    pub(crate) async fn token_for(&self, user: &str, slug: &str) -> anyhow::Result<String> {
        let issued = self
            .gateway
            .run(&["token", "issue", "--user", user, "--profile", slug], "")
            .await?;
        Ok(issued.trim().to_owned())
    }

    /// A session of 2025-11-25.
    pub(crate) async fn legacy(&self, capabilities: Value) -> anyhow::Result<Legacy> {
        Legacy::open(
            self.gateway.endpoint("default", &self.token),
            "2025-11-25",
            capabilities,
        )
        .await
    }

    /// A client of 2026-07-28.
    pub(crate) fn modern(&self, capabilities: Value) -> Modern {
        Modern::new(self.gateway.endpoint("default", &self.token), capabilities)
    }
}

/// A server of the era.
pub(crate) async fn server(era: Era) -> anyhow::Result<HttpServer> {
    HttpServer::start(
        "127.0.0.1:0",
        Options {
            era,
            ..Options::default()
        },
    )
    .await
}

/// The configuration of servers over HTTP.
pub(crate) fn servers(servers: &[(&str, &HttpServer)]) -> String {
    let lines = servers
        .iter()
        .map(|(name, server)| format!("  {name}: {{ url: \"{}\" }}\n", server.url()));
    format!("servers:\n{}", lines.collect::<String>())
}

/// The configuration of one server over stdio.
pub(crate) fn stdio(era: &str) -> anyhow::Result<String> {
    let everything = program("sallyport-everything")?;
    Ok(format!(
        "servers:\n  everything: {{ command: \"{}\", args: [--stdio, --era, {era}] }}\n",
        everything.display()
    ))
}

/// The names in the `tools` of a list's result.
pub(crate) fn names(result: &Value) -> Vec<&str> {
    let tools = result
        .get("tools")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    tools
        .iter()
        .filter_map(|tool| tool.get("name")?.as_str())
        .collect()
}

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often something is asked for that does not tell by itself.
const ASK: Duration = Duration::from_millis(5);

/// Asks until the answer is yes.
pub(crate) async fn until(
    end: Instant,
    mut done: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(ASK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if done().await? {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < end, "it did not happen in time");
    }
}

/// Asks until the answer is yes, for `within`.
pub(crate) async fn within(
    within: Duration,
    done: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    until(begin + within, done).await?;
    Ok(begin.elapsed())
}

/// Waits until the server has counted one of these.
///
/// # Errors
/// When it does not in time.
pub(crate) async fn counted(client: &mut Conversation, what: &str) -> anyhow::Result<()> {
    within(PATIENCE, async || {
        let counters = client.call("counters", json!({})).await?;
        let counters: Value = serde_json::from_str(counters.text()?)?;
        Ok(counters.get(what) == Some(&json!(1)))
    })
    .await?;
    Ok(())
}
