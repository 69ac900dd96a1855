//! OpenID Connect providers: discovery and keys, kept for a while, and the requests of a log-in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sallyport_core::{Secret, Timestamp};
use sallyport_net::Reach;
use sallyport_oauth::jws::Keys;
use sallyport_oauth::provider::callback::Callback;
use sallyport_oauth::provider::id_token::{Claims, Expected, IdToken};
use sallyport_oauth::provider::oidc::{Asked, Metadata, Provider, Tokens, tokens, userinfo};
use sallyport_oauth::provider::{AnswerError, Identity};
use serde_json::Value;
use url::Url;

use super::Ties;
use super::wire::{Ask, ProviderError, ask};
use crate::app::App;
use crate::context::Context;

const JSON: &str = "application/json";

/// How long discovery and keys count before they are fetched again.
const FRESH: Duration = Duration::from_secs(3600);

/// How long discovery still counts while the provider cannot be asked.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// How soon keys are fetched again because a token is signed with one that is not known.
const IMPATIENT: Duration = Duration::from_secs(10);

struct Kept<T> {
    value: Arc<T>,
    fetched: Timestamp,
}

/// What is known of the providers, by URL. As many as the operator has configured.
#[derive(Default)]
pub(crate) struct Discovered {
    metadata: Mutex<HashMap<String, Kept<Metadata>>>,
    keys: Mutex<HashMap<String, Kept<Keys>>>,
}

/// Where the browser goes.
pub(super) async fn authorization_url(
    app: &App,
    context: &Context,
    provider: &Provider,
    (ties, other_account): (&Ties, bool),
) -> Result<Url, ProviderError> {
    let metadata = metadata(app, context, provider).await?;
    let asked = Asked {
        redirect_uri: &ties.redirect_uri,
        state: &ties.state,
        nonce: &ties.nonce,
        challenge: &ties.challenge(),
        other_account,
    };
    Ok(provider.authorization_url(&metadata, asked))
}

/// Who the code is for. Who answers is looked at before the code is sent anywhere (RFC 9207 §2.4).
pub(super) async fn identify(
    app: &App,
    context: &Context,
    (provider, back): (&Provider, &Callback),
    (code, ties): (&str, &Ties),
) -> Result<Identity, ProviderError> {
    let metadata = metadata(app, context, provider).await?;
    if !back.is_from(&provider.issuer, metadata.names_itself) {
        return Err(ProviderError::Issuer);
    }
    let form = provider.token_form(&metadata, (code, &ties.verifier, &ties.redirect_uri));
    let answer = ask(
        app,
        Ask {
            url: &metadata.token_endpoint,
            reach: reach(provider, &metadata.token_endpoint),
            accept: JSON,
            authorization: form.authorization.as_ref(),
            form: Some(&form.body),
        },
    )
    .await?;
    let tokens = tokens(answer.status, &answer.body)?;
    let claims = verified(app, context, (provider, &metadata), (&tokens, ties)).await?;
    if provider.has_too_many_groups(&claims) {
        tracing::warn!(
            provider = provider.name,
            "the ID token has no room for the person's groups, so none counts: let the provider tell only the groups that are assigned to this application"
        );
    }
    let more = match (&metadata.userinfo_endpoint, &tokens.access_token) {
        (Some(url), Some(token)) if provider.lacks_something(&claims) => {
            Some(about(app, provider, url, token).await?)
        }
        _ => None,
    };
    Ok(provider.identity(&claims, more.as_ref())?)
}

/// The claims of the ID token. The provider may have a key since the keys were fetched.
async fn verified(
    app: &App,
    context: &Context,
    (provider, metadata): (&Provider, &Metadata),
    (tokens, ties): (&Tokens, &Ties),
) -> Result<Claims, ProviderError> {
    let token = IdToken::read(&tokens.id_token)?;
    let mut keys = keys(app, context, (provider, metadata), FRESH).await?;
    if !token.is_signed_by(&keys) {
        keys = self::keys(app, context, (provider, metadata), IMPATIENT).await?;
    }
    let expected = Expected {
        issuer: &provider.issuer,
        client: &provider.client_id,
        nonce: &ties.nonce,
        access_token: tokens.access_token.as_ref().map(|token| token.expose().as_str()),
        now: context.now,
    };
    Ok(token.verify(&keys, expected)?)
}

/// The provider's keys, fetched anew if they do not please; `None` where it cannot be asked.
pub(crate) async fn keys_for(
    app: &App,
    context: &Context,
    provider: &Provider,
    pleases: impl Fn(&Keys) -> bool,
) -> Option<Arc<Keys>> {
    let found = async {
        let metadata = metadata(app, context, provider).await?;
        let known = keys(app, context, (provider, &metadata), FRESH).await?;
        if pleases(&known) {
            return Ok(known);
        }
        keys(app, context, (provider, &metadata), IMPATIENT).await
    };
    let found: Result<_, ProviderError> = found.await;
    found
        .inspect_err(|error| tracing::warn!(provider = provider.name, reason = %error, "a provider's keys are not to be had"))
        .ok()
}

async fn about(
    app: &App,
    provider: &Provider,
    url: &Url,
    token: &Secret<String>,
) -> Result<Value, ProviderError> {
    let bearer = Secret::new(format!("Bearer {}", token.expose()));
    let request = Ask {
        url,
        reach: reach(provider, url),
        accept: JSON,
        authorization: Some(&bearer),
        form: None,
    };
    let answer = ask(app, request).await?;
    Ok(userinfo(answer.status, &answer.body)?)
}

async fn metadata(app: &App, context: &Context, provider: &Provider) -> Result<Arc<Metadata>, ProviderError> {
    let kept = &app.discovered.metadata;
    if let Some(found) = younger(kept, &provider.issuer, (context.now, FRESH)) {
        return Ok(found);
    }
    match fetch_metadata(app, provider).await {
        Ok(metadata) => Ok(keep(kept, &provider.issuer, metadata, context.now)),
        Err(ProviderError::Unreachable(error)) => {
            let stale = younger(kept, &provider.issuer, (context.now, STALE));
            stale.ok_or(ProviderError::Unreachable(error))
        }
        Err(error) => Err(error),
    }
}

async fn fetch_metadata(app: &App, provider: &Provider) -> Result<Metadata, ProviderError> {
    let answer = get(app, &provider.discovery()?, Reach::Operator).await?;
    Ok(Metadata::read(provider, answer.status, &answer.body)?)
}

async fn keys(
    app: &App,
    context: &Context,
    (provider, metadata): (&Provider, &Metadata),
    age: Duration,
) -> Result<Arc<Keys>, ProviderError> {
    let (kept, url) = (&app.discovered.keys, &metadata.jwks_uri);
    if let Some(found) = younger(kept, url.as_str(), (context.now, age)) {
        return Ok(found);
    }
    let answer = get(app, url, reach(provider, url)).await?;
    let status = AnswerError::Status("key set", answer.status);
    let set = Some(&answer.body)
        .filter(|_| answer.status == 200)
        .ok_or(status)?;
    let set: Value =
        serde_json::from_slice(set).map_err(|_| AnswerError::Form("key set", "it is no JSON"))?;
    let keys = Keys::parse(&set).map_err(ProviderError::Keys)?;
    Ok(keep(kept, url.as_str(), keys, context.now))
}

async fn get(app: &App, url: &Url, reach: Reach) -> Result<sallyport_net::egress::Fetched, ProviderError> {
    let request = Ask {
        url,
        reach,
        accept: JSON,
        authorization: None,
        form: None,
    };
    ask(app, request).await
}

/// The operator has named the issuer's host; where the provider names another one, it has to be on the open network.
fn reach(provider: &Provider, url: &Url) -> Reach {
    match Url::parse(&provider.issuer) {
        Ok(issuer) if issuer.host() == url.host() => Reach::Operator,
        _ => Reach::Public,
    }
}

fn younger<T>(
    kept: &Mutex<HashMap<String, Kept<T>>>,
    url: &str,
    (now, age): (Timestamp, Duration),
) -> Option<Arc<T>> {
    let kept = lock(kept);
    let found = kept.get(url).filter(|kept| now.since(kept.fetched) < age);
    found.map(|kept| Arc::clone(&kept.value))
}

fn keep<T>(kept: &Mutex<HashMap<String, Kept<T>>>, url: &str, value: T, now: Timestamp) -> Arc<T> {
    let value = Arc::new(value);
    let entry = Kept {
        value: Arc::clone(&value),
        fetched: now,
    };
    lock(kept).insert(url.to_owned(), entry);
    value
}

/// A map is whole after every step of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
