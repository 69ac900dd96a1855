//! Servers of the official SDKs that put their questions on the session's own stream, asked through a gateway by a client of
//! each era.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Count;
use crate::gateway::Gateway;
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{command, say, versions};

/// How a server answers calls: with events, or with JSON that comes with the end of the call.
const FORMS: [&str; 2] = ["events", "json"];
/// The eras of the client: its modes of agreeing on a version.
const MODES: [&str; 2] = ["legacy", "pin"];

/// Every server with every client.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let node = workspace.node()?.join("node");
    let packages = workspace.npm("typescript", versions::TYPESCRIPT)?;
    let python = workspace.python(versions::PYTHON_1)?;
    workspace.build()?;
    let mut count = Count::default();
    for (sdk, program, script) in [("typescript", &node, "asks.mjs"), ("python", &python, "asks.py")] {
        for form in FORMS {
            let mut server = Command::new(program);
            server.arg(workspace.testkit("clients").join(script)).arg(form);
            let name = format!("{sdk}-{form}");
            count += behind(
                workspace,
                &name,
                server.env("PACKAGES", &packages),
                (&node, &packages),
            )?;
        }
    }
    Ok(count)
}

/// One server behind a gateway, and the clients before it.
fn behind(
    workspace: &Workspace,
    name: &str,
    server: &mut Command,
    (node, packages): (&Path, &Path),
) -> anyhow::Result<Count> {
    let folder = workspace.scratch(&format!("asking-{name}"))?;
    server.stderr(fs::File::create(folder.join("server.log"))?);
    let (_server, url) = Background::with_first_line(server)?;
    let more = format!(
        "auth: {{ mode: none }}\nservers:\n  asks: {{ url: \"{url}\" }}\nprofiles:\n  default: {{ servers: [asks] }}\n"
    );
    let gateway = Gateway::start(&workspace.program("debug", "sallyport"), &folder, &more, false)?;
    let mut count = Count::default();
    for mode in MODES {
        let mut client = Command::new(node);
        client
            .arg(workspace.testkit("clients/asked.mjs"))
            .args([&gateway.url("default"), mode])
            .env("PACKAGES", packages);
        let played = command::quietly(&mut client);
        match &played {
            Ok(_) => say::line(format_args!("  PASS {name}, {mode}")),
            Err(error) => say::line(format_args!(
                "  FAIL {name}, {mode}: {error:#}\n  the gateway's log is {}",
                gateway.log().display()
            )),
        }
        count += Count::one(played.is_ok());
    }
    Ok(count)
}
