//! Requests to providers, over the guarded way out.

use std::time::Duration;

use http::Method;
use sallyport_core::Secret;
use sallyport_net::Reach;
use sallyport_net::egress::{EgressError, Fetch, Fetched};
use sallyport_net::http1::RequestHead;
use sallyport_oauth::provider::id_token::IdTokenError;
use sallyport_oauth::provider::{AnswerError, MAX_ANSWER};
use thiserror::Error;
use url::Url;

use crate::app::App;

/// How long one request may take.
const TIME: Duration = Duration::from_secs(10);

/// Why a provider logs nobody in. The texts are for the log.
#[derive(Debug, Error)]
pub(super) enum ProviderError {
    /// It cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] EgressError),
    /// Its answer does not count.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// Its ID token does not count.
    #[error("the ID token does not count: {0}")]
    IdToken(#[from] IdTokenError),
    /// Its keys cannot be used.
    #[error("its keys cannot be used: the set {0}")]
    Keys(&'static str),
    /// The browser brought an answer that says it is another provider's, or does not say whose.
    #[error("the answer does not say that it is this provider's (RFC 9207)")]
    Issuer,
    /// An error came back with the browser.
    #[error("the provider sent the browser back with `{0}`")]
    Returned(String),
    /// A value cannot stand in a header.
    #[error("the credentials cannot be sent in a header")]
    Header,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) url: &'a Url,
    pub(super) reach: Reach,
    pub(super) accept: &'static str,
    pub(super) authorization: Option<&'a Secret<String>>,
    /// A form to post; without, it is a GET.
    pub(super) form: Option<&'a Secret<String>>,
}

pub(super) async fn ask(app: &App, ask: Ask<'_>) -> Result<Fetched, ProviderError> {
    let method = if ask.form.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut head = RequestHead::new(method);
    let mut put = |name, value: &str| head.put(name, value).map_err(|_| ProviderError::Header);
    put("accept", ask.accept)?;
    // GitHub refuses requests without it.
    put("user-agent", "sallyport")?;
    if let Some(authorization) = ask.authorization {
        put("authorization", authorization.expose())?;
    }
    if ask.form.is_some() {
        put("content-type", "application/x-www-form-urlencoded")?;
    }
    let fetch = Fetch {
        head,
        url: ask.url,
        reach: ask.reach,
        body: ask.form.map_or(&[], |form| form.expose().as_bytes()),
        limit: MAX_ANSWER,
        time: TIME,
    };
    Ok(app.parts.egress.fetch(fetch).await?)
}
