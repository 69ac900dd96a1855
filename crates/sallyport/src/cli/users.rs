//! `user add`, `user list`, `user remove`.

use std::io::BufRead as _;
use std::io::Read as _;

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::capability::Passwords as _;
use sallyport_core::{Secret, UserId};
use sallyport_oauth::account::{MAX_PASSWORD, check_name, check_password};
use sallyport_oauth::model::User;
use sallyport_oauth::provider::Identity;
use sallyport_store::CreateUserError;
use sallyport_vault::password::Argon2id;
use serde_json::json;

use super::Failure;
use super::args::UserVerb;
use super::output;
use super::verb::Run;
use crate::base::Base;

pub(super) async fn run(run: &Run, verb: &UserVerb) -> Result<(), Failure> {
    match verb {
        UserVerb::Add { name, admin, .. } => add(run, name, *admin).await,
        UserVerb::List => list(run).await,
        UserVerb::Remove { name } => remove(run, name).await,
    }
}

async fn add(run: &Run, name: &str, admin: bool) -> Result<(), Failure> {
    check_name(name).map_err(|error| Failure::Usage(error.to_string()))?;
    let password = read_password()?;
    check_password(password.expose()).map_err(|error| Failure::Usage(error.to_string()))?;
    let base = run.base().await?;
    let hasher = Argon2id::new(base.random.clone()).map_err(anyhow::Error::from)?;
    let user = User {
        id: UserId::generate(&*base.random),
        name: name.to_owned(),
        admin,
        password: hasher.hash(&password).map_err(anyhow::Error::from)?,
        created: base.clock.now(),
    };
    match base.store.create_user(&user).await {
        Ok(()) => {}
        Err(CreateUserError::NameTaken) => {
            return Err(Failure::failed(format!(
                "there is a user `{name}` already; choose another name"
            )));
        }
        Err(CreateUserError::Store(error)) => return Err(error.into()),
    }
    record(&base, Action::UserCreate, &user).await?;
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&shown(&user))?);
    }
    output::note(&format!(
        "added {} `{name}`",
        if admin { "administrator" } else { "user" }
    ));
    Ok(())
}

/// The first line of standard input.
fn read_password() -> Result<Secret<String>, Failure> {
    // One byte more than is allowed, and the line break.
    let limit = u64::try_from(MAX_PASSWORD + 3).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    std::io::stdin().lock().take(limit).read_until(b'\n', &mut line)?;
    let line = Secret::new(line);
    let text = std::str::from_utf8(line.expose());
    let text = text.map_err(|_| Failure::Usage("the password is not UTF-8 text".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::Usage(
            "standard input holds no password; write it as the first line".to_owned(),
        ));
    }
    Ok(Secret::from(text))
}

async fn record(base: &Base, action: Action, user: &User) -> Result<(), Failure> {
    let trail = base.trail().await?;
    let event = Event {
        user: Some(user.id.clone()),
        ..Event::new(action, Outcome::Ok)
    };
    let recorded = trail
        .record_durably(event.on(&user.name).because("by command"))
        .await;
    trail.shutdown().await;
    recorded.map_err(|error| Failure::Failed(error.into()))
}

fn shown(user: &User) -> serde_json::Value {
    json!({ "id": user.id, "name": user.name, "admin": user.admin, "created": output::when(user.created) })
}

/// With who the person is at an identity provider.
fn known(user: &User, identity: Option<&Identity>) -> serde_json::Value {
    let mut shown = shown(user);
    if let (Some(identity), Some(members)) = (identity, shown.as_object_mut()) {
        let value = json!({
            "provider": identity.provider,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "label": identity.label,
            "groups": identity.groups,
        });
        members.insert("identity".to_owned(), value);
    }
    shown
}

/// `github:id:583231, now octocat`.
fn called(identity: &Identity) -> String {
    let id = identity.sure_name();
    match &identity.label {
        Some(label) => format!("{id}, now {label}"),
        None => id,
    }
}

async fn list(run: &Run) -> Result<(), Failure> {
    let base = run.base().await?;
    let users = base.store.users().await?;
    let identities = base.store.identities().await?;
    base.store.close().await;
    let identity = |user: &User| {
        identities
            .iter()
            .find(|(id, _)| *id == user.id)
            .map(|(_, who)| who)
    };
    if run.is_json() {
        let users = users.iter().map(|user| known(user, identity(user)));
        return Ok(output::json(&users.collect::<Vec<_>>())?);
    }
    if users.is_empty() {
        output::note(
            "no users yet: open the setup link that `sallyport serve` prints, or use `sallyport user add`",
        );
        return Ok(());
    }
    let role = |user: &User| if user.admin { "admin" } else { "user" };
    let rows: Vec<_> = users
        .iter()
        .map(|u| {
            vec![
                u.name.clone(),
                role(u).to_owned(),
                output::when(u.created),
                u.id.to_string(),
                identity(u).map_or_else(String::new, called),
            ]
        })
        .collect();
    Ok(output::text(&output::table(
        &["NAME", "ROLE", "CREATED", "ID", "AT THE PROVIDER"],
        &rows,
    ))?)
}

async fn remove(run: &Run, name: &str) -> Result<(), Failure> {
    let base = run.base().await?;
    let removed = base.store.remove_user(name, base.clock.now()).await?;
    let removed = removed.ok_or_else(|| Failure::failed(format!("there is no user `{name}`")))?;
    record(&base, Action::UserRemove, &removed.user).await?;
    base.store.close().await;
    if run.is_json() {
        let value = json!({ "removed": removed.user.name, "grants_revoked": removed.grants.len() });
        return Ok(output::json(&value)?);
    }
    output::note(&format!(
        "removed `{}`; {} grants revoked",
        removed.user.name,
        removed.grants.len()
    ));
    Ok(())
}
