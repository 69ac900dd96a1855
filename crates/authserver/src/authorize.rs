//! `/authorize`: the authorization endpoint (OAuth 2.1 §3.1).
//!
//! It uses nothing up but where a remembered yes is answered with a code, so it may be fetched twice, and by a program
//! that has no cookies.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use sallyport_core::random::token;
use sallyport_oauth::Params;
use sallyport_oauth::authorize::{AnchorError, AuthorizeError, Refusal, ResponseTarget, ValidRequest};
use sallyport_oauth::consent::is_covered;
use sallyport_oauth::flight::{Place, Point, Refused, Step};
use sallyport_oauth::model::Client;

use crate::app::{App, Shared};
use crate::body;
use crate::browser::{self, LoggedIn};
use crate::context::Context;
use crate::flow::{self, Checked};
use crate::par::{self, Opened};
use crate::problem::{Problem, internal};

/// `GET /authorize`.
pub(crate) async fn get(State(app): State<Shared>, context: Context) -> Result<Response, Problem> {
    let params = Params::parse(context.query.as_bytes()).map_err(AnchorError::from)?;
    answer(&app, &context, params).await
}

/// `POST /authorize`, with the parameters in the body alone (AZ-04).
pub(crate) async fn post(
    State(app): State<Shared>,
    context: Context,
    request: Body,
) -> Result<Response, Problem> {
    if !context.query.is_empty() {
        return Err(Problem::TwoPlaces);
    }
    let params = body::form(&context, request).await?;
    answer(&app, &context, params).await
}

async fn answer(app: &App, context: &Context, params: Params) -> Result<Response, Problem> {
    let Checked {
        client,
        outcome,
        pushed,
    } = flow::check(app, context, params.clone()).await?;
    let request = match outcome {
        Ok(request) => request,
        Err(refusal) => return flow::refuse(app, context, &refusal),
    };
    seen(context, &client, &request, &params);
    let person = browser::current(app, context)
        .await
        .map_err(internal("find the browser session"))?;
    // The address of a pushed request cannot say that the person has logged in since; the time of the log-in can.
    let is_fresh = |person: &LoggedIn| pushed.is_some_and(|pushed| person.since >= pushed.at);
    match person.filter(|person| !request.prompt.login || is_fresh(person)) {
        None if request.prompt.none => refuse(app, context, request, AuthorizeError::LoginRequired),
        None => flow::see_other(&flow::login_location(params, context.navigation())),
        Some(person) => ask(app, context, params, (request, person, pushed)).await,
    }
}

/// Takes a valid request down. One that was pushed has said everything before.
fn seen(context: &Context, client: &Client, request: &ValidRequest, params: &Params) {
    let given = |name| params.all(name).next().is_some_and(|value| !value.is_empty());
    let ResponseTarget { redirect_uri, state } = &request.target;
    context.saw(|keys| {
        let step = Step::Asked {
            redirect: Place::of(redirect_uri),
            state: state.is_some(),
            resource: given("resource") || given("request_uri"),
            scope: given("scope") || given("request_uri"),
        };
        let challenge = request.challenge.as_str();
        (
            keys.request(&client.id, redirect_uri, challenge).named(client),
            step,
        )
    });
}

async fn ask(
    app: &App,
    context: &Context,
    params: Params,
    (request, person, pushed): (ValidRequest, LoggedIn, Option<Opened>),
) -> Result<Response, Problem> {
    let user = &person.user.id;
    let known = app
        .parts
        .store
        .consent(user, &request.client, &request.resource)
        .await;
    let known = known.map_err(internal("find the consent"))?;
    if is_covered(known.as_ref(), &request, context.navigation()) {
        par::answer(app, context, pushed.map(|pushed| pushed.digest).as_ref()).await?;
        let nonce = token::<16>(app.parts.random.as_ref());
        let location = flow::approve(app, context, user, &request, (&nonce, "remembered")).await?;
        return flow::see_other(&location);
    }
    if request.prompt.none {
        return refuse(app, context, request, AuthorizeError::ConsentRequired);
    }
    flow::see_other(&format!("/consent?{}", params.encode()))
}

fn refuse(
    app: &App,
    context: &Context,
    request: ValidRequest,
    error: AuthorizeError,
) -> Result<Response, Problem> {
    flow::saw(context, &request, Refused::at(Point::Authorization, error).into());
    flow::refuse(
        app,
        context,
        &Refusal {
            target: request.target,
            error,
        },
    )
}
