//! The way of one authorization request: checked anew at each page, so that nothing is kept between them.

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse as _, Response};
use sallyport_core::UserId;
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_oauth::Params;
use sallyport_oauth::authorize::{AnchorError, AuthorizeError, AuthorizeRequest, Refusal, ValidRequest};
use sallyport_oauth::consent::{self, Lifetimes, Navigation};
use sallyport_oauth::flight::{Point, Refused, Step};
use sallyport_oauth::model::Client;
use sallyport_oauth::prompt::Prompt;
use sallyport_oauth::pushed;

use crate::app::App;
use crate::clients;
use crate::context::Context;
use crate::pages;
use crate::par::{self, Opened};
use crate::problem::{Problem, internal};

/// A request whose sender is known.
pub(crate) struct Checked {
    pub(crate) client: Client,
    /// What a person can be asked about, or what goes back to the client.
    pub(crate) outcome: Result<ValidRequest, Refusal>,
    /// The pushed request that it is.
    pub(crate) pushed: Option<Opened>,
}

/// Finds the client and applies the rules.
pub(crate) async fn check(app: &App, context: &Context, params: Params) -> Result<Checked, Problem> {
    let (params, pushed) = par::resolve(app, context, params).await?;
    let seen = params.clone();
    let request = AuthorizeRequest::read(params).inspect_err(|error| astray(context, &seen, None, *error))?;
    let client = clients::find(app, context, request.client_id()).await?;
    let settings = &context.settings;
    let anchored = request
        .anchor(client.as_ref(), &settings.private_schemes)
        .inspect_err(|error| astray(context, &seen, client.as_ref(), *error))?;
    let Some(client) = client else {
        return Err(Problem::Internal);
    };
    let outcome = if pushed.is_none() && pushed::is_required(&client) {
        Err(Refusal {
            target: anchored.target().clone(),
            error: AuthorizeError::NotPushed,
        })
    } else {
        anchored.validate(&client, &settings.targets())
    };
    if let Err(refusal) = &outcome {
        let rule = refusal.error;
        context.saw(|keys| {
            let keys = keys.params(&seen).named(&client);
            (keys, Refused::at(Point::Authorization, rule).into())
        });
    }
    Ok(Checked {
        client,
        outcome,
        pushed,
    })
}

/// A request that leads nowhere.
fn astray(context: &Context, params: &Params, client: Option<&Client>, error: AnchorError) {
    context.saw(|keys| {
        let keys = keys.params(params);
        let refused = Refused::at(Point::Authorization, error);
        let Some(client) = client else {
            return (keys, refused.into());
        };
        let asked = params.all("redirect_uri").next().unwrap_or_default();
        (
            keys.named(client),
            refused.redirect(asked, &client.redirect_uris).into(),
        )
    });
}

/// Takes down what a person does with an authorization request.
pub(crate) fn saw(context: &Context, request: &ValidRequest, step: Step) {
    let ValidRequest { client, target, .. } = request;
    context.saw(|keys| {
        let challenge = request.challenge.as_str();
        (keys.request(client, &target.redirect_uri, challenge), step)
    });
}

/// Where a person logs in before this request is looked at again.
pub(crate) fn login_location(params: Params, navigation: Navigation) -> String {
    let next = format!("/authorize?{}", after_login(params, navigation).encode());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", &next)
        .finish();
    format!("/login?{query}")
}

/// The request as it comes back from the log-in.
pub(crate) fn after_login(params: Params, navigation: Navigation) -> Params {
    // A repeated `prompt` stays as it is: the rules refuse it.
    let Ok(prompt) = params.one("prompt") else {
        return params;
    };
    let prompt = Prompt::after_login(prompt, navigation == Navigation::Elsewhere);
    params.with("prompt", prompt)
}

/// 303 See Other: the browser goes on with a GET and does not send the form again (AZ-06).
pub(crate) fn see_other(location: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(location).map_err(|_| {
        tracing::error!("a location could not be written");
        Problem::Internal
    })?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    pages::harden(response.headers_mut());
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// Sends a refusal to the client.
pub(crate) fn refuse(app: &App, context: &Context, refusal: &Refusal) -> Result<Response, Problem> {
    tracing::info!(error = refusal.error.code().as_str(), reason = %refusal.error, "authorization refused");
    app.count(refusal.error.code().as_str());
    see_other(&refusal.target.failure(&context.settings.issuer, refusal.error))
}

/// Makes the grant and its code, and says where the person goes with it.
pub(crate) async fn approve(
    app: &App,
    context: &Context,
    user: &UserId,
    request: &ValidRequest,
    (nonce, reason): (&str, &'static str),
) -> Result<String, Problem> {
    let settings = &context.settings;
    let (code, digest, grant_id) = app.parts.code_of(nonce);
    let lifetimes = Lifetimes {
        code: settings.code_ttl,
        grant: settings.refresh_absolute,
    };
    let (grant, kept) = consent::approve(request, user.clone(), (grant_id, digest), context.now, lifetimes);
    let event = Event {
        user: Some(user.clone()),
        client: Some(request.client.clone()),
        grant: Some(grant.id.clone()),
        ..context.event(Action::Consent, Outcome::Ok)
    };
    app.record(event.on(request.resource.as_str()).because(reason))
        .await?;
    app.parts
        .store
        .insert_grant_with_code(&grant, &kept)
        .await
        .map_err(internal("keep the grant"))?;
    context.saw(|keys| {
        let keys = keys.request(
            &request.client,
            &request.target.redirect_uri,
            request.challenge.as_str(),
        );
        let remembered = reason == "remembered";
        (keys.grant(&grant.id), Step::Allowed { remembered })
    });
    Ok(request.target.success(&settings.issuer, code.expose()))
}
