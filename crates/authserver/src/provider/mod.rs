//! `/login/{idp}` and `/callback/{idp}`: log-in through an identity provider.
//!
//! What goes out is tied to the browser that began: `state` is kept as a hash together with the hash of that browser's
//! cookie, and nonce and PKCE verifier are derived from it. Each provider has a callback of its own (RFC 9700 §4.4.2.2).

mod enter;
mod github;
mod oidc;
mod wire;

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_core::audit::{Action, Outcome as Recorded};
use sallyport_core::random::token;
use sallyport_oauth::flight::{Point, Refused, Rule};
use sallyport_oauth::provider::callback::{Callback, Outcome};
use sallyport_oauth::{Params, pkce};
use sallyport_store::Departure;

pub(crate) use enter::settled;
pub(crate) use oidc::{Discovered, keys_for};

use crate::app::{App, Shared};
use crate::context::Context;
use crate::cookie::Cookie;
use crate::credentials::Kind;
use crate::people::Provider;
use crate::problem::{Problem, internal};
use crate::{browser, flow, login};
use wire::ProviderError;

/// How long a person may take at the provider.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What ties one log-in together.
struct Ties {
    state: String,
    redirect_uri: String,
    nonce: String,
    verifier: String,
}

impl Ties {
    fn of(app: &App, context: &Context, provider: Provider<'_>, state: String) -> Self {
        let derived = |label| URL_SAFE_NO_PAD.encode(app.parts.derive.derive(label, state.as_bytes()));
        Self {
            redirect_uri: format!("{}/callback/{}", context.settings.issuer, provider.name()),
            nonce: derived("provider-nonce"),
            verifier: derived("provider-verifier"),
            state,
        }
    }

    fn challenge(&self) -> String {
        pkce::challenge_of(&self.verifier)
    }
}

/// `GET /login/{idp}?next=PATH`: the browser goes out.
pub(crate) async fn start(
    State(app): State<Shared>,
    Path(name): Path<String>,
    context: Context,
) -> Result<Response, Problem> {
    let settings = context.settings.clone();
    let provider = settings.people.provider(&name).ok_or(Problem::NotFound)?;
    let params = Params::parse(context.query.as_bytes()).map_err(|_| Problem::BadForm)?;
    let next = params.one("next").map_err(|_| Problem::BadForm)?;
    let next = login::destination(next.unwrap_or("/"), &context);
    app.limits
        .anonymous(context.peer, context.now)
        .map_err(Problem::Throttled)?;
    let person = browser::current(&app, &context)
        .await
        .map_err(internal("find the browser session"))?;
    let ties = Ties::of(&app, &context, provider, token::<32>(app.parts.random.as_ref()));
    let url = match provider {
        Provider::Github(github) => Ok(github::authorization_url(github, &ties, person.is_some())),
        Provider::Oidc(oidc) => {
            oidc::authorization_url(&app, &context, oidc, (&ties, person.is_some())).await
        }
    };
    let url = url.map_err(|error| {
        refused(&context, &next, Rule::ProviderFailed);
        failed(&app, provider, &error)
    })?;
    let (binding, fresh) = browser::form_binding(&app, &context);
    let departure = Departure {
        state: app.parts.digest(Kind::LoginState, ties.state.as_bytes()),
        browser: app.parts.digest(Kind::LoginBrowser, binding.as_bytes()),
        provider: name,
        next,
        expires: context.now.plus(MAX_AGE),
    };
    let kept = app.parts.store.depart(&departure).await;
    kept.map_err(internal("keep a log-in that goes out"))?;
    let mut response = flow::see_other(url.as_str())?;
    if let Some(fresh) = fresh {
        browser::set_cookie(&mut response, &context, Cookie::Browser, Some(&fresh));
    }
    Ok(response)
}

/// `GET /callback/{idp}`: the browser comes back.
pub(crate) async fn callback(
    State(app): State<Shared>,
    Path(name): Path<String>,
    context: Context,
) -> Result<Response, Problem> {
    let settings = context.settings.clone();
    let provider = settings.people.provider(&name).ok_or(Problem::NotFound)?;
    let back = Callback::read(&context.query).map_err(|error| {
        tracing::info!(provider = name, reason = %error, "a log-in came back that cannot be read");
        astray(&context);
        Problem::ForeignLogin
    })?;
    let departure = arrived(&app, &context, (&name, &back)).await?;
    let ties = Ties::of(&app, &context, provider, back.state.clone());
    let identity = match (&back.outcome, provider) {
        (Outcome::Denied, _) => {
            app.count("login_denied");
            refused(&context, &departure.next, Rule::ProviderDenied);
            return Err(Problem::ProviderDenied(provider.label().to_owned()));
        }
        (Outcome::Failed(code), _) => Err(ProviderError::Returned(code.clone())),
        (Outcome::Code(code), Provider::Github(github)) => {
            github::identify(&app, github, &back, (code.expose(), &ties)).await
        }
        (Outcome::Code(code), Provider::Oidc(oidc)) => {
            oidc::identify(&app, &context, (oidc, &back), (code.expose(), &ties)).await
        }
    };
    match identity {
        Ok(identity) => enter::enter(&app, &context, (provider, &identity), &departure.next).await,
        Err(error) => {
            refused(&context, &departure.next, Rule::ProviderFailed);
            let event = context.event(Action::Login, Recorded::Failed);
            app.note(event.on(&name).because(error.to_string()))?;
            Err(failed(&app, provider, &error))
        }
    }
}

/// The log-in that comes back, if it was begun in this browser, lately, and has not come back before.
async fn arrived(
    app: &App,
    context: &Context,
    (name, back): (&str, &Callback),
) -> Result<Departure, Problem> {
    let refused = |reason: &'static str| {
        tracing::info!(
            provider = name,
            reason,
            "a log-in came back that was not begun here"
        );
        app.count("login_foreign");
        astray(context);
        Problem::ForeignLogin
    };
    let binding = context.browser.as_deref().ok_or_else(|| refused("no cookie"))?;
    let state = app.parts.digest(Kind::LoginState, back.state.as_bytes());
    let browser = app.parts.digest(Kind::LoginBrowser, binding.as_bytes());
    let arrived = app.parts.store.arrive(&state, &browser, name).await;
    let departure = arrived.map_err(internal("find the log-in that comes back"))?;
    let departure = departure.ok_or_else(|| refused("unknown state, or another browser's"))?;
    if context.now >= departure.expires {
        return Err(refused("too late"));
    }
    Ok(departure)
}

/// Takes down that a log-in went no further, if an authorization request waits behind it.
fn refused(context: &Context, next: &str, rule: Rule) {
    login::saw(context, next, Refused::at(Point::Provider, rule).into());
}

/// The same where it is not known what waits: it belongs to what the same browser did before.
fn astray(context: &Context) {
    context.saw(|keys| (keys, Refused::at(Point::Provider, Rule::ProviderForeign).into()));
}

fn failed(app: &App, provider: Provider<'_>, error: &ProviderError) -> Problem {
    tracing::warn!(provider = provider.name(), reason = %error, "a log-in through a provider failed");
    app.count("login_provider");
    Problem::ProviderFailed(provider.label().to_owned())
}
