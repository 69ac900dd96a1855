//! Every kind of client uses every kind of server through one gateway: call, progress, cancel, question, change of a list,
//! error.

mod client;
mod operation;

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use sallyport_testkit::everything::serve::Server;
use sallyport_testkit::everything::{Era, Options};
use sallyport_testkit::process::{GatewayProcess, free_address, program};

use client::{KINDS, Ways};
use operation::{OPERATIONS, Operation};

/// A server behind the gateway: its column.
struct Column {
    name: &'static str,
    /// Its entry in the configuration.
    configuration: String,
    /// The same with one process for all callers, where each has its own otherwise.
    shared: Option<(String, String)>,
    _server: Option<Server>,
}

impl Column {
    /// The names and configurations of its servers.
    fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let shared = self.shared.iter().map(|(name, it)| (name.as_str(), it.as_str()));
        std::iter::once((self.name, self.configuration.as_str())).chain(shared)
    }
}

async fn columns() -> anyhow::Result<Vec<Column>> {
    let options = |era| Options {
        era,
        ..Options::default()
    };
    let any = "127.0.0.1:0";
    let token = ", headers: { Authorization: \"Bearer whatever\" }";
    let url = |name, server: Server, more: &str| Column {
        name,
        configuration: format!("{{ url: \"{}\"{more} }}", server.url()),
        shared: None,
        _server: Some(server),
    };
    let everything = program("sallyport-everything")?;
    let child = |name: &'static str, era: &str| {
        let start = format!(
            "command: \"{}\", args: [--stdio, --era, {era}]",
            everything.display()
        );
        Column {
            name,
            configuration: format!("{{ {start} }}"),
            shared: Some((
                format!("{name}-shared"),
                format!("{{ {start}, process: shared }}"),
            )),
            _server: None,
        }
    };
    Ok(vec![
        url("http-legacy", Server::start(any, options(Era::Legacy)).await?, ""),
        url("http-modern", Server::start(any, options(Era::Modern)).await?, ""),
        url("sse", Server::start_sse(any, options(Era::Legacy)).await?, ""),
        child("stdio-legacy", "legacy"),
        child("stdio-modern", "modern"),
        url("ws", Server::start_ws(any, options(Era::Dual)).await?, ""),
        url("tcp", Server::start_tcp(any, options(Era::Dual)).await?, token),
    ])
}

/// One gateway with all servers, each in a profile of its own name.
async fn gateway(columns: &[Column], tcp: SocketAddr) -> anyhow::Result<GatewayProcess> {
    let mut more = format!("tcp_listen: {tcp}\nservers:\n");
    let mut profiles = "profiles:\n".to_owned();
    for column in columns {
        for (name, configuration) in column.entries() {
            writeln!(more, "  {name}: {configuration}")?;
            writeln!(profiles, "  {name}: {{ servers: [{name}] }}")?;
        }
    }
    more.push_str(&profiles);
    let mut gateway = GatewayProcess::prepare(&more)?;
    gateway.add_user("ada", true).await?;
    gateway.serve().await?;
    Ok(gateway)
}

async fn ways(gateway: &GatewayProcess, tcp: SocketAddr, column: &Column) -> anyhow::Result<Ways> {
    let mut ways = None;
    // The one for all comes last and becomes a part of the first.
    for (name, configuration) in column.entries().collect::<Vec<_>>().into_iter().rev() {
        let issue = ["token", "issue", "--user", "ada", "--profile", name];
        let token = gateway.run(&issue, "").await?;
        ways = Some(Box::new(Ways {
            endpoint: gateway.endpoint(name, token.trim()),
            tcp,
            alone: format!("servers:\n  {name}: {configuration}\n"),
            shared: ways,
        }));
    }
    ways.map(|ways| *ways).context("a column has a server")
}

/// The cells of a column: for each client what failed.
async fn run(ways: &Ways) -> Vec<Vec<(Operation, String)>> {
    let mut cells = Vec::new();
    for kind in KINDS {
        cells.push(operation::all(ways, kind).await);
    }
    cells
}

/// The grid as a person reads it: a letter for what works, `!` for what does not.
fn grid(columns: &[Column], cells: &[Vec<Vec<(Operation, String)>>]) -> String {
    let mut text = format!("{:<22}", "client \\ server");
    for column in columns {
        let _ = write!(text, " {:<13}", column.name);
    }
    for (row, kind) in KINDS.iter().enumerate() {
        let _ = write!(text, "\n{:<22}", kind.label());
        for column in cells {
            let failed = column.get(row).map(Vec::as_slice).unwrap_or_default();
            let letters = OPERATIONS.iter().map(|operation| {
                let bad = failed.iter().any(|(it, _)| it == operation);
                if bad { '!' } else { operation.letter() }
            });
            let _ = write!(text, " {:<13}", letters.collect::<String>());
        }
    }
    text.push_str("\nc call, p progress, x cancel, q question, l change of a list, e error; ! failed\n");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_uses_every_server() {
    let columns = columns().await.unwrap();
    let tcp = free_address().unwrap();
    let gateway = gateway(&columns, tcp).await.unwrap();
    let mut all = Vec::new();
    for column in &columns {
        all.push(ways(&gateway, tcp, column).await.unwrap());
    }
    // The servers beside each other; the clients of one in turn, as its counters and lists are common to them.
    let cells = futures_util::future::join_all(all.iter().map(run)).await;
    let grid = grid(&columns, &cells);
    println!("{grid}");
    let mut failures = String::new();
    for (column, cells) in columns.iter().zip(&cells) {
        for (kind, failed) in KINDS.iter().zip(cells) {
            for (operation, error) in failed {
                let _ = writeln!(
                    failures,
                    "{} -> {}: {operation:?}: {error}",
                    kind.label(),
                    column.name
                );
            }
        }
    }
    assert!(failures.is_empty(), "\n{grid}\n{failures}\n{}", gateway.log());
}
