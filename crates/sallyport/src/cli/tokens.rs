//! `token list`, `token revoke`, `token rotate`: what is good, and its end.

use std::collections::HashMap;

use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{ClientId, GrantId, UserId};
use sallyport_oauth::model::Grant;
use sallyport_vault::verifier::api_keys;
use serde_json::json;

use super::Failure;
use super::output;
use super::token::{CLIENT, no_user, record};
use super::verb::Run;
use crate::base::Base;
use crate::config::value::Period;

/// What a grant is for people.
fn kind(grant: &Grant, is_key: bool) -> &'static str {
    if is_key {
        "api-key"
    } else if grant.client == ClientId::new(CLIENT) {
        "command"
    } else {
        "login"
    }
}

pub(super) async fn list(run: &Run, user: Option<&str>) -> Result<(), Failure> {
    let base = run.base().await?;
    let users = base.store.users().await?;
    let mut grants = base.store.living_grants(base.clock.now()).await?;
    base.store.close().await;
    if let Some(name) = user {
        let found = users.iter().find(|user| user.name.eq_ignore_ascii_case(name));
        let id = &found.ok_or_else(|| no_user(name))?.id;
        grants.retain(|(grant, _)| grant.user == *id);
    }
    let names: HashMap<&UserId, &str> = users.iter().map(|user| (&user.id, &*user.name)).collect();
    let name = |grant: &Grant| {
        names
            .get(&grant.user)
            .map_or(grant.user.as_str(), |name| *name)
            .to_owned()
    };
    if run.is_json() {
        let rows = grants.iter().map(|(grant, is_key)| {
            json!({
                "id": grant.id.as_str(),
                "kind": kind(grant, *is_key),
                "user": name(grant),
                "client": grant.client,
                "resource": grant.resource,
                "scope": grant.scopes.to_string(),
                "created": output::when(grant.created),
                "expires": output::when(grant.expires),
            })
        });
        return Ok(output::json(&rows.collect::<Vec<_>>())?);
    }
    let rows = grants.iter().map(|(grant, is_key)| {
        vec![
            grant.id.to_string(),
            kind(grant, *is_key).to_owned(),
            name(grant),
            grant.resource.to_string(),
            grant.scopes.to_string(),
            output::when(grant.expires),
            grant.client.to_string(),
        ]
    });
    let headings = ["ID", "KIND", "USER", "FOR", "SCOPE", "EXPIRES", "CLIENT"];
    Ok(output::text(&output::table(
        &headings,
        &rows.collect::<Vec<_>>(),
    ))?)
}

/// The grant of this id, if it is alive, and whether it is that of an API key.
async fn find(base: &Base, id: &str) -> Result<(Grant, bool), Failure> {
    let grants = base.store.living_grants(base.clock.now()).await?;
    let found = grants.into_iter().find(|(grant, _)| grant.id.as_str() == id);
    found.ok_or_else(|| {
        Failure::failed(format!(
            "nothing good has the id `{id}`; `sallyport token list` shows what has"
        ))
    })
}

pub(super) async fn revoke(run: &Run, id: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let (grant, _) = find(&base, id).await?;
    record(&base, event(&grant, Action::Revoke)).await?;
    base.store.revoke_grant(&grant.id, base.clock.now()).await?;
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&json!({ "revoked": id }))?);
    }
    output::note("it is good for nothing from now on");
    Ok(())
}

pub(super) async fn rotate(run: &Run, id: &str, overlap: Period) -> Result<(), Failure> {
    let base = run.base().await?;
    let (old, is_key) = find(&base, id).await?;
    if !is_key {
        return Err(Failure::failed(format!(
            "`{id}` is no API key; a client renews its own tokens"
        )));
    }
    let now = base.clock.now();
    let grant = Grant {
        id: GrantId::generate(&*base.random),
        created: now,
        expires: now.plus(old.expires.since(old.created)),
        ..old.clone()
    };
    let (key, digest) = api_keys::new_key(&*base.vault, &*base.random);
    record(&base, event(&grant, Action::ApiKeyIssue).on(id)).await?;
    let replaces = Some((&old.id, now.plus(overlap.0)));
    base.store.insert_api_key(&grant, &digest, replaces).await?;
    if overlap.0.is_zero() {
        base.store.revoke_grant(&old.id, now).await?;
    }
    base.store.close().await;
    if run.is_json() {
        let value = json!({
            "id": grant.id.as_str(),
            "api_key": key.expose().as_str(),
            "expires": output::when(grant.expires),
        });
        return Ok(output::json(&value)?);
    }
    Ok(output::text(key.expose())?)
}

fn event(grant: &Grant, action: Action) -> Event {
    let event = Event {
        user: Some(grant.user.clone()),
        client: Some(grant.client.clone()),
        grant: Some(grant.id.clone()),
        ..Event::new(action, Outcome::Ok)
    };
    event.because("by command")
}
