//! `/login`: local users by name and password, and the buttons of the identity providers.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::Response;
use sallyport_core::Secret;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_oauth::account::{MAX_NAME, MAX_PASSWORD};
use sallyport_oauth::flight::{Point, Refused, Rule, Step};
use sallyport_oauth::model::User;
use sallyport_oauth::rate::Wait;
use sallyport_oauth::{Params, display, redirect, return_path};

use crate::app::{App, Shared};
use crate::context::Context;
use crate::cookie::Cookie;
use crate::form::{self, LOGIN_MAX_AGE, LoginForm};
use crate::people::Provider;
use crate::problem::{Problem, internal};
use crate::{body, browser, flow, pages};

/// Why the form is shown again.
enum Again {
    /// Name or password is wrong; which of them is not said (LG-02).
    Wrong,
    /// Longer than any name or password is.
    Long,
    /// Too many tries.
    Throttled(Wait),
}

/// `GET /login?next=PATH`.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let params = Params::parse(context.query.as_bytes()).map_err(|_| Problem::BadForm)?;
    let next = params.one("next").map_err(|_| Problem::BadForm)?;
    let next = destination(next.unwrap_or("/"), &context);
    if next == "/" && logged_in(&app, &context).await? {
        return flow::see_other("/");
    }
    show(&app, &context, (&next, ""), None).await
}

/// `POST /login`.
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
    let form: LoginForm = form::receive(app.parts.sealer.as_ref(), &context, binding, sealed)?;
    if context.now.since(form.opened) > LOGIN_MAX_AGE {
        return Err(Problem::StaleForm);
    }
    let (name, password) = (field("username")?.trim(), field("password")?);
    let again = match check(&app, &context, (name, password)).await? {
        Ok(user) => return enter(&app, &context, &user, &form.next).await,
        Err(again) => again,
    };
    let rule = match again {
        Again::Wrong | Again::Long => Rule::PasswordWrong,
        Again::Throttled(_) => Rule::LoginThrottled,
    };
    saw(&context, &form.next, Refused::at(Point::Person, rule).into());
    let shown = if name.len() <= MAX_NAME { name } else { "" };
    show(&app, &context, (&form.next, shown), Some(again)).await
}

/// Who the name and password belong to.
async fn check(
    app: &App,
    context: &Context,
    (name, password): (&str, &str),
) -> Result<Result<User, Again>, Problem> {
    if name.len() > MAX_NAME || password.len() > MAX_PASSWORD {
        return Ok(Err(Again::Long));
    }
    if let Err(wait) = app.limits.login(name, context.peer, context.now) {
        app.count("login_throttled");
        app.note(
            context
                .event(Action::Login, Outcome::Denied)
                .because("too many tries"),
        )?;
        return Ok(Err(Again::Throttled(wait)));
    }
    let user = app
        .parts
        .store
        .user_by_name(name)
        .await
        .map_err(internal("find the user"))?;
    // Who comes through a provider has no password; trying takes as long as for a name that nobody has.
    let hash = user.as_ref().map(|user| user.password.clone());
    let hash = hash.filter(|hash| !hash.expose().is_empty());
    let good = app.hashing.verify(Secret::from(password), hash).await?;
    match user {
        Some(user) if good => {
            app.limits.logged_in(name, context.peer);
            Ok(Ok(user))
        }
        user => {
            app.count("login_failed");
            let known = user.map(|user| user.id);
            // A name that nobody has is not recorded: people type passwords into the wrong field.
            let reason = if known.is_some() {
                "wrong password"
            } else {
                "no such user"
            };
            app.note(
                Event {
                    user: known,
                    ..context.event(Action::Login, Outcome::Denied)
                }
                .because(reason),
            )?;
            Ok(Err(Again::Wrong))
        }
    }
}

/// Begins the browser session and goes on.
pub(crate) async fn enter(
    app: &App,
    context: &Context,
    user: &User,
    next: &str,
) -> Result<Response, Problem> {
    let event = Event {
        user: Some(user.id.clone()),
        ..context.event(Action::Login, Outcome::Ok)
    };
    app.record(event).await?;
    let secret = browser::begin(app, context, user)
        .await
        .map_err(internal("begin a browser session"))?;
    saw(context, next, Step::LoggedIn);
    let mut response = flow::see_other(next)?;
    browser::set_cookie(&mut response, context, Cookie::Session, Some(secret.expose()));
    Ok(response)
}

/// Takes a step down, if an authorization request waits behind the log-in.
pub(crate) fn saw(context: &Context, next: &str, step: Step) {
    let params = return_path::authorize_query(next).and_then(|query| Params::parse(query.as_bytes()).ok());
    if let Some(params) = params {
        context.saw(|keys| (keys.params(&params), step));
    }
}

async fn logged_in(app: &App, context: &Context) -> Result<bool, Problem> {
    let person = browser::current(app, context)
        .await
        .map_err(internal("find the browser session"))?;
    Ok(person.is_some())
}

/// Where to go afterwards: a path of ours, and an authorization request in the form that it has after a log-in.
pub(crate) fn destination(next: &str, context: &Context) -> String {
    let Some(next) = return_path::checked(next) else {
        return "/".to_owned();
    };
    let query = return_path::authorize_query(next).and_then(|query| Params::parse(query.as_bytes()).ok());
    query.map_or_else(
        || next.to_owned(),
        |params| {
            format!(
                "/authorize?{}",
                flow::after_login(params, context.navigation()).encode()
            )
        },
    )
}

async fn show(
    app: &App,
    context: &Context,
    (next, username): (&str, &str),
    again: Option<Again>,
) -> Result<Response, Problem> {
    let (client, leads_to) = waiting_client(app, context, next).await?;
    if again.is_none() {
        saw(context, next, Step::LoginShown);
    }
    let (binding, fresh) = browser::form_binding(app, context);
    let form = LoginForm {
        next: next.to_owned(),
        opened: context.now,
    };
    let transaction = form::seal(app.parts.sealer.as_ref(), &binding, &form);
    let unset = !app
        .parts
        .store
        .has_admin()
        .await
        .map_err(internal("look for an administrator"))?;
    let (status, message) = match &again {
        None => (StatusCode::OK, None),
        Some(Again::Wrong) => (
            StatusCode::FORBIDDEN,
            Some("That name and password do not belong together.".to_owned()),
        ),
        Some(Again::Long) => (
            StatusCode::BAD_REQUEST,
            Some("That name or password is longer than any can be.".to_owned()),
        ),
        Some(Again::Throttled(wait)) => {
            let text = format!("Too many tries. Wait {} s, then try again.", wait.seconds());
            (StatusCode::TOO_MANY_REQUESTS, Some(text))
        }
    };
    let ways = ways(context, next);
    let page = pages::Login {
        ways: &ways,
        client: client.as_deref(),
        username,
        transaction: &transaction,
        message: message.as_deref(),
        unset,
    };
    let mut response = pages::page(status, &page, leads_to.as_deref());
    if let Some(Again::Throttled(wait)) = again {
        response.headers_mut().insert(RETRY_AFTER, wait.seconds().into());
    }
    if let Some(fresh) = fresh {
        browser::set_cookie(&mut response, context, Cookie::Browser, Some(&fresh));
    }
    Ok(response)
}

/// The buttons of the identity providers: what each says, and where it leads.
fn ways(context: &Context, next: &str) -> Vec<(String, String)> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", next);
    let query = query.finish();
    let providers = context.settings.people.providers();
    let way = |provider: Provider<'_>| {
        let path = format!("/login/{}?{query}", provider.name());
        (provider.label().to_owned(), path)
    };
    providers.map(way).collect()
}

/// The name of the client that waits behind the log-in, and where its answer can lead from this page: a remembered yes
/// lets the form's redirects end there.
async fn waiting_client(
    app: &App,
    context: &Context,
    next: &str,
) -> Result<(Option<String>, Option<String>), Problem> {
    let params = return_path::authorize_query(next).and_then(|query| Params::parse(query.as_bytes()).ok());
    let Some(params) = params else {
        return Ok((None, None));
    };
    match flow::check(app, context, params).await {
        Ok(checked) => {
            let target = match &checked.outcome {
                Ok(request) => &request.target,
                Err(refusal) => &refusal.target,
            };
            Ok((
                display::client_name(&checked.client),
                redirect::csp_source(&target.redirect_uri),
            ))
        }
        // Said by the authorization endpoint, in its own words.
        Err(Problem::Anchor(_)) => Ok((None, None)),
        Err(other) => Err(other),
    }
}
