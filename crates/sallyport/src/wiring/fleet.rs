//! The servers that there are, from file and commands.

use std::collections::BTreeMap;

use sallyport_core::ServerName;
use sallyport_proxy::spec::{Login, Processes, Protocol, ServerLimits, ServerSpec, Transport};

use super::accounts;
use super::plan::Sources;
use crate::config::servers::Server;

/// The name of the built-in server.
const DEMO: &str = "demo";

/// The servers of the file, then those that were added by command under other names, or the demo if there are none.
pub(super) fn servers(sources: &Sources<'_>, notes: &mut Vec<String>) -> Vec<ServerSpec> {
    let configured = &sources.config.root.servers;
    let mut specs: Vec<ServerSpec> = configured
        .iter()
        .filter_map(|row| spec(&row.key, &row.value.value, sources))
        .collect();
    for (name, server) in sources.stored {
        if configured.get(name.as_str()).is_some() {
            notes.push(format!(
                "server `{name}` was also added by command; the definition in the file wins"
            ));
        } else {
            specs.extend(spec(name, server, sources));
        }
    }
    if specs.is_empty()
        && let Ok(name) = ServerName::parse(DEMO)
    {
        specs.push(finished(name, Transport::Demo, &Server::default(), sources));
    }
    specs
}

/// The servers that people can have accounts at, as they were configured.
pub(super) fn logins(sources: &Sources<'_>) -> BTreeMap<ServerName, (Server, Login)> {
    let stored = sources.stored.iter().map(|(name, server)| (name, server));
    let file = sources.config.root.servers.iter();
    let all = stored.chain(file.map(|row| (&row.key, &row.value.value)));
    let logins = all.filter_map(|(name, server)| {
        let login = accounts::login(sources, &server.reached()?, server);
        Some((name.clone(), (server.clone(), login)))
    });
    logins.collect()
}

fn spec(name: &ServerName, server: &Server, sources: &Sources<'_>) -> Option<ServerSpec> {
    let transport = server.reached()?;
    Some(finished(name.clone(), transport, server, sources))
}

fn finished(name: ServerName, transport: Transport, server: &Server, sources: &Sources<'_>) -> ServerSpec {
    let login = accounts::login(sources, &transport, server);
    let mut spec = ServerSpec {
        name,
        transport,
        protocol: Protocol::from(server.protocol.value),
        shared: server.is_shared(),
        login,
        processes: Processes::from(server),
        limits: ServerLimits::from(&server.limits),
        fingerprint: [0; 32],
    };
    // Keyed, because what goes in holds credentials.
    spec.fingerprint = sources.derive.derive("server/fingerprint", &canonical(&spec));
    spec
}

/// Everything about a server as bytes, each part with its length, so that different servers have different bytes.
fn canonical(spec: &ServerSpec) -> Vec<u8> {
    let mut out = Vec::new();
    let mut part = |bytes: &[u8]| {
        out.extend_from_slice(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    part(spec.name.as_str().as_bytes());
    let plain = (
        spec.protocol,
        spec.shared,
        spec.login,
        spec.processes,
        spec.limits,
    );
    part(format!("{plain:?}").as_bytes());
    match &spec.transport {
        Transport::Http { url, headers, form } => {
            part(b"http");
            part(format!("{form:?}").as_bytes());
            part(url.as_str().as_bytes());
            for (name, value) in headers {
                part(name.as_bytes());
                part(value.expose().as_bytes());
            }
        }
        Transport::WebSocket { url, headers } => {
            part(b"ws");
            part(url.as_str().as_bytes());
            for (name, value) in headers {
                part(name.as_bytes());
                part(value.expose().as_bytes());
            }
        }
        Transport::Tcp { url, token } => {
            part(b"tcp");
            part(url.as_str().as_bytes());
            part(token.expose().as_bytes());
        }
        Transport::Stdio {
            command,
            args,
            env,
            cwd,
        } => {
            part(b"stdio");
            part(command.as_bytes());
            part(
                cwd.as_ref()
                    .map_or(b"".as_slice(), |cwd| cwd.as_os_str().as_encoded_bytes()),
            );
            part(&u64::try_from(args.len()).unwrap_or(u64::MAX).to_be_bytes());
            args.iter().for_each(|arg| part(arg.as_bytes()));
            for (name, value) in env {
                part(name.as_bytes());
                part(value.expose().as_bytes());
            }
        }
        Transport::Demo => part(b"demo"),
    }
    out
}
