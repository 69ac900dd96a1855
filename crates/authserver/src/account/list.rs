//! What the account page lists.

use std::collections::HashMap;

use sallyport_core::{ClientId, Scope, Timestamp};
use sallyport_oauth::client_document::is_document;
use sallyport_oauth::model::{Client, Grant};
use sallyport_oauth::{display, redirect};

use super::AccountForm;
use crate::app::App;
use crate::browser::LoggedIn;
use crate::context::Context;
use crate::credentials::Kind;
use crate::form;
use crate::pages::{AccountApp, AccountSession};
use crate::problem::{Problem, internal};

/// The most entries of each kind that are shown; the newest.
const SHOWN: usize = 200;

/// The client of tokens that the operator issues by command.
const COMMAND_LINE: &str = "sallyport-cli";

/// Apps and browsers, newest first.
pub(super) async fn all(
    app: &App,
    context: &Context,
    person: &LoggedIn,
) -> Result<(Vec<AccountApp>, Vec<AccountSession>), Problem> {
    let store = &app.parts.store;
    let grants = store.grants_of(&person.user.id).await;
    let grants = grants.map_err(internal("find the grants"))?;
    let alive = |grant: &Grant| grant.revoked.is_none() && grant.expires > context.now;
    let mut clients: HashMap<ClientId, Option<Client>> = HashMap::new();
    let mut apps = Vec::new();
    for grant in grants.into_iter().filter(alive).take(SHOWN) {
        if !clients.contains_key(&grant.client) {
            let client = store.client(&grant.client).await;
            let client = client.map_err(internal("find the client"))?;
            clients.insert(grant.client.clone(), client);
        }
        let client = clients.get(&grant.client).and_then(Option::as_ref);
        apps.push(shown(app, context, person, (&grant, client)));
    }
    let sessions = store.browser_sessions_of(&person.user.id).await;
    let sessions = sessions.map_err(internal("find the browser sessions"))?;
    let own = app.parts.digest(Kind::Session, person.secret.as_bytes());
    let alive = sessions.into_iter().filter(|session| {
        session.expires > context.now && context.now.since(session.seen) <= context.settings.browser_idle
    });
    let sessions = alive.take(SHOWN).map(|session| AccountSession {
        began: ago(context.now, session.created),
        seen: ago(context.now, session.seen),
        is_own: session.digest == own,
        transaction: seal(app, person, &AccountForm::EndSession(session.digest)),
    });
    Ok((apps, sessions.collect()))
}

fn shown(
    app: &App,
    context: &Context,
    person: &LoggedIn,
    (grant, client): (&Grant, Option<&Client>),
) -> AccountApp {
    let is_command = grant.client.as_str() == COMMAND_LINE;
    let name = if is_command {
        Some("A token from the command line".to_owned())
    } else if is_document(&grant.client) {
        Some(redirect::destination(grant.client.as_str()))
    } else {
        client.and_then(display::client_name)
    };
    let destinations = client
        .map(|client| client.redirect_uris.as_slice())
        .unwrap_or_default();
    let mut destinations: Vec<String> = destinations
        .iter()
        .map(|uri| redirect::destination(uri))
        .collect();
    destinations.dedup();
    let info = context.settings.info(&grant.resource);
    AccountApp {
        name,
        unverified: !is_command,
        destinations: destinations.join(", "),
        label: info.map(|info| info.label.clone()).unwrap_or_default(),
        resource: grant.resource.as_str().to_owned(),
        scopes: grant
            .scopes
            .iter()
            .map(Scope::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        began: ago(context.now, grant.created),
        left: display::duration(grant.expires.since(context.now)),
        transaction: seal(app, person, &AccountForm::EndGrant(grant.id.clone())),
    }
}

fn seal(app: &App, person: &LoggedIn, form: &AccountForm) -> String {
    form::seal(app.parts.sealer.as_ref(), &person.secret, form)
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    let since = now.since(then);
    if since.as_secs() < 60 {
        "just now".to_owned()
    } else {
        format!("{} ago", display::duration(since))
    }
}
