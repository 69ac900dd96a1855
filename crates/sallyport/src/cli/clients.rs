//! `client list`, `client show`, `client create`, `client token`, `client revoke`, `client delete`.

use std::path::Path;

use sallyport_authserver::{Settings, credentials};
use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::{ClientId, ProfileSlug, Secret};
use sallyport_oauth::client_document;
use sallyport_oauth::display;
use sallyport_oauth::model::Client;
use sallyport_oauth::own_name;
use sallyport_oauth::redirect::DEFAULT_PRIVATE_SCHEMES;
use sallyport_oauth::registration::{self, INTROSPECTS, Policy, Registration};
use sallyport_store::{Maker, RegistrationToken};
use serde_json::{Map, Value, json};

use super::Failure;
use super::args::{ClientVerb, NewClient};
use super::logins;
use super::output;
use super::token;
use super::verb::Run;
use crate::base::Base;

pub(super) async fn run(run: &Run, verb: &ClientVerb) -> Result<(), Failure> {
    match verb {
        ClientVerb::List => list(run).await,
        ClientVerb::Show { id } => show(run, id).await,
        ClientVerb::Create(new) => create(run, new).await,
        ClientVerb::Token { id } => renew(run, id).await,
        ClientVerb::Logins { id } => logins::run(run, id.as_deref()).await,
        ClientVerb::Revoke { id } => revoke(run, id).await,
        ClientVerb::Delete { id } => delete(run, id).await,
    }
}

async fn list(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let clients = base.store.clients().await?;
    base.store.close().await;
    if run.is_json() {
        let shown: Vec<_> = clients
            .iter()
            .map(|(client, maker)| described(client, *maker))
            .collect();
        return Ok(output::json(&shown)?);
    }
    let rows: Vec<_> = clients
        .iter()
        .map(|(client, maker)| {
            vec![
                client.id.to_string(),
                display::client_name(client).unwrap_or_default(),
                made_by(*maker).to_owned(),
                method(client),
                output::when(client.registered),
                client.last_used.map_or_else(|| "never".to_owned(), output::when),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "NAME",
        "MADE BY",
        "AUTHENTICATION",
        "REGISTERED",
        "LAST USED",
    ];
    Ok(output::text(&output::table(&headings, &rows))?)
}

async fn show(run: &Run, id: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let clients = base.store.clients().await?;
    base.store.close().await;
    let found = clients.iter().find(|(client, _)| client.id.as_str() == id);
    let (client, maker) = found.ok_or_else(|| unknown(id))?;
    // What is registered has no columns: it is JSON either way.
    Ok(output::json(&described(client, *maker))?)
}

async fn create(run: &Run, new: &NewClient) -> Result<(), Failure> {
    let body = Value::Object(members(new)?).to_string();
    let base = run.base().await?;
    for profile in new.introspect.iter().chain(&new.profile) {
        token::check_profile(&base, profile)?;
    }
    let schemes = base.config.root.auth.private_schemes.clone();
    let schemes =
        schemes.unwrap_or_else(|| DEFAULT_PRIVATE_SCHEMES.iter().map(|s| (*s).to_owned()).collect());
    let policy = Policy {
        private_schemes: &schemes,
        scopes: &Settings::scopes(),
        is_operator: true,
    };
    let accepted =
        Registration::read(body.as_bytes(), policy).map_err(|error| Failure::Usage(error.to_string()))?;
    let secret = accepted
        .needs_secret()
        .then(|| credentials::client_secret(&*base.vault, &*base.random));
    let id = ClientId::generate(&*base.random);
    let digest = secret.as_ref().map(|(_, digest)| *digest);
    let client = accepted.into_client(id, digest, base.clock.now());
    record(&base, Action::ClientRegister, &client.id, &new.name).await?;
    base.store.register_client(&client, Maker::Operator, None).await?;
    base.store.close().await;
    let secret = secret.map(|(secret, _)| secret);
    if run.is_json() {
        return Ok(output::json(&registration::answer(
            &client,
            secret.as_ref(),
            None,
        ))?);
    }
    let mut text = format!("client_id: {}\n", client.id);
    if let Some(secret) = &secret {
        text.push_str(&format!("client_secret: {}\n", secret.expose()));
        output::note("the secret is shown this once; only its hash is kept");
    }
    Ok(output::text(&text)?)
}

/// The registration as the client itself would have sent it, and what only the operator may say.
fn members(new: &NewClient) -> Result<Map<String, Value>, Failure> {
    let mut members = Map::new();
    members.insert("client_name".into(), new.name.as_str().into());
    members.insert("token_endpoint_auth_method".into(), new.auth.as_str().into());
    members.insert("redirect_uris".into(), new.redirect_uri.clone().into());
    if let Some(file) = &new.jwks {
        members.insert("jwks".into(), read_keys(file)?);
    }
    if let Some(scope) = &new.scope {
        let mut words = scope.split(' ').filter(|word| !word.is_empty());
        let all = Settings::scopes();
        if scope.trim().is_empty() || words.any(|word| !all.contains(word)) {
            return Err(Failure::Usage(
                "--scope takes mcp, mcp:read, mcp:write, mcp:SERVER:read and mcp:SERVER:write".to_owned(),
            ));
        }
        members.insert("scope".into(), scope.as_str().into());
    }
    if !new.grant.is_empty() {
        let coded = ["authorization_code", "refresh_token"];
        let coded = coded.iter().filter(|_| !new.redirect_uri.is_empty()).copied();
        let grants: Vec<&str> = coded.chain(new.grant.iter().map(String::as_str)).collect();
        members.insert("grant_types".into(), grants.into());
        members.insert(own_name::RESOURCES.into(), paths(&new.profile).into());
    }
    if !new.introspect.is_empty() {
        members.insert(INTROSPECTS.into(), paths(&new.introspect).into());
    }
    Ok(members)
}

/// Where the profiles are.
fn paths(profiles: &[ProfileSlug]) -> Vec<String> {
    let mut paths = Vec::new();
    for profile in profiles {
        if profile.as_str() == "default" {
            paths.push("/mcp".to_owned());
        }
        paths.push(format!("/mcp/{profile}"));
    }
    paths
}

fn read_keys(file: &Path) -> Result<Value, Failure> {
    let text =
        std::fs::read(file).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::Usage(format!("{} is no JWK Set: {error}", file.display())))
}

/// Gives a registration another token; the former one ends.
async fn renew(run: &Run, id: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let id = ClientId::new(id);
    let (token, digest) = credentials::registration_token(&*base.vault, &*base.random);
    let lifetime = base.config.root.auth.client_lifetime.0;
    let expires = (!lifetime.is_zero()).then(|| base.clock.now().plus(lifetime));
    let name = name_of(&base, &id).await?;
    record(&base, Action::ClientUpdate, &id, &name).await?;
    let kept = RegistrationToken { digest, expires };
    if !base.store.put_registration_token(&id, &kept).await? {
        return Err(unknown(id.as_str()));
    }
    let uri = token::origin(&base)
        .ok()
        .map(|origin| format!("{origin}/register/{id}"));
    base.store.close().await;
    print_token(run, &token, uri)
}

/// The name that a registration goes by.
async fn name_of(base: &Base, id: &ClientId) -> Result<String, Failure> {
    let client = base.store.client(id).await?;
    let client = client.ok_or_else(|| unknown(id.as_str()))?;
    Ok(display::client_name(&client).unwrap_or_default())
}

fn print_token(run: &Run, token: &Secret<String>, uri: Option<String>) -> Result<(), Failure> {
    if run.is_json() {
        let value = json!({ "registration_access_token": token.expose(), "registration_client_uri": uri });
        return Ok(output::json(&value)?);
    }
    Ok(output::text(token.expose())?)
}

async fn delete(run: &Run, id: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let id = ClientId::new(id);
    let name = name_of(&base, &id).await?;
    record(&base, Action::ClientDelete, &id, &name).await?;
    let ended = base.store.delete_client(&id, base.clock.now()).await?;
    base.store.close().await;
    let grants = ended.ok_or_else(|| unknown(id.as_str()))?.len();
    if run.is_json() {
        return Ok(output::json(&json!({ "deleted": id, "grants_revoked": grants }))?);
    }
    output::note(&format!("deleted `{id}`; {grants} grants revoked"));
    Ok(())
}

async fn revoke(run: &Run, id: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let id = ClientId::new(id);
    // A client with a document is not registered.
    let known = base.store.client(&id).await?;
    if known.is_none() && !client_document::is_document(&id) {
        return Err(unknown(id.as_str()));
    }
    let name = known.as_ref().and_then(display::client_name).unwrap_or_default();
    record(&base, Action::Revoke, &id, &name).await?;
    let grants = base.store.revoke_client(&id, base.clock.now()).await?.len();
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&json!({ "revoked": id, "grants_revoked": grants }))?);
    }
    output::note(&format!("`{id}` has nothing any more; {grants} grants revoked"));
    Ok(())
}

async fn record(base: &Base, action: Action, client: &ClientId, name: &str) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let event = Event {
        client: Some(client.clone()),
        ..Event::new(action, Outcome::Ok)
    };
    let recorded = trail.record_durably(event.on(name).because("by command")).await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}

fn described(client: &Client, maker: Maker) -> Value {
    let mut described = registration::answer(client, None, None);
    described.insert("made_by".into(), made_by(maker).into());
    described.insert("last_used".into(), client.last_used.map(output::when).into());
    Value::Object(described)
}

fn made_by(maker: Maker) -> &'static str {
    match maker {
        Maker::Client => "itself",
        Maker::Operator => "operator",
    }
}

fn method(client: &Client) -> String {
    let method = client.metadata.get("token_endpoint_auth_method");
    method.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn unknown(id: &str) -> Failure {
    Failure::failed(format!(
        "there is no client `{id}`; `sallyport client list` shows those that there are"
    ))
}
