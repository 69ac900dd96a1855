//! `/`: what this is and which address to give to an MCP client; and `/logout`.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};

use crate::app::Shared;
use crate::context::Context;
use crate::cookie::Cookie;
use crate::form::{self, LogoutForm};
use crate::problem::{Problem, internal};
use crate::{body, browser, flow, pages};

/// `GET /`.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let person = browser::current(&app, &context)
        .await
        .map_err(internal("find the browser session"))?;
    let unset = !app
        .parts
        .store
        .has_admin()
        .await
        .map_err(internal("look for an administrator"))?;
    let settings = &context.settings;
    let logout = person
        .as_ref()
        .map(|p| form::seal(app.parts.sealer.as_ref(), &p.secret, &LogoutForm {}));
    // Names of profiles are for people with an account.
    let endpoints: Vec<(&str, &str)> = if person.is_some() {
        let others = settings
            .resources
            .iter()
            .filter(|r| r.resource != settings.default_resource);
        others.map(|r| (r.label.as_str(), r.resource.as_str())).collect()
    } else {
        Vec::new()
    };
    let page = pages::Home {
        endpoints: &endpoints,
        main: settings.default_resource.as_str(),
        user: person.as_ref().map(|p| p.user.name.as_str()),
        admin: person.as_ref().is_some_and(|p| p.user.admin),
        logout: logout.as_deref().unwrap_or_default(),
        contact: settings.security_contact.as_deref(),
        unset,
    };
    Ok(pages::page(StatusCode::OK, &page, None))
}

/// `POST /logout`.
pub(crate) async fn logout(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let person = browser::current(&app, &context)
        .await
        .map_err(internal("find the browser session"))?;
    let Some(person) = person else {
        return flow::see_other("/");
    };
    let sealed = params.one("transaction").ok().flatten().unwrap_or_default();
    let _form: LogoutForm = form::receive(app.parts.sealer.as_ref(), &context, &person.secret, sealed)?;
    app.record(Event {
        user: Some(person.user.id),
        ..context.event(Action::Logout, Outcome::Ok)
    })
    .await?;
    browser::end(&app, &context)
        .await
        .map_err(internal("end the browser session"))?;
    let mut response = flow::see_other("/")?;
    browser::set_cookie(&mut response, &context, Cookie::Session, None);
    Ok(response)
}
