//! `user add`, `user password`, `user groups`, `user list`, `user remove`.

use std::io::BufRead as _;
use std::io::Read as _;

use sallyport_core::audit::{Action, Audit as _, Event, Outcome};
use sallyport_core::capability::Passwords as _;
use sallyport_core::{Secret, UserId};
use sallyport_oauth::account::{MAX_PASSWORD, check_groups, check_name, check_password};
use sallyport_oauth::model::User;
use sallyport_oauth::provider::Identity;
use sallyport_store::{CreateUserError, GroupsSet, PasswordSet};
use sallyport_vault::password::Argon2id;
use serde_json::json;

use super::Failure;
use super::args::UserVerb;
use super::output;
use super::verb::Run;
use crate::base::Base;

pub(super) async fn run(run: &Run, verb: &UserVerb) -> Result<(), Failure> {
    match verb {
        UserVerb::Add {
            name, admin, groups, ..
        } => add(run, name, *admin, groups).await,
        UserVerb::Password { name, .. } => set_password(run, name).await,
        UserVerb::Groups { name, groups } => set_groups(run, name, groups).await,
        UserVerb::List => list(run).await,
        UserVerb::Remove { name } => remove(run, name).await,
    }
}

async fn add(run: &Run, name: &str, admin: bool, groups: &[String]) -> Result<(), Failure> {
    check_name(name).map_err(|error| Failure::Usage(error.to_string()))?;
    check_groups(groups).map_err(|error| Failure::Usage(error.to_string()))?;
    let password = new_password()?;
    let base = run.base().await?;
    let user = User {
        id: UserId::generate(&*base.random),
        name: name.to_owned(),
        admin,
        password: hashed(&base, &password)?,
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
    if !groups.is_empty() {
        base.store.set_groups(name, groups).await?;
    }
    record(&base, Action::UserCreate, &user).await?;
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&known(&user, None, groups))?);
    }
    output::note(&format!(
        "added {} `{name}`",
        if admin { "administrator" } else { "user" }
    ));
    Ok(())
}

async fn set_password(run: &Run, name: &str) -> Result<(), Failure> {
    let password = new_password()?;
    let base = run.base().await?;
    let hash = hashed(&base, &password)?;
    let (user, grants) = match base.store.set_password(name, &hash, base.clock.now()).await? {
        PasswordSet::Done { user, grants } => (user, grants.len()),
        PasswordSet::NoUser => return Err(Failure::failed(format!("there is no user `{name}`"))),
        PasswordSet::OfProvider => {
            return Err(Failure::failed(format!(
                "`{name}` comes from an identity provider, and has the password there"
            )));
        }
    };
    record(&base, Action::UserPassword, &user).await?;
    base.store.close().await;
    if run.is_json() {
        let value = json!({ "name": user.name, "grants_revoked": grants });
        return Ok(output::json(&value)?);
    }
    output::note(&format!(
        "`{}` has another password; browser sessions ended, {grants} grants revoked",
        user.name
    ));
    Ok(())
}

/// A password from standard input that may be one.
fn new_password() -> Result<Secret<String>, Failure> {
    let password = read_password()?;
    check_password(password.expose()).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(password)
}

fn hashed(base: &Base, password: &Secret<String>) -> Result<Secret<String>, Failure> {
    let hasher = Argon2id::new(base.random.clone()).map_err(anyhow::Error::from)?;
    Ok(hasher.hash(password).map_err(anyhow::Error::from)?)
}

async fn set_groups(run: &Run, name: &str, groups: &[String]) -> Result<(), Failure> {
    check_groups(groups).map_err(|error| Failure::Usage(error.to_string()))?;
    let base = run.base().await?;
    match base.store.set_groups(name, groups).await? {
        GroupsSet::Done => {}
        GroupsSet::NoUser => return Err(Failure::failed(format!("there is no user `{name}`"))),
        GroupsSet::OfProvider => {
            return Err(Failure::failed(format!(
                "`{name}` comes from an identity provider, which says the person's groups; change them there"
            )));
        }
    }
    let user = base.store.user_by_name(name).await?;
    let user = user.ok_or_else(|| Failure::failed(format!("there is no user `{name}`")))?;
    record(&base, Action::UserGroups, &user).await?;
    base.store.close().await;
    if run.is_json() {
        return Ok(output::json(&known(&user, None, groups))?);
    }
    output::note(&match groups {
        [] => format!("`{}` is in no group", user.name),
        some => format!("`{}` is in {}", user.name, some.join(", ")),
    });
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

/// With who the person is at an identity provider, or the groups of somebody local.
fn known(user: &User, identity: Option<&Identity>, groups: &[String]) -> serde_json::Value {
    let mut shown = shown(user);
    let Some(members) = shown.as_object_mut() else {
        return shown;
    };
    members.insert("groups".to_owned(), json!(groups));
    if let Some(identity) = identity {
        let value = json!({
            "provider": identity.provider,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "label": identity.label,
            "groups": identity.groups,
        });
        members.insert("groups".to_owned(), json!(identity.groups));
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
    let local = base.store.groups().await?;
    base.store.close().await;
    let groups = |user: &User| {
        let of = local.iter().find(|(id, _)| *id == user.id);
        of.map(|(_, groups)| groups.clone()).unwrap_or_default()
    };
    let identity = |user: &User| {
        identities
            .iter()
            .find(|(id, _)| *id == user.id)
            .map(|(_, who)| who)
    };
    if run.is_json() {
        let users = users
            .iter()
            .map(|user| known(user, identity(user), &groups(user)));
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
                identity(u)
                    .map_or_else(|| groups(u), |who| who.groups.clone())
                    .join(", "),
                output::when(u.created),
                u.id.to_string(),
                identity(u).map_or_else(String::new, called),
            ]
        })
        .collect();
    Ok(output::text(&output::table(
        &["NAME", "ROLE", "GROUPS", "CREATED", "ID", "AT THE PROVIDER"],
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
