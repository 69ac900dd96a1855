//! `add`, `list`, `get`, `remove`.

use sallyport_core::ServerName;
use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Failure;
use super::args::AddArgs;
use super::output;
use super::verb::Run;
use crate::base::Base;
use crate::config::parse_server;
use crate::config::profiles::Profile;
use crate::config::servers::Server;

pub(super) async fn add(run: &Run, args: &AddArgs) -> Result<(), Failure> {
    let json = described(args)?.to_string();
    let name = &args.name;
    if let Err(problems) = parse_server(name.as_str(), &json) {
        // There is no file whose lines could be named.
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        return Err(Failure::Usage(messages.join("\n       ")));
    }
    let base = run.base().await?;
    if let Some(file) = defined_in_file(&base, name) {
        return Err(Failure::failed(format!(
            "`{name}` is defined in {file}, which wins; change it there"
        )));
    }
    if base
        .store
        .servers()
        .await?
        .iter()
        .any(|server| server.name == *name)
    {
        return Err(Failure::failed(format!(
            "there is a server `{name}` already; remove it first, or choose another name"
        )));
    }
    record(&base, name, "added by command").await?;
    base.put_server(name, &json).await?;
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&json!({ "added": name }))?);
    }
    output::note(&format!(
        "added `{name}`; a running gateway takes it up within a second"
    ));
    Ok(())
}

/// What the file would say.
fn described(args: &AddArgs) -> Result<Value, Failure> {
    let mut server = Map::new();
    if let Some(url) = &args.url {
        let mut headers = Map::new();
        for header in &args.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::Usage(format!(
                    "`{}` is not a header; write `Name: value`",
                    before(header, ' ')
                ))
            })?;
            headers.insert(name.trim().to_owned(), value.trim().into());
        }
        server.insert("url".to_owned(), url.as_str().into());
        if let Some(transport) = &args.transport {
            server.insert("transport".to_owned(), transport.as_str().into());
        }
        server.insert("headers".to_owned(), headers.into());
    }
    if let Some((program, rest)) = args.command.split_first() {
        let mut env = Map::new();
        for pair in &args.env {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("`{pair}` is not a variable; write `NAME=value`")))?;
            env.insert(name.to_owned(), value.into());
        }
        server.insert("command".to_owned(), program.as_str().into());
        server.insert("args".to_owned(), rest.into());
        server.insert("env".to_owned(), env.into());
    }
    Ok(server.into())
}

/// What may be said of a text that may hold a credential.
fn before(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or_default()
}

fn defined_in_file(base: &Base, name: &ServerName) -> Option<String> {
    base.config.root.servers.get(name.as_str())?;
    base.config.file.as_ref().map(|file| file.display().to_string())
}

async fn record(base: &Base, name: &ServerName, what: &'static str) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let event = Event {
        server: Some(name.clone()),
        ..Event::new(Action::ServerChange, Outcome::Ok)
    };
    let recorded = trail.record_durably(event.because(what)).await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}

/// One server and where it is defined.
struct Known {
    name: ServerName,
    server: Server,
    source: String,
}

async fn known(run: &Run) -> Result<Vec<Known>, Failure> {
    let config = run.config().await?;
    let file = config
        .file
        .as_ref()
        .map_or_else(String::new, |file| file.display().to_string());
    let configured = config.root.servers.iter().map(|row| Known {
        name: row.key.clone(),
        server: row.value.value.clone(),
        source: file.clone(),
    });
    let mut known: Vec<Known> = configured.collect();
    if !config.data_dir.exists() {
        // Looking makes nothing.
        return Ok(known);
    }
    let base = run.base().await?;
    for (name, server) in base.stored_servers().await? {
        if known.iter().any(|other| other.name == name) {
            output::note(&format!(
                "note: `{name}` was also added by command; the definition in {file} wins"
            ));
        } else {
            known.push(Known {
                name,
                server,
                source: "added".to_owned(),
            });
        }
    }
    base.store.close().await;
    Ok(known)
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a ServerName,
    source: &'a str,
    #[serde(flatten)]
    server: &'a Server,
}

impl Known {
    /// Everything about it, secrets hidden, in the order of the documentation.
    fn shown(&self) -> Shown<'_> {
        Shown {
            name: &self.name,
            source: &self.source,
            server: &self.server,
        }
    }

    /// What is reached, on one line, without anything that may be secret.
    fn target(&self) -> String {
        if let Some(url) = &self.server.url {
            return url.value.to_string();
        }
        let command = self
            .server
            .command
            .iter()
            .map(|command| command.value.to_string());
        command
            .chain(self.server.args.iter().map(|arg| arg.value.to_string()))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(super) async fn list(run: &Run) -> Result<(), Failure> {
    let known = known(run).await?;
    if run.is_json() {
        return Ok(output::json(&known.iter().map(Known::shown).collect::<Vec<_>>())?);
    }
    if known.is_empty() {
        output::note(
            "no servers yet: the built-in `demo` is shown; add one with `sallyport add NAME URL` or `sallyport add NAME -- COMMAND`",
        );
        return Ok(());
    }
    let rows: Vec<Vec<String>> = known
        .iter()
        .map(|k| {
            vec![
                k.name.to_string(),
                k.server.kind().to_owned(),
                k.target(),
                k.source.clone(),
            ]
        })
        .collect();
    Ok(output::text(&output::table(
        &["NAME", "KIND", "TARGET", "SOURCE"],
        &rows,
    ))?)
}

pub(super) async fn get(run: &Run, name: &ServerName) -> Result<(), Failure> {
    let known = known(run).await?;
    let found = known.iter().find(|server| server.name == *name);
    let server = found.ok_or_else(|| no_server(name))?.shown();
    if run.is_json() {
        return Ok(output::json(&server)?);
    }
    let json = serde_json::to_string(&server).map_err(anyhow::Error::from)?;
    Ok(output::text(&crate::config::yaml_of_what_is_set(&json))?)
}

pub(super) async fn remove(run: &Run, name: &ServerName) -> Result<(), Failure> {
    let base = run.base().await?;
    let stored = base
        .store
        .servers()
        .await?
        .iter()
        .any(|server| server.name == *name);
    if !stored {
        return Err(match defined_in_file(&base, name) {
            Some(file) => Failure::failed(format!("`{name}` is defined in {file}; remove it there")),
            None => no_server(name),
        });
    }
    record(&base, name, "removed by command").await?;
    base.store.remove_server(name).await?;
    base.store.close().await;
    let is_named = |profile: &Profile| profile.servers.iter().any(|server| server.value == name.as_str());
    for row in base
        .config
        .root
        .profiles
        .iter()
        .filter(|row| is_named(&row.value.value))
    {
        let slug = &row.key;
        output::note(&format!(
            "note: profile `{slug}` still names `{name}`; without it the file is refused at the next start"
        ));
    }
    if run.is_json() {
        return Ok(output::json(&json!({ "removed": name }))?);
    }
    output::note(&format!("removed `{name}`"));
    Ok(())
}

fn no_server(name: &ServerName) -> Failure {
    Failure::failed(format!(
        "there is no server `{name}`; `sallyport list` shows those that there are"
    ))
}
