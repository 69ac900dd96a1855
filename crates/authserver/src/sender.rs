//! Who sends a request to an endpoint that programs call: read, looked up and proved in one place.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use sallyport_core::audit::{Action, Outcome};
use sallyport_net::Reach;
use sallyport_oauth::Params;
use sallyport_oauth::assertion::Assertion;
use sallyport_oauth::client_auth::{self, AuthenticatedClient, ClientAuthError, Presented};
use sallyport_oauth::flight::{self, Rule};
use sallyport_oauth::jws::Keys;
use sallyport_oauth::model::Client;
use sallyport_oauth::registration::{self, ClientKeys};
use url::Url;

use crate::app::App;
use crate::body;
use crate::clients;
use crate::context::Context;
use crate::credentials::Kind;
use crate::key_sets::KeySetError;
use crate::token::{ApiError, internal};

/// Whom a request names, and the registration that there is under that name.
pub(crate) struct Sender {
    presented: Presented,
    client: Option<Client>,
}

impl Sender {
    /// Whether a request names nobody at all.
    pub(crate) fn is_nobody(context: &Context, params: &Params) -> bool {
        let named = ["client_id", "client_assertion"];
        context.authorization() == Ok(None) && !named.iter().any(|name| params.all(name).next().is_some())
    }

    /// Reads whom a request names.
    pub(crate) async fn read(app: &App, context: &Context, params: &Params) -> Result<Self, ApiError> {
        let authorization = context
            .authorization()
            .map_err(|()| client_error(ClientAuthError::Header, true))?;
        let presented = client_auth::read(authorization, params)
            .map_err(|error| client_error(error, authorization.is_some()))?;
        let client = clients::find(app, context, &presented.client).await?;
        Ok(Self { presented, client })
    }

    /// The client, if it is the one that it claims to be, or a public one.
    pub(crate) async fn prove(
        &self,
        app: &App,
        context: &Context,
    ) -> Result<AuthenticatedClient<'_>, ApiError> {
        let hash = |secret: &[u8]| app.parts.digest(Kind::ClientSecret, secret);
        let client = self.client.as_ref();
        let proved = match self.presented.assertion() {
            None => client_auth::verify(&self.presented, client, hash),
            Some(assertion) => self.judge(app, context, assertion).await?,
        };
        proved.map_err(|error| self.refuse(app, context, error))
    }

    /// A signed statement counts once, in whatever process it is shown.
    async fn judge(
        &self,
        app: &App,
        context: &Context,
        assertion: &Assertion,
    ) -> Result<Result<AuthenticatedClient<'_>, ClientAuthError>, ApiError> {
        let client = self.client.as_ref();
        let keys = match client.and_then(registration::keys) {
            None => return Ok(Err(ClientAuthError::Refused)),
            Some(ClientKeys::Here(keys)) => Arc::new(keys),
            Some(ClientKeys::At(url)) => match fetched(app, context, &url, assertion).await? {
                Some(keys) => keys,
                None => return Ok(Err(ClientAuthError::Refused)),
            },
        };
        let issuer = context.settings.issuer.as_str();
        // RFC 9126 §2 lets a client name either endpoint at either.
        let endpoints = ["token", "par"].map(|name| format!("{issuer}/{name}"));
        let [token, par] = &endpoints;
        let single = match assertion.verify(client, &keys, &[issuer, token, par], context.now) {
            Ok(single) => single,
            Err(error) => return Ok(Err(error)),
        };
        let digest = app.parts.digest(Kind::Assertion, single.id.as_bytes());
        let first = app
            .parts
            .store
            .use_assertion(&self.presented.client, &digest, single.until)
            .await
            .map_err(internal("remember the client's statement"))?;
        Ok(single.counted(first))
    }

    fn refuse(&self, app: &App, context: &Context, error: ClientAuthError) -> ApiError {
        tracing::info!(reason = %error, "a client was refused");
        let keys = |keys: flight::Keys| match &self.client {
            Some(client) => keys.named(client),
            None => keys.client(&self.presented.client),
        };
        context.refused(keys, &error);
        app.count("invalid_client");
        let event = context
            .event(Action::Denied, Outcome::Denied)
            .because("client authentication failed");
        match app.note(event) {
            Ok(()) => client_error(error, self.presented.by_header),
            Err(unavailable) => unavailable.into(),
        }
    }
}

/// The keys at the client's address; `None` if what is there counts for nothing. It is not called for anybody who does not
/// even say to be signed by a key.
async fn fetched(
    app: &App,
    context: &Context,
    url: &Url,
    assertion: &Assertion,
) -> Result<Option<Arc<Keys>>, ApiError> {
    let id = assertion.key_id();
    let found = app
        .key_sets
        .find(context, (url, Reach::Public), id.as_deref())
        .await;
    found.map(Some).or_else(|error| {
        tracing::info!(reason = %error, "a client's keys are not to be had");
        app.count("client_keys");
        match error {
            KeySetError::Throttled(wait) => Err(ApiError::too_many(wait)),
            // Not the client's fault: it should come again.
            KeySetError::Unreachable(_) => Err(ApiError::unavailable(
                "the client's keys cannot be fetched now",
                30,
            )),
            KeySetError::Set(_) => Ok(None),
        }
    })
}

/// The form of a request, if its peer may send one now.
pub(crate) async fn form(app: &App, context: &Context, request: Body) -> Result<Params, ApiError> {
    if let Err(wait) = app.limits.token(context.peer, context.now) {
        app.count("token_throttled");
        context.refused(|keys| keys, Rule::TokenThrottled);
        return Err(ApiError::too_many(wait));
    }
    body::form(context, request)
        .await
        .map_err(|error| ApiError::invalid_request(error.to_string()))
}

/// Counts an answer that may have been to somebody who guesses.
pub(crate) fn counted(
    app: &App,
    context: &Context,
    answer: Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    if answer.as_ref().is_err_and(ApiError::is_about_a_proof) {
        context.refused(|keys| keys, Rule::ProofRefused);
    }
    if answer.as_ref().is_err_and(ApiError::is_guess) {
        app.limits.token_failed(context.peer, context.now);
    }
    answer
}

/// RFC 6749 §5.2: 401 for a client that could not be authenticated, with a challenge if it used the header.
fn client_error(error: ClientAuthError, by_header: bool) -> ApiError {
    match error {
        ClientAuthError::Repeated(_) | ClientAuthError::Missing | ClientAuthError::Conflict => {
            ApiError::invalid_request(error.to_string())
        }
        ClientAuthError::Header | ClientAuthError::Refused | ClientAuthError::Assertion(_) => {
            ApiError::invalid_client(error.to_string(), by_header)
        }
    }
}
