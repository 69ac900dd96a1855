//! A newcomer's path in a real browser: setup link, account, OAuth, `tools/list`, `tools/call`; then a no, a device's code,
//! the account page, and log-in through a real OpenID provider.

use std::fs;
use std::process::Command;

use super::Count;
use crate::gateway::{self, Gateway};
use crate::process::Background;
use crate::workspace::Workspace;
use crate::{command, provide, say, versions};

/// First with nothing behind the gateway but its own `demo`, then with the reference server from npm over stdio.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Count> {
    let node = workspace.node()?.join("node");
    let packages = workspace.npm("browser", versions::BROWSER)?;
    let chromium = provide::chromium()?;
    workspace.build()?;
    let everything = packages.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let behind = format!(
        "servers:\n  everything: {{ command: \"{}\", args: [\"{}\", stdio] }}\nprofiles:\n  default: {{ servers: [everything] }}\n",
        node.display(),
        everything.display()
    );
    let port = gateway::free_port()?;
    let people = format!(
        "auth:\n  allow_users: [\"staff:group:staff\"]\n  oidc:\n    staff: {{ issuer: \"http://localhost:{port}\", \
         client_id: sallyport, client_secret: secret-of-the-gateway, label: Example Staff }}\n"
    );
    let mut count = Count::default();
    for (name, more, arguments, expected) in [
        ("demo", &*people, r#"{"text":"good-morning"}"#, "good-morning"),
        (
            "server-everything",
            &*behind,
            r#"{"message":"good-morning"}"#,
            "good-morning",
        ),
    ] {
        let folder = workspace.scratch(&format!("browser-{name}"))?;
        let pictures = folder.join("pictures");
        fs::create_dir_all(&pictures)?;
        let gateway = Gateway::start(&workspace.program("debug", "sallyport"), &folder, more, false)?;
        let mut path = Command::new(&node);
        let provider = (more == people).then(|| -> anyhow::Result<_> {
            let mut provider = Command::new(&node);
            let redirect = gateway.url("default").replace("/mcp", "/callback/staff");
            provider
                .arg(workspace.testkit("clients/idp.mjs"))
                .args([&port.to_string(), &redirect])
                .env("PACKAGES", &packages)
                .stderr(fs::File::create(folder.join("provider.log"))?);
            Background::with_first_line(&mut provider)
        });
        let provider = provider.transpose()?;
        let address = provider.as_ref().map(|_| format!("http://localhost:{port}"));
        path.arg(workspace.testkit("clients/browser.mjs"))
            .args([&gateway.url("default"), "echo", arguments, expected])
            .env("PACKAGES", &packages)
            .env("CHROMIUM", &chromium)
            .env("IDP", address.unwrap_or_default())
            .env("PICTURES", &pictures)
            .env("SETUP_LINK", gateway.setup_link()?)
            .env("LOGIN_USER", gateway::USER)
            .env("LOGIN_PASSWORD", gateway::PASSWORD);
        let result = command::quietly(&mut path);
        match &result {
            Ok(_) => say::line(format_args!(
                "  PASS {name}; the pages are in {}",
                pictures.display()
            )),
            Err(error) => say::line(format_args!(
                "  FAIL {name}: {error:#}\n  log: {}",
                gateway.log().display()
            )),
        }
        count += Count::one(result.is_ok());
    }
    Ok(count)
}
