//! `/consent`: a person is asked whether this client may act for them.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::random::token;
use sallyport_oauth::authorize::{AnchorError, AuthorizeError, ValidRequest};
use sallyport_oauth::client_document::is_document;
use sallyport_oauth::consent::{StepUp, Transaction, can_be_remembered, remembered, step_up};
use sallyport_oauth::flight::{Point, Refused, Rule, Step};
use sallyport_oauth::model::Client;
use sallyport_oauth::redirect::RedirectKind;
use sallyport_oauth::{Params, display, redirect};

use crate::app::{App, Shared};
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::flow::{self, Checked};
use crate::par::{self, Opened};
use crate::problem::{Problem, internal};
use crate::{body, clients, form, pages};

/// `GET /consent?AUTHORIZATION_REQUEST`. The request is checked as at `/authorize`, so that the page can be reloaded.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let params = Params::parse(context.query.as_bytes()).map_err(AnchorError::from)?;
    let Checked {
        client,
        outcome,
        pushed,
    } = flow::check(&app, &context, params.clone()).await?;
    let request = match outcome {
        Ok(request) => request,
        Err(refusal) => return flow::refuse(&app, &context, &refusal),
    };
    let person = browser::current(&app, &context)
        .await
        .map_err(internal("find the browser session"))?;
    match person {
        Some(person) => {
            let store = &app.parts.store;
            let known = store.consent(&person.user.id, &request.client, &request.resource);
            let known = known.await.map_err(internal("find the consent"))?;
            let more = step_up(known.as_ref(), &request, &client.scopes);
            let shown = (&client, request, &person);
            Ok(show(&app, &context, shown, more, (params, pushed)))
        }
        None => flow::see_other(&flow::login_location(params, context.navigation())),
    }
}

/// `POST /consent`: the answer. What counts is what the page was made for, not what the form says besides.
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    let params = body::form(&context, request).await?;
    if params
        .names()
        .any(|name| !matches!(name, "transaction" | "decision"))
    {
        return Err(Problem::BadForm);
    }
    let field = |name| params.one(name).ok().flatten().ok_or(Problem::BadForm);
    let allowed = match field("decision")? {
        "allow" => true,
        "deny" => false,
        _ => return Err(Problem::BadForm),
    };
    let (transaction, person) = open(&app, &context, params.one("transaction").ok().flatten()).await?;
    let answer = app
        .answered
        .of(&transaction.nonce, context.now, context.settings.code_ttl);
    let answer = answer.ok_or(Problem::Answered)?;
    // On its own task: whoever presses twice makes the browser drop the first request, and half an answer would spoil
    // the second.
    let deciding = tokio::spawn(async move {
        let parts = (&transaction, &person);
        let decided = answer
            .get_or_try_init(|| decide(&app, &context, parts, allowed))
            .await;
        decided.cloned()
    });
    let location = deciding.await.map_err(|error| {
        tracing::error!(%error, "a consent was not answered");
        Problem::Internal
    })??;
    flow::see_other(&location)
}

/// The page that the form belongs to, and who it was shown to.
async fn open(
    app: &App,
    context: &Context,
    sealed: Option<&str>,
) -> Result<(Transaction, LoggedIn), Problem> {
    let person = browser::current(app, context)
        .await
        .map_err(internal("find the browser session"))?;
    let (person, sealed) = person.zip(sealed).ok_or(Problem::ForeignForm)?;
    let sealer = app.parts.sealer.as_ref();
    let transaction: Transaction = form::receive(sealer, context, &person.secret, sealed)?;
    if transaction.is_stale(context.now) {
        return Err(Problem::StaleForm);
    }
    Ok((transaction, person))
}

async fn decide(
    app: &App,
    context: &Context,
    (transaction, person): (&Transaction, &LoggedIn),
    allowed: bool,
) -> Result<String, Problem> {
    let (request, user) = (&transaction.request, &person.user.id);
    let client = clients::find(app, context, &request.client).await?;
    let Some(client) = client else {
        return Err(AnchorError::UnknownClient.into());
    };
    if !redirect::is_registered(&request.target.redirect_uri, &client.redirect_uris) {
        return Err(AnchorError::UnknownRedirect.into());
    }
    par::answer(app, context, transaction.pushed.as_ref()).await?;
    if !allowed {
        let event = Event {
            user: Some(user.clone()),
            client: Some(request.client.clone()),
            ..context.event(Action::Consent, Outcome::Denied)
        };
        app.record(event.on(request.resource.as_str()).because("the person said no"))
            .await?;
        flow::saw(
            context,
            request,
            Refused::at(Point::Person, Rule::PersonSaidNo).into(),
        );
        return Ok(request
            .target
            .failure(&context.settings.issuer, AuthorizeError::Denied));
    }
    let reason = if transaction.more {
        "the person said yes to more"
    } else {
        "the person said yes"
    };
    let location = flow::approve(app, context, user, request, (&transaction.nonce, reason)).await?;
    if can_be_remembered(request.kind) {
        let consent = remembered(request, user.clone(), context.now);
        if let Err(error) = app.parts.store.put_consent(&consent).await {
            // The person is asked again next time; what was granted stands.
            tracing::error!(%error, "a consent could not be remembered");
        }
    }
    Ok(location)
}

fn show(
    app: &App,
    context: &Context,
    (client, mut request, person): (&Client, ValidRequest, &LoggedIn),
    more: Option<StepUp>,
    (params, pushed): (Params, Option<Opened>),
) -> Response {
    let settings = &context.settings;
    flow::saw(context, &request, Step::ConsentShown);
    let leads_to = redirect::csp_source(&request.target.redirect_uri);
    let destination = redirect::destination(&request.target.redirect_uri);
    let kind = match request.kind {
        RedirectKind::Https => pages::Destination::Web,
        RedirectKind::Loopback => pages::Destination::Computer,
        RedirectKind::PrivateUse => pages::Destination::App,
    };
    // What is new is asked for, and a yes keeps the rest.
    let permissions = display::scopes(more.as_ref().map_or(&request.scopes, |more| &more.new));
    let kept = more
        .as_ref()
        .map_or(Vec::new(), |more| display::scopes(&more.kept));
    if let Some(more) = &more {
        request.scopes = request.scopes.union(&more.kept);
    }
    let refreshed = (settings.refresh_ttl, settings.refresh_absolute);
    let lifetime = display::lifetime(client, settings.access_ttl, refreshed);
    let resource = request.resource.clone();
    let nonce = token::<16>(app.parts.random.as_ref());
    let transaction = Transaction {
        request,
        pushed: pushed.map(|pushed| pushed.digest),
        nonce,
        opened: context.now,
        more: more.is_some(),
    };
    let name = display::client_name(client);
    let publisher = is_document(&client.id).then(|| redirect::destination(client.id.as_str()));
    let page = pages::Consent {
        client: name.as_deref(),
        publisher: publisher.as_deref(),
        is_publishers: kind == pages::Destination::Web && publisher.as_deref() == Some(destination.as_str()),
        user: &person.user.name,
        destination: &destination,
        kind,
        resource: resource.as_str(),
        label: settings.info(&resource).map_or("", |info| info.label.as_str()),
        permissions: &permissions,
        kept: &kept,
        lifetime: &lifetime,
        transaction: &form::seal(app.parts.sealer.as_ref(), &person.secret, &transaction),
        switch: &flow::login_location(params, context.navigation()),
    };
    pages::page(StatusCode::OK, &page, leads_to.as_deref())
}
