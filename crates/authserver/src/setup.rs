//! `/setup`: the one-time link with which the first administrator makes an account.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{Secret, UserId};
use sallyport_oauth::Params;
use sallyport_oauth::account::{self, MAX_NAME};
use sallyport_oauth::model::User;
use sallyport_store::{CreateUserError, StoreError};

use crate::app::{App, Parts, Shared};
use crate::context::Context;
use crate::cookie::Cookie;
use crate::credentials::Kind;
use crate::form::{self, SetupForm};
use crate::problem::{Problem, internal};
use crate::{body, browser, login, pages};

/// The setup link for the banner, while there is no administrator. Each call makes a new link and ends the old one.
///
/// # Errors
/// [`StoreError`] if the store failed.
pub async fn setup_link(parts: &Parts) -> Result<Option<Secret<String>>, StoreError> {
    if parts.store.has_admin().await? {
        return Ok(None);
    }
    let settings = parts.settings.load_full();
    let (secret, digest) = parts.new_secret(Kind::Setup);
    parts
        .store
        .put_setup(&digest, parts.clock.now().plus(settings.setup_ttl))
        .await?;
    Ok(Some(Secret::new(format!(
        "{}/setup?link={}",
        settings.issuer,
        secret.expose()
    ))))
}

/// `GET /setup?link=SECRET`. It uses nothing up, and does not tell a wrong link from a right one.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let params = Params::parse(context.query.as_bytes()).map_err(|_| Problem::SetupOver)?;
    let link = params.one("link").ok().flatten().ok_or(Problem::SetupOver)?;
    if app
        .parts
        .store
        .has_admin()
        .await
        .map_err(internal("look for an administrator"))?
    {
        return Err(Problem::SetupOver);
    }
    Ok(show(&app, &context, (link, ""), None))
}

/// `POST /setup`.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let field = |name| {
        params
            .one(name)
            .map(Option::unwrap_or_default)
            .map_err(|_| Problem::BadForm)
    };
    let binding = context.browser.as_deref().ok_or(Problem::ForeignForm)?;
    let sealed = field("transaction")?;
    let form: SetupForm = form::receive(app.parts.sealer.as_ref(), &context, binding, sealed)?;
    let (name, password) = (field("username")?.trim(), field("password")?);
    if let Err(error) = account::check_name(name).and_then(|()| account::check_password(password)) {
        let shown = if name.len() <= MAX_NAME { name } else { "" };
        return Ok(show(
            &app,
            &context,
            (&form.link, shown),
            Some(&error.to_string()),
        ));
    }
    app.limits
        .anonymous(context.peer, context.now)
        .map_err(Problem::Throttled)?;
    if app
        .parts
        .store
        .has_admin()
        .await
        .map_err(internal("look for an administrator"))?
    {
        return Err(Problem::SetupOver);
    }
    match create(&app, &context, (&form.link, name, password)).await? {
        Created::Yes(user) => login::enter(&app, &context, &user, "/").await,
        Created::NameTaken => {
            let message = "Somebody without rights has that name already. Choose another.";
            Ok(show(&app, &context, (&form.link, name), Some(message)))
        }
        Created::LinkOver => {
            app.count("setup_refused");
            Err(Problem::SetupOver)
        }
    }
}

enum Created {
    Yes(User),
    NameTaken,
    LinkOver,
}

async fn create(
    app: &App,
    context: &Context,
    (link, name, password): (&str, &str, &str),
) -> Result<Created, Problem> {
    let user = User {
        id: UserId::generate(app.parts.random.as_ref()),
        name: name.to_owned(),
        admin: true,
        password: app.hashing.hash(Secret::from(password)).await?,
        created: context.now,
    };
    let event = |outcome| {
        Event {
            user: Some(user.id.clone()),
            ..context.event(Action::Setup, outcome)
        }
        .on(name)
    };
    app.record(event(Outcome::Started)).await?;
    let digest = app.parts.digest(Kind::Setup, link.as_bytes());
    let made = match app
        .parts
        .store
        .create_first_admin(&digest, &user, context.now)
        .await
    {
        Ok(made) => made,
        Err(CreateUserError::NameTaken) => return Ok(Created::NameTaken),
        Err(CreateUserError::Store(error)) => return Err(internal("create the administrator")(error)),
    };
    app.record(event(if made { Outcome::Ok } else { Outcome::Denied }))
        .await?;
    Ok(if made {
        Created::Yes(user)
    } else {
        Created::LinkOver
    })
}

fn show(app: &App, context: &Context, (link, username): (&str, &str), message: Option<&str>) -> Response {
    let (binding, fresh) = browser::form_binding(app, context);
    let transaction = form::seal(
        app.parts.sealer.as_ref(),
        &binding,
        &SetupForm {
            link: link.to_owned(),
        },
    );
    let status = if message.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let page = pages::Setup {
        username,
        transaction: &transaction,
        message,
    };
    let mut response = pages::page(status, &page, None);
    if let Some(fresh) = fresh {
        browser::set_cookie(&mut response, context, Cookie::Browser, Some(&fresh));
    }
    response
}
