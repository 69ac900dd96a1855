//! The gateway as the client that the official suite measures: `sallyport-suite-client URL`.
//!
//! The suite runs it for each of its scenarios for clients, with the URL of a server of its own, and says which scenario it
//! is in the environment. This starts the gateway that lies beside it with that server behind, logs a person in, calls what
//! the server offers through the gateway, and goes with the person's browser wherever the gateway sends them. What the suite
//! sees is the gateway. The exit status is 0 when everything was called.

mod calls;
mod person;
mod plan;

use std::time::Duration;

use anyhow::Context as _;
use sallyport_testkit::process::GatewayProcess;
use serde_json::Value;
use tokio::time::Instant;

use crate::calls::Client;
use crate::person::Person;
use crate::plan::Plan;

/// How long the gateway may take to show what the server has, or that it wants an account. Some servers have nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long everything may take. The suite would end this process after that, but not the gateway.
const TIME: Duration = Duration::from_secs(60);

/// Accounts that are connected before anything was learned: the first one may be over at once.
const MAX_CONNECTS: usize = 3;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args()
        .nth(1)
        .context("usage: sallyport-suite-client URL")?;
    let plan = Plan::read(&url, |name| std::env::var_os(name)?.into_string().ok())?;
    let program = std::env::current_exe()?.with_file_name("sallyport");
    let folder = tempfile::tempdir()?;
    let configuration = plan.configuration(folder.path()).await?;
    let mut gateway = GatewayProcess::prepare(&configuration)?.with_program(program);
    let result = tokio::time::timeout(TIME, walk(&plan, &mut gateway)).await;
    let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")));
    result.with_context(|| format!("the gateway said:\n{}", gateway.log()))
}

async fn walk(plan: &Plan, gateway: &mut GatewayProcess) -> anyhow::Result<()> {
    gateway.add_user(person::NAME, true).await?;
    gateway.serve().await?;
    let (mut person, token) = Person::log_in(gateway).await?;
    let mut client = Client::open(gateway.endpoint("default", &token), plan.is_modern()).await?;
    let tools = learn(&mut person, &mut client).await?;
    for (name, arguments) in plan.calls(&tools) {
        client.call(&mut person, &name, &arguments).await?;
    }
    client.read_everything().await
}

/// Waits for the server's tools, and connects an account where the server wants one first.
async fn learn(person: &mut Person, client: &mut Client) -> anyhow::Result<Vec<Value>> {
    let mut connects = 0;
    let mut deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let tools = client.tools().await?;
        if !tools.is_empty() {
            return Ok(tools);
        }
        if connects < MAX_CONNECTS && person.is_asked().await? {
            person.connect(person::PAGE).await?;
            connects += 1;
            deadline = Instant::now() + PATIENCE;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::ensure!(connects == 0, "an account is connected, and no tools are shown");
    Ok(Vec::new())
}
