//! Somebody whom a provider vouches for comes in, or not.

use std::sync::Arc;

use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{Secret, UserId};
use sallyport_oauth::flight::Rule;
use sallyport_oauth::model::User;
use sallyport_oauth::provider::Identity;
use sallyport_store::CreateUserError;

use crate::app::App;
use crate::context::Context;
use crate::login;
use crate::people::Provider;
use crate::problem::{Problem, internal};
use crate::settings::Settings;

/// Begins the browser session of a person who is listed, and goes on.
pub(super) async fn enter(
    app: &App,
    context: &Context,
    (provider, identity): (Provider<'_>, &Identity),
    next: &str,
) -> Result<Response, Problem> {
    let user = settled(app, context, (provider, identity)).await;
    if let Err(Problem::Unlisted { .. }) = &user {
        super::refused(context, next, Rule::PersonUnlisted);
    }
    let user = user?;
    app.limits.let_in(context.peer);
    login::enter(app, context, &user, next).await
}

/// The person as known here, made where that is the first time.
///
/// # Errors
/// [`Problem::Unlisted`] for somebody who is not on the list.
pub(crate) async fn settled(
    app: &App,
    context: &Context,
    (provider, identity): (Provider<'_>, &Identity),
) -> Result<User, Problem> {
    // Between the look and the write somebody else may take the name: then the second look finds it taken.
    for _ in 0..3 {
        if let Some(user) = settle(app, context, (provider, identity)).await? {
            return Ok(user);
        }
    }
    tracing::error!("a person could not be given a name");
    Err(Problem::Internal)
}

/// The person as known here, made where that is the first time; `None` if the name was taken meanwhile.
async fn settle(
    app: &App,
    context: &Context,
    (provider, identity): (Provider<'_>, &Identity),
) -> Result<Option<User>, Problem> {
    let (store, people) = (&app.parts.store, &context.settings.people);
    let known = store.user_of(&identity.issuer, &identity.subject).await;
    let known = known.map_err(internal("find the person"))?;
    let name = match &known {
        Some(user) => user.name.clone(),
        None => free_name(app, identity).await?,
    };
    if !people.admission.admits(identity, &name) {
        if let Some(known) = &known {
            // What the provider says now counts: sessions and tokens of before end by it.
            let renewed = store.renew_identity(&plain(known), identity, context.now).await;
            renewed.map_err(internal("renew a person"))?;
        }
        return Err(turn_away(app, context, (provider, identity), known.as_ref())?);
    }
    let admin = people.admins.admits(identity, &name);
    if let Some(known) = known {
        let user = User { admin, ..known };
        let renewed = store.renew_identity(&user, identity, context.now).await;
        renewed.map_err(internal("renew a person"))?;
        readmit(app, context, &user.id);
        return Ok(Some(user));
    }
    let user = User {
        id: UserId::generate(app.parts.random.as_ref()),
        name,
        admin,
        // No password opens it.
        password: Secret::from(""),
        created: context.now,
    };
    let event = Event {
        user: Some(user.id.clone()),
        ..context.event(Action::UserCreate, Outcome::Started)
    };
    app.record(event.on(user.name.as_str()).because(identity.sure_name()))
        .await?;
    match store.create_user_of(&user, identity, context.now).await {
        Ok(()) => Ok(Some(user)),
        Err(CreateUserError::NameTaken) => Ok(None),
        Err(CreateUserError::Store(error)) => Err(internal("keep a new person")(error)),
    }
}

/// The settings follow the store within a second; who is let in now is let in now.
fn readmit(app: &App, context: &Context, user: &UserId) {
    if !context.settings.people.barred.contains(user) {
        return;
    }
    app.parts.settings.rcu(|settings| {
        let mut settings = Settings::clone(settings);
        Arc::make_mut(&mut settings.people).barred.remove(user);
        settings
    });
}

fn plain(user: &User) -> User {
    User {
        admin: false,
        ..user.clone()
    }
}

/// The name that a newcomer gets: the one from the provider, if nobody here has had it.
async fn free_name(app: &App, identity: &Identity) -> Result<String, Problem> {
    let Some(wanted) = identity.wanted_name() else {
        return Ok(identity.sure_name());
    };
    let taken = app.parts.store.user_by_name(&wanted).await;
    let taken = taken.map_err(internal("look whether a name is taken"))?;
    Ok(if taken.is_some() {
        identity.sure_name()
    } else {
        wanted
    })
}

fn turn_away(
    app: &App,
    context: &Context,
    (provider, identity): (Provider<'_>, &Identity),
    known: Option<&User>,
) -> Result<Problem, Problem> {
    app.count("login_unlisted");
    let event = Event {
        user: known.map(|user| user.id.clone()),
        ..context.event(Action::Login, Outcome::Denied)
    };
    app.note(event.on(&identity.sure_name()).because("not on the list"))?;
    let sure = identity.sure_name();
    tracing::info!(person = sure, "a person who is not on the list was turned away");
    let name = match &identity.label {
        Some(label) => format!("{label} ({sure})"),
        None => sure,
    };
    Ok(Problem::Unlisted {
        provider: provider.label().to_owned(),
        name,
    })
}
