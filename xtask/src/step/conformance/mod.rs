//! The official MCP suite: its scenarios for servers against the testkit's server itself and through a gateway, those for
//! authorization servers against the gateway, and those for clients with the gateway as the client.

mod authorization;
mod clients;
mod judge;
mod suite;

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use self::suite::{Endpoint, Suite, Wanted};
use super::Count;
use crate::gateway::Gateway;
use crate::process::Background;
use crate::say;
use crate::workspace::Workspace;

/// Every revision of which the suite has scenarios.
const REVISIONS: [&str; 4] = ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];
/// The last revision of the era with sessions.
const LEGACY: &str = "2025-11-25";
/// The revision without.
const MODERN: &str = "2026-07-28";

/// The scenarios of extensions, which no `--suite` contains. (`tasks-status-notifications` is left out: it measures
/// nothing at a server that sends none.)
const TASKS: [&str; 9] = [
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
];
/// See [`TASKS`].
const SKILLS: [&str; 3] = [
    "sep-2640-skills-directory",
    "sep-2640-skills-enumeration",
    "sep-2640-skills-manifest",
];

/// All revisions.
fn revisions<'a>(name: &'a str, endpoint: &'a Endpoint) -> Vec<Wanted<'a>> {
    let each = |revision: &'a &str| Wanted::revision(name, endpoint, revision);
    REVISIONS.iter().map(each).collect()
}

/// These scenarios.
fn scenarios<'a>(name: &'a str, endpoint: &'a Endpoint, which: &[&'a str]) -> Vec<Wanted<'a>> {
    let each = |scenario: &&'a str| Wanted::scenario(name, endpoint, scenario);
    which.iter().map(each).collect()
}

/// Runs the suite against the testkit's server: what fails there is the fixture's fault and not the gateway's.
pub(super) fn fixture(workspace: &Workspace) -> anyhow::Result<Count> {
    let suite = Suite::prepare(workspace, "fixture")?;
    workspace.build()?;
    let (_server, url) = server(workspace, &["--listen", "127.0.0.1:0"])?;
    // The suite wants that name.
    let endpoint = Endpoint::open(&url.replace("127.0.0.1", "localhost"));
    suite.run(vec![
        revisions("fixture", &endpoint),
        scenarios("fixture", &endpoint, &TASKS),
        scenarios("fixture", &endpoint, &SKILLS),
    ])
}

/// Runs the suite through a gateway: with one server behind, with three, and with a server of the other era.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let suite = Suite::prepare(workspace, "conformance")?;
    workspace.build()?;
    let behind = Behind::start(workspace)?;
    let program = workspace.program("debug", "sallyport");
    let gateway = Gateway::start(&program, suite.folder(), &behind.configuration(workspace), true)?;
    let endpoint = |slug: &str| -> anyhow::Result<Endpoint> {
        Ok(Endpoint::new(&gateway.url(slug), &gateway.token(slug)?))
    };
    let (one, three) = (endpoint("default")?, endpoint("three")?);
    let (old, new) = (endpoint("old")?, endpoint("new")?);
    let across = vec![
        Wanted::revision("legacy-stdio", &old, MODERN),
        Wanted::revision("modern-http", &new, LEGACY),
    ];
    // Profiles have servers of their own, so that no lane changes the lists of another.
    let extensions = [&TASKS[..], &SKILLS[..]].concat();
    let mut count = suite.run(vec![
        revisions("one", &one),
        revisions("three", &three),
        scenarios("one", &one, &extensions),
        scenarios("three", &three, &extensions),
        across,
    ])?;
    count += authorization::run(&suite, &gateway)?;
    say::line(format_args!("  the gateway's log is {}", gateway.log().display()));
    drop(gateway);
    count += clients::run(&suite, workspace)?;
    Ok(count)
}

/// The servers behind the gateway.
struct Behind {
    /// The one of the profile with one server.
    one: (Background, String),
    /// The one whose names the profile with three servers keeps.
    kept: (Background, String),
    /// A server with tools of its own.
    other: (Background, String),
    /// A server that knows 2026-07-28 only.
    modern: (Background, String),
}

impl Behind {
    fn start(workspace: &Workspace) -> anyhow::Result<Self> {
        let listen = ["--listen", "127.0.0.1:0"];
        let with = |more: &[&str]| server(workspace, &[&listen, more].concat());
        Ok(Self {
            one: with(&[])?,
            kept: with(&[])?,
            other: with(&["--bare", "--tools", "20", "--label", "other"])?,
            modern: with(&["--era", "modern"])?,
        })
    }

    fn configuration(&self, workspace: &Workspace) -> String {
        let program = workspace.program("debug", "sallyport-everything");
        let stdio = |arguments: &str| {
            format!(
                "{{ command: \"{}\", args: [--stdio, {arguments}] }}",
                program.display()
            )
        };
        let url = |server: &(Background, String)| format!("{{ url: \"{}\" }}", server.1);
        let servers = [
            ("one", url(&self.one)),
            ("kept", url(&self.kept)),
            ("other", url(&self.other)),
            ("third", stdio("--bare, --tools, \"5\", --label, third")),
            ("old", stdio("--era, legacy")),
            ("new", url(&self.modern)),
        ];
        let servers = servers.map(|(name, server)| format!("  {name}: {server}\n"));
        let profiles = "\
profiles:
  default: { servers: [one] }
  three: { servers: [kept, other, third], naming: on-collision }
  old: { servers: [old] }
  new: { servers: [new] }
";
        format!("servers:\n{}{profiles}", servers.concat())
    }
}

fn server(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<(Background, String)> {
    let program: &Path = &workspace.program("debug", "sallyport-everything");
    Background::with_first_line(Command::new(program).args(arguments)).context("the everything server")
}
