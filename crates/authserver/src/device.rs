//! `/device`: where a person enters the code that a device shows, and says yes or no to it (RFC 8628 §3.3).

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::GrantId;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_oauth::client_document::is_document;
use sallyport_oauth::device::{self, Answer, DeviceRequest};
use sallyport_oauth::model::{Client, Digest};
use sallyport_oauth::{Params, display, redirect};
use serde::{Deserialize, Serialize};

use crate::app::{App, Shared};
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::credentials::Kind;
use crate::form::{self, Form};
use crate::problem::{Problem, internal};
use crate::{body, clients, flow, pages};

/// What the page carries: which request it was made for.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeviceForm {
    device: Digest,
    user_code: Digest,
}

impl Form for DeviceForm {
    const KIND: &'static str = "device";
}

/// `GET /device?user_code=CODE`. With a code in the address too, the person has to confirm: whoever sent the link could
/// otherwise get in (§5.4).
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let params = Params::parse(context.query.as_bytes()).map_err(|_| Problem::BadForm)?;
    let typed = params.one("user_code").map_err(|_| Problem::BadForm)?;
    let person = browser::current(&app, &context).await;
    let Some(person) = person.map_err(internal("find the browser session"))? else {
        // Only people with an account may try codes.
        return flow::see_other(&login_location(typed.and_then(device::typed).as_deref()));
    };
    let Some(typed) = typed else {
        return Ok(enter(StatusCode::OK, "", None));
    };
    let request = match device::typed(typed) {
        Some(code) => find(&app, &context, &code).await?,
        None => None,
    };
    let Some(request) = request else {
        let text = "There is no device waiting with that code. Look at the device again: a code is good for ten minutes, and once.";
        return Ok(enter(StatusCode::NOT_FOUND, typed, Some(text)));
    };
    let client = clients::find(&app, &context, &request.client).await?;
    let Some(client) = client else {
        return Err(sallyport_oauth::authorize::AnchorError::UnknownClient.into());
    };
    confirm(&app, &context, &person, (&request, &client), typed)
}

/// `POST /device`: the answer.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    let field = |name| params.one(name).ok().flatten().ok_or(Problem::BadForm);
    let allowed = match field("decision")? {
        "allow" => true,
        "deny" => false,
        _ => return Err(Problem::BadForm),
    };
    let person = browser::current(&app, &context).await;
    let person = person.map_err(internal("find the browser session"))?;
    let person = person.ok_or(Problem::ForeignForm)?;
    let sealed = params.one("transaction").ok().flatten().unwrap_or_default();
    let form: DeviceForm = form::receive(app.parts.sealer.as_ref(), &context, &person.secret, sealed)?;
    let found = app.parts.store.device_by_user_code(&form.user_code).await;
    let request = found.map_err(internal("find the device's request"))?;
    let is_open = |request: &DeviceRequest| {
        request.device == form.device && request.answer == Answer::None && context.now < request.expires
    };
    let request = request.filter(is_open).ok_or(Problem::Answered)?;
    answer(&app, &context, (&person, &request), allowed).await
}

async fn answer(
    app: &App,
    context: &Context,
    (person, request): (&LoggedIn, &DeviceRequest),
    allowed: bool,
) -> Result<Response, Problem> {
    let user = &person.user.id;
    let id = GrantId::generate(app.parts.random.as_ref());
    let lifetime = context.settings.refresh_absolute;
    let grant = allowed.then(|| device::grant(request, (id, user.clone()), context.now, lifetime));
    let outcome = if allowed { Outcome::Ok } else { Outcome::Denied };
    let event = Event {
        user: Some(user.clone()),
        client: Some(request.client.clone()),
        grant: grant.as_ref().map(|grant| grant.id.clone()),
        ..context.event(Action::Consent, outcome)
    };
    app.record(event.on(request.resource.as_str()).because("a device's code"))
        .await?;
    let kept = app
        .parts
        .store
        .answer_device(&request.device, grant.as_ref(), context.now)
        .await;
    if !kept.map_err(internal("keep the answer"))? {
        return Err(Problem::Answered);
    }
    let page = pages::DeviceDone { allowed };
    Ok(pages::page(StatusCode::OK, &page, None))
}

/// The request that waits under a code. Each look counts against the person's address (§5.1).
async fn find(app: &App, context: &Context, code: &str) -> Result<Option<DeviceRequest>, Problem> {
    app.limits.user_code(context.peer, context.now).map_err(|wait| {
        app.count("device_throttled");
        Problem::Throttled(wait)
    })?;
    let digest = app.parts.digest(Kind::UserCode, code.as_bytes());
    let found = app.parts.store.device_by_user_code(&digest).await;
    let found = found.map_err(internal("find the device's request"))?;
    let open = |request: &DeviceRequest| request.answer == Answer::None && context.now < request.expires;
    let found = found.filter(open);
    if found.is_some() {
        app.limits.user_code_found(context.peer);
    } else {
        app.count("device_unknown_code");
    }
    Ok(found)
}

fn login_location(code: Option<&str>) -> String {
    let next = match code {
        Some(code) => format!("/device?user_code={}", device::shown(code)),
        None => "/device".to_owned(),
    };
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", &next)
        .finish();
    format!("/login?{query}")
}

fn enter(status: StatusCode, code: &str, message: Option<&str>) -> Response {
    let code: String = code.chars().take(16).collect();
    pages::page(status, &pages::Device { code: &code, message }, None)
}

fn confirm(
    app: &App,
    context: &Context,
    person: &LoggedIn,
    (request, client): (&DeviceRequest, &Client),
    typed: &str,
) -> Result<Response, Problem> {
    let settings = &context.settings;
    let code = device::typed(typed).ok_or(Problem::BadForm)?;
    let permissions = display::scopes(&request.scopes);
    let name = display::client_name(client);
    let publisher = is_document(&client.id).then(|| redirect::destination(client.id.as_str()));
    let form = DeviceForm {
        device: request.device,
        user_code: request.user_code,
    };
    let info = settings.info(&request.resource);
    let page = pages::DeviceConfirm {
        client: name.as_deref(),
        publisher: publisher.as_deref(),
        code: &device::shown(&code),
        user: &person.user.name,
        resource: request.resource.as_str(),
        label: info.map_or("", |info| info.label.as_str()),
        permissions: &permissions,
        lifetime: &display::lifetime(
            client,
            settings.access_ttl,
            (settings.refresh_ttl, settings.refresh_absolute),
        ),
        transaction: &form::seal(app.parts.sealer.as_ref(), &person.secret, &form),
    };
    Ok(pages::page(StatusCode::OK, &page, None))
}
