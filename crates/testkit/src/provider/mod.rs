//! Identity providers to log in through: GitHub as its documentation describes it, and an OpenID provider that can be told
//! to lie.

mod github;
mod guarded;
mod login_server;
mod oidc;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;
use url::form_urlencoded::parse;

pub use github::{Account, Github};
pub use guarded::Guarded;
pub use login_server::{Habits, LoginServer};
pub use oidc::{Issuer, Lies};

use crate::everything::serve::{accept, http::Response, http::connection};
use crate::http::{Answer, Connection, Request};

/// A provider on a port of its own; it ends when this is dropped.
pub struct Provider<P> {
    address: SocketAddr,
    /// What it is, and what a test may change.
    pub provider: Arc<P>,
    task: JoinHandle<()>,
}

impl<P> Drop for Provider<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<P> Provider<P> {
    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends the browser's request to the provider.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        Connection::open(self.address, &self.address.to_string())
            .await?
            .ask(request)
            .await
    }
}

/// A request as the providers see it.
struct Asked {
    method: Method,
    path: String,
    query: Fields,
    headers: HeaderMap,
    form: Fields,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Parameters of a query or a form; of several with one name the last.
#[derive(Clone, Default)]
struct Fields(HashMap<String, String>);

impl Fields {
    fn read(text: &[u8]) -> Self {
        Self(parse(text).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

async fn start<P: Send + Sync + 'static>(
    make: impl FnOnce(SocketAddr) -> P,
    answer: fn(&P, &Asked) -> Response,
) -> anyhow::Result<Provider<P>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let provider = Arc::new(make(address));
    let shared = Arc::clone(&provider);
    let task = tokio::spawn(accept(listener, move |stream| {
        let provider = Arc::clone(&shared);
        connection(stream, move |request| {
            let provider = Arc::clone(&provider);
            async move {
                let (head, body) = request.into_parts();
                let body = Limited::new(body, 1 << 20).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                let asked = Asked {
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    query: Fields::read(head.uri.query().unwrap_or_default().as_bytes()),
                    headers: head.headers,
                    form: Fields::read(&body),
                    body,
                };
                answer(&provider, &asked)
            }
        })
    }));
    Ok(Provider {
        address,
        provider,
        task,
    })
}

fn reply(status: StatusCode, media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    let value = http::HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    reply(status, "application/json; charset=utf-8", value.to_string())
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!("<!doctype html><title>{title}</title><h1>{title}</h1>{body}");
    reply(status, "text/html; charset=utf-8", html)
}

/// Sends the browser back with these parameters.
fn back(redirect_uri: &str, pairs: &[(&str, &str)]) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return page(StatusCode::BAD_REQUEST, "Bad redirect", "");
    };
    url.query_pairs_mut().extend_pairs(pairs);
    let mut response = reply(StatusCode::FOUND, "text/plain", String::new());
    if let Ok(value) = http::HeaderValue::from_str(url.as_str()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Where an answer sends the browser, as path and query.
///
/// # Errors
/// When it is no redirect.
pub fn location(answer: &Answer) -> anyhow::Result<String> {
    let location = answer.header("location");
    let location = location.with_context(|| format!("no redirect: {} {}", answer.status(), answer.text()))?;
    let url = Url::parse(location)?;
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
