//! Requests to servers and their authorization servers, over the guarded way out: no redirects, small answers, little time.

use std::time::Duration;

use http::Method;
use sallyport_core::Secret;
use sallyport_net::Reach;
use sallyport_net::egress::{EgressError, Fetch, Fetched};
use sallyport_net::http1::{HeaderError, RequestHead};
use sallyport_oauth::provider::oidc::Form;
use sallyport_oauth::server_login::tokens::TokenError;
use sallyport_oauth::server_login::{LoginError, MAX_DOCUMENT, Named};
use thiserror::Error;
use url::Url;

use crate::Accounts;

/// How long one request may take.
const TIME: Duration = Duration::from_secs(10);

/// Why a log-in does not come about. The texts are for the log.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// It cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] EgressError),
    /// An answer does not count.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// There are no tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// A value cannot stand in a header.
    #[error("a value cannot be sent in a header: {0}")]
    Header(#[from] HeaderError),
    /// The store failed, or what it holds does not open.
    #[error("what is kept of the account cannot be used: {0}")]
    Kept(String),
    /// What another authority says of us cannot be read.
    #[error("the assertion cannot be read: {0}")]
    Assertion(String),
    /// The client that got the tokens is not there any more.
    #[error("the client that the account was connected with is not known here any more")]
    NoClient,
}

impl Failure {
    /// What a person may read: nothing of what is inside (SR-10).
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Unreachable(_) => {
                "the server, or the place where one logs in for it, cannot be reached".to_owned()
            }
            Self::Login(error) => error.to_string(),
            Self::Tokens(error) => error.to_string(),
            Self::Header(_) | Self::Kept(_) | Self::Assertion(_) => "it failed here".to_owned(),
            Self::NoClient => self.to_string(),
        }
    }
}

impl From<sallyport_store::StoreError> for Failure {
    fn from(error: sallyport_store::StoreError) -> Self {
        Self::Kept(error.to_string())
    }
}

/// What is sent.
pub(crate) enum Body<'a> {
    /// Nothing.
    Get,
    /// A form.
    Form(&'a Form),
    /// JSON.
    Json(&'a str),
}

impl Accounts {
    /// One request. Hosts that the operator wrote may be anywhere; all others are on the open network.
    pub(crate) async fn ask(&self, named: Named<'_>, url: &Url, body: Body<'_>) -> Result<Fetched, Failure> {
        let method = if matches!(body, Body::Get) {
            Method::GET
        } else {
            Method::POST
        };
        let mut head = RequestHead::new(method);
        let accept = if matches!(body, Body::Json(_)) {
            "application/json, text/event-stream"
        } else {
            "application/json"
        };
        head.put("accept", accept)?;
        head.put("user-agent", concat!("sallyport/", env!("CARGO_PKG_VERSION")))?;
        let sent: &[u8] = match &body {
            Body::Get => &[],
            Body::Json(text) => {
                head.put("content-type", "application/json")?;
                text.as_bytes()
            }
            Body::Form(form) => {
                head.put("content-type", "application/x-www-form-urlencoded")?;
                if let Some(authorization) = form.authorization.as_ref().map(Secret::expose) {
                    head.put("authorization", authorization)?;
                }
                form.body.expose().as_bytes()
            }
        };
        let fetch = Fetch {
            head,
            url,
            reach: if named.has_host(url) {
                Reach::Operator
            } else {
                Reach::Public
            },
            body: sent,
            limit: MAX_DOCUMENT,
            time: TIME,
        };
        Ok(self.deps.egress.fetch(fetch).await?)
    }
}
