//! Real clients from npm, PyPI and crates.io log in by themselves, list the tools and call one; all of a round at once.
//! Between the first call and a second one something happens that they have to live through without their person.

mod room;
mod roster;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Count;
use crate::gateway::Gateway;
use crate::process::Background;
use crate::say;
use crate::workspace::Workspace;
use room::Room;

/// What the clients call.
const TOOL: &str = "echo";
const ARGUMENTS: &str = r#"{"text":"sallyport-says-hello"}"#;
const EXPECTED: &str = "sallyport-says-hello";

/// The name that clients give themselves that have none of their own.
const NAME: &str = "Sallyport test client";

/// Everything but this machine, so that nothing outside is talked to, whatever document a client names.
const ISLAND: &str = "0.0.0.0/2, 64.0.0.0/3, 96.0.0.0/4, 112.0.0.0/5, 120.0.0.0/6, 124.0.0.0/7, 126.0.0.0/8, 128.0.0.0/1, \"2000::/3\"";

/// What happens between the two calls of a client.
#[derive(Clone, Copy)]
enum Between {
    /// The gateway is stopped and started again.
    Restart,
    /// Access tokens of this life end.
    Expiry(Duration),
}

/// How the clients are known in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// By documents that describe them, those that have one.
    ByDocuments,
    /// By registering themselves.
    ByRegistration,
}

/// With documents, over a restart of the gateway; and without, over the end of their access tokens.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let mut count = round(workspace, "documents", Known::ByDocuments, Between::Restart)?;
    let minute = Between::Expiry(Duration::from_secs(60));
    count += round(workspace, "registration", Known::ByRegistration, minute)?;
    Ok(count)
}

/// Over the end of access tokens that live for six minutes, with documents and without.
pub(super) fn wait(workspace: &Workspace) -> anyhow::Result<Count> {
    let minutes = Between::Expiry(Duration::from_secs(360));
    let mut count = round(workspace, "wait-documents", Known::ByDocuments, minutes)?;
    count += round(workspace, "wait-registration", Known::ByRegistration, minutes)?;
    Ok(count)
}

fn round(workspace: &Workspace, name: &str, known: Known, between: Between) -> anyhow::Result<Count> {
    let node = workspace.node()?;
    workspace.build()?;
    let folder = workspace.scratch(&format!("clients-{name}"))?;
    let mut everything = Command::new(workspace.program("debug", "sallyport-everything"));
    let (_server, upstream) = Background::with_first_line(everything.args(["--listen", "127.0.0.1:0"]))?;
    let authority = folder.join("authority.pem");
    let mut site = Command::new(workspace.program("debug", "sallyport-site"));
    let (_site, document) = Background::with_first_line(site.arg(&authority))?;
    let more = configuration(&upstream, &document, &authority, known, between);
    let mut gateway = Gateway::start(&workspace.program("debug", "sallyport"), &folder, &more, true)?;
    let clients = roster::all(workspace, &node, &gateway.url("default"))?;
    say::line(format_args!("  {name}: {} clients", clients.len()));
    let room = Room {
        folder: &folder,
        node: &node,
        login: workspace.testkit("clients/login.mjs"),
        document: (known == Known::ByDocuments).then_some(document),
    };
    let mut count = room.play(clients, || match between {
        Between::Restart => gateway.restart(),
        Between::Expiry(life) => {
            // A second more, because the last one has just got its token.
            std::thread::sleep(life + Duration::from_secs(1));
            Ok(())
        }
    })?;
    let registered = gateway.clients()?.iter().filter(|client| *client == NAME).count();
    let is_known = match known {
        Known::ByDocuments => registered == 0,
        Known::ByRegistration => registered > 0,
    };
    if !is_known {
        say::line(format_args!(
            "  FAIL {registered} clients have registered themselves"
        ));
    }
    count += Count::one(is_known);
    if count.failed > 0 {
        say::line(format_args!("  the gateway's log is {}", gateway.log().display()));
    }
    Ok(count)
}

/// The configuration of the round's gateway.
fn configuration(upstream: &str, document: &str, authority: &Path, known: Known, between: Between) -> String {
    let port = document.split(['/', ':']).nth(4).unwrap_or_default();
    let life = match between {
        Between::Restart => 900,
        Between::Expiry(life) => life.as_secs(),
    };
    format!(
        "servers:\n  everything: {{ url: \"{upstream}\" }}\nprofiles:\n  default: {{ servers: [everything] }}\n\
         egress:\n  allowed: [127.0.0.0/8, \"::1\"]\n  denied: [{ISLAND}]\n  ports: [{port}]\n  authorities: [\"{}\"]\n\
         auth:\n  client_metadata_documents: {}\n  tokens: {{ access_ttl: {life}s }}\n",
        authority.display(),
        known == Known::ByDocuments,
    )
}
