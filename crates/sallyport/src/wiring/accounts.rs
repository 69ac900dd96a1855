//! Which servers are logged in at, and how.

use std::collections::BTreeMap;
use std::sync::Arc;

use sallyport_accounts::{ServerLogin, Settings};
use sallyport_core::ServerName;
use sallyport_core::capability::SignStatement;
use sallyport_proxy::spec::{EndpointSpec, Login, Transport};
use sallyport_vault::signing::StatementKey;

use super::plan::Sources;
use crate::config::auth::Mode;
use crate::config::server_auth::{Accounts, LoginMode};
use crate::config::servers::Server;
use crate::config::value::Sensitive;

/// Whether a server is called with accounts. Without people there are none but the gateway's own.
pub(super) fn login(sources: &Sources<'_>, transport: &Transport, server: &Server) -> Login {
    let Transport::Http { headers, .. } = transport else {
        return Login::Never;
    };
    let own = server.auth.accounts.value == Accounts::Gateway;
    if sources.config.root.auth.mode.value == Mode::None && !own {
        return Login::Never;
    }
    let personal = server.auth.accounts.value == Accounts::Personal;
    match server.auth.mode.value {
        LoginMode::Oauth => Login::Always,
        LoginMode::Auto if headers.is_empty() && !(server.is_shared() && personal) => Login::IfAsked,
        LoginMode::Auto | LoginMode::None => Login::Never,
    }
}

/// What the accounts are kept by.
pub(super) fn settings(
    sources: &Sources<'_>,
    servers: &BTreeMap<ServerName, (Server, Login)>,
    endpoints: &[EndpointSpec],
) -> Settings {
    let servers = servers.iter().filter_map(|(name, (server, login))| {
        let login = server_login(name, server, *login, endpoints)?;
        Some((name.clone(), Arc::new(login)))
    });
    Settings {
        origin: sources.origin.to_owned(),
        servers: servers.collect(),
    }
}

fn server_login(
    name: &ServerName,
    server: &Server,
    login: Login,
    endpoints: &[EndpointSpec],
) -> Option<ServerLogin> {
    let auth = &server.auth;
    let showing = endpoints
        .iter()
        .filter(|endpoint| endpoint.servers.contains(name));
    (login != Login::Never).then_some(())?;
    Some(ServerLogin {
        url: server.url.as_ref()?.value.url.clone(),
        is_certain: login == Login::Always,
        shared: auth.accounts.value == Accounts::Shared,
        own: auth.accounts.value == Accounts::Gateway,
        client_id: auth.client_id.as_ref().map(|id| id.value.value.clone()),
        client_secret: auth.client_secret.as_ref().map(|secret| secret.value.clone()),
        client_key: auth.client_key.as_ref().and_then(key),
        assertion_file: auth.assertion_file.as_ref().map(|file| file.value.0.clone()),
        issuer: auth.issuer.as_ref().map(|issuer| issuer.value.value.clone()),
        scopes: auth.scopes.clone(),
        users: showing.map(|endpoint| endpoint.rules.users.clone()).collect(),
    })
}

/// That it is a key was found when the configuration was read.
fn key(pem: &Sensitive) -> Option<Arc<dyn SignStatement>> {
    Some(Arc::new(StatementKey::from_pem(&pem.value).ok()?))
}
