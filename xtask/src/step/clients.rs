//! Real clients from npm and PyPI log in by themselves, list the tools and call one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Count;
use crate::gateway::{self, Gateway};
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{provide, say, versions};

const TOOL: &str = "echo";
const ARGUMENTS: &str = r#"{"text":"sallyport-says-hello"}"#;
const EXPECTED: &str = "sallyport-says-hello";
/// For everything that one client does.
const DEADLINE: Duration = Duration::from_secs(90);
/// What programs call to open a browser.
const OPENERS: [&str; 5] = [
    "xdg-open",
    "open",
    "x-www-browser",
    "www-browser",
    "sensible-browser",
];

/// A client with its name.
type Client = (&'static str, Command);

/// Runs every client against one gateway.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let node = workspace.node()?;
    let folder = workspace.scratch("clients")?;
    workspace.build()?;
    let mut everything = Command::new(workspace.program("debug", "sallyport-everything"));
    let (_server, upstream) = Background::with_first_line(everything.args(["--listen", "127.0.0.1:0"]))?;
    let more = format!(
        "servers:\n  everything: {{ url: \"{upstream}\" }}\nprofiles:\n  default: {{ servers: [everything] }}\n"
    );
    let gateway = Gateway::start(&workspace.program("debug", "sallyport"), &folder, &more, true)?;
    let room = Room {
        folder: &folder,
        node: &node,
        login: workspace.testkit("clients/login.mjs"),
    };
    let url = gateway.url("default");
    let mut clients = typescript(workspace, &node, &url)?;
    clients.extend(python(workspace, &url)?);
    clients.extend(programs(workspace, &node, &url)?);
    let mut count = Count::default();
    for (name, client) in clients {
        count += room.play(name, client)?;
    }
    if count.failed > 0 {
        say::line(format_args!("  the gateway's log is {}", gateway.log().display()));
    }
    Ok(count)
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
        let mut client = Command::new(node.join("node"));
        client
            .arg(workspace.testkit("clients/ts.mjs"))
            .args([url, TOOL, ARGUMENTS]);
        client
            .env("PACKAGES", &packages)
            .env("SDK", sdk)
            .env("MODE", mode);
        (name, client)
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
            .args([url, TOOL, ARGUMENTS]);
        client.env("KIND", kind);
        Ok((name, client))
    };
    rows.into_iter().map(client).collect()
}

/// Clients that are programs of their own.
fn programs(workspace: &Workspace, node: &Path, url: &str) -> anyhow::Result<Vec<Client>> {
    let remote = workspace
        .npm("mcp-remote", versions::MCP_REMOTE)?
        .join("node_modules/.bin/mcp-remote");
    let inspector = workspace
        .npm("inspector", versions::INSPECTOR)?
        .join("node_modules/.bin/mcp-inspector");
    let mut bridge = Command::new(node.join("node"));
    bridge
        .arg(workspace.testkit("clients/stdio.mjs"))
        .args([TOOL, ARGUMENTS, "--"]);
    bridge
        .arg(node.join("node"))
        .arg(remote)
        .args([url, "--allow-http"]);
    let inspector = |era: &str| {
        let mut client = Command::new(node.join("node"));
        client.arg(&inspector).args([
            "--cli",
            "--protocol-era",
            era,
            "--server-url",
            url,
            "--transport",
            "http",
        ]);
        client.args([
            "--method",
            "tools/call",
            "--tool-name",
            TOOL,
            "--tool-args-json",
            ARGUMENTS,
        ]);
        client.env("MCP_AUTO_OPEN_ENABLED", "true");
        client
    };
    Ok(vec![
        ("mcp-remote", bridge),
        ("inspector-legacy", inspector("legacy")),
        ("inspector-auto", inspector("auto")),
    ])
}

/// Where clients are played: each gets a home of its own and a browser that logs in.
struct Room<'a> {
    folder: &'a Path,
    node: &'a Path,
    login: PathBuf,
}

impl Room<'_> {
    /// Plays one client; it has to succeed within the deadline and print the tool's answer.
    fn play(&self, name: &str, mut client: Command) -> anyhow::Result<Count> {
        let home = self.folder.join(name);
        let log = home.join("log");
        self.furnish(&home, &mut client)?;
        let out = fs::File::create(&log)?;
        client.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let begin = Instant::now();
        let mut child = client.spawn().with_context(|| name.to_owned())?;
        let success = loop {
            if let Some(status) = child.try_wait()? {
                break status.success();
            }
            if begin.elapsed() > DEADLINE {
                child.kill()?;
                child.wait()?;
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let said = fs::read_to_string(&log).unwrap_or_default();
        let ok = success && said.contains(EXPECTED);
        let verdict = if ok { "PASS" } else { "FAIL" };
        say::line(format_args!(
            "  {verdict} {name} {:.1} s",
            begin.elapsed().as_secs_f64()
        ));
        if !ok {
            let login = fs::read_to_string(home.join("login.log")).unwrap_or_default();
            say::line(format_args!("{said}\n--- the browser\n{login}"));
        }
        Ok(Count::one(ok))
    }

    /// An environment that has nothing of the machine's but the programs, and a browser that logs in.
    fn furnish(&self, home: &Path, client: &mut Command) -> anyhow::Result<()> {
        let shims = home.join("shims");
        fs::create_dir_all(&shims)?;
        let browser = shims.join("browser");
        let node = self.node.join("node");
        // In the background: some clients wait for the command that opens the browser.
        let script = format!(
            "#!/bin/sh\n'{}' '{}' \"$@\" >/dev/null 2>&1 &\n",
            node.display(),
            self.login.display()
        );
        fs::write(&browser, script)?;
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
        for opener in OPENERS {
            std::os::unix::fs::symlink(&browser, shims.join(opener))?;
        }
        let system = provide::with_first(self.node)?;
        let path = std::env::join_paths(std::iter::once(shims).chain(std::env::split_paths(&system)))?;
        let own: Vec<_> = client
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        client
            .env_clear()
            .envs([
                ("LANG", "C.UTF-8"),
                ("TERM", "dumb"),
                ("NO_COLOR", "1"),
                ("DISPLAY", ":99"),
            ])
            .envs([
                ("LOGIN_USER", gateway::USER),
                ("LOGIN_PASSWORD", gateway::PASSWORD),
            ])
            .env("LOGIN_LOG", home.join("login.log"))
            .env("HOME", home)
            // Else the desktop's own browser would be found before ours.
            .env("XDG_DATA_DIRS", home)
            .env("XDG_CONFIG_DIRS", home)
            .env("PATH", path)
            .env("BROWSER", browser)
            .envs(own)
            .current_dir(home);
        Ok(())
    }
}
