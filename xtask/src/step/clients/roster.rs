//! The clients, each as the command that plays it.

use std::path::Path;
use std::process::Command;

use super::{ARGUMENTS, TOOL};
use crate::versions;
use crate::workspace::Workspace;

/// A client and how it is played.
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) command: Command,
    /// How often its person logs in: one that keeps no tokens has to ask again each time it runs.
    pub(super) logins: usize,
    /// The client that it comes after, because both return to the same port.
    pub(super) after: Option<&'static str>,
    /// Whether it takes the URL of its document as an argument, and after which.
    pub(super) document: Option<&'static str>,
}

impl Client {
    fn new(name: &'static str, command: Command) -> Self {
        Self {
            name,
            command,
            logins: 1,
            after: None,
            document: None,
        }
    }
}

/// Every client, at the MCP endpoint `url`.
pub(super) fn all(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let mut clients = typescript(workspace, node, url)?;
    clients.extend(python(workspace, url)?);
    clients.push(rust(workspace, url));
    clients.extend(bridges(workspace, node, url)?);
    clients.extend(inspectors(workspace, node, url)?);
    clients.extend(agents(workspace, node, url)?);
    Ok(clients)
}

/// Node with one of our scripts.
fn script(workspace: &Workspace, node: &Path, name: &str) -> Command {
    let mut command = Command::new(node.join("node"));
    command.arg(workspace.testkit("clients").join(name));
    command
}

/// The official TypeScript clients.
fn typescript(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let packages = workspace.npm("typescript", versions::TYPESCRIPT)?;
    let rows = [
        ("typescript-legacy", "v2", "legacy"),
        ("typescript-auto", "v2", "auto"),
        ("typescript-2026-07-28", "v2", "pin"),
        ("typescript-sdk-1", "v1", "legacy"),
    ];
    let clients = rows.map(|(name, sdk, mode)| {
        let mut client = script(workspace, node, "ts.mjs");
        client
            .args([url, TOOL, ARGUMENTS])
            .env("PACKAGES", &packages)
            .env("SDK", sdk)
            .env("MODE", mode);
        Client::new(name, client)
    });
    Ok(clients.into())
}

/// The official Python clients and FastMCP.
fn python(workspace: &Workspace, url: &str) -> anyhow::Result<Vec<Client>> {
    let rows = [
        ("python-sdk-2", "mcp", versions::PYTHON_2),
        ("python-sdk-1", "mcp", versions::PYTHON_1),
        ("fastmcp", "fastmcp", versions::FASTMCP),
    ];
    let client = |(name, kind, package)| {
        let mut client = Command::new(workspace.python(package)?);
        client
            .arg(workspace.testkit("clients/python_client.py"))
            .args([url, TOOL, ARGUMENTS])
            .env("KIND", kind);
        Ok(Client::new(name, client))
    };
    rows.into_iter().map(client).collect()
}

/// The official Rust client, which Cargo has built from crates.io.
fn rust(workspace: &Workspace, url: &str) -> Client {
    let mut client = Command::new(workspace.program("debug", "sallyport-rmcp-client"));
    client.args([url, TOOL, ARGUMENTS]);
    Client::new("rmcp", client)
}

/// The bridge from stdio that desktop clients start.
fn bridges(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let rows = [
        ("mcp-remote", versions::MCP_REMOTE, None),
        ("mcp-remote-old", versions::MCP_REMOTE_OLD, Some("mcp-remote")),
    ];
    let client = |(name, package, after)| {
        let program = workspace.npm(name, package)?.join("node_modules/.bin/mcp-remote");
        let mut client = script(workspace, node, "stdio.mjs");
        client
            .args([TOOL, ARGUMENTS, "--"])
            .arg(node.join("node"))
            .arg(program)
            .args([url, "--allow-http"]);
        Ok(Client {
            after,
            ..Client::new(name, client)
        })
    };
    rows.into_iter().map(client).collect()
}

/// The inspector's command line, which makes one call and keeps its registration, but no token.
fn inspectors(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let program = workspace
        .npm("inspector", versions::INSPECTOR)?
        .join("node_modules/.bin/mcp-inspector");
    let inspector = |(name, era, after)| {
        let mut client = script(workspace, node, "twice.mjs");
        client.arg(node.join("node")).arg(&program);
        client.args(["--cli", "--protocol-era", era, "--server-url", url]);
        client.args(["--transport", "http", "--method", "tools/call"]);
        client.args(["--tool-name", TOOL, "--tool-args-json", ARGUMENTS]);
        client.env("MCP_AUTO_OPEN_ENABLED", "true");
        Client {
            logins: 2,
            after,
            document: Some("--client-metadata-url"),
            ..Client::new(name, client)
        }
    };
    let rows = [
        ("inspector-legacy", "legacy", None),
        ("inspector-auto", "auto", Some("inspector-legacy")),
    ];
    Ok(rows.map(inspector).into())
}

/// Agents, with a language model of ours.
fn agents(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let arch = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "x64"
    };
    let codex = workspace
        .npm("codex", versions::CODEX)?
        .join("node_modules/.bin/codex");
    // Its own launcher is put in place by a script of the package, and scripts of packages are not run.
    let opencode = workspace
        .npm("opencode", versions::OPENCODE)?
        .join(format!("node_modules/opencode-linux-{arch}/bin/opencode"));
    let clients = [("codex", codex), ("opencode", opencode)].map(|(name, program)| {
        let mut client = script(workspace, node, "agent.mjs");
        client.arg(name).arg(program).args([url, TOOL, ARGUMENTS]);
        Client::new(name, client)
    });
    Ok(clients.into())
}
