//! What every endpoint knows about its request, read once.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use sallyport_core::audit::{Action, Event, Outcome};
use sallyport_core::{RequestId, Timestamp};
use sallyport_net::Peer;
use sallyport_oauth::consent::Navigation;
use sallyport_oauth::flight::{Agent, Keys, Point, Refused, Rule, Step};

use crate::app::Shared;
use crate::cookie::Cookie;
use crate::logins::Logins;
use crate::settings::Settings;

/// The head of a request, as far as it matters here. The `Host` header is no part of it (MD-02).
pub(crate) struct Context {
    pub(crate) settings: Arc<Settings>,
    pub(crate) now: Timestamp,
    pub(crate) peer: IpAddr,
    pub(crate) request: Option<RequestId>,
    /// Where of a log-in the endpoint is, if programs call it on their way; none where they look after what they have.
    pub(crate) point: Option<Point>,
    /// The query, still encoded.
    pub(crate) query: String,
    /// The cookie of somebody who has logged in.
    pub(crate) session: Option<String>,
    /// The cookie that forms before a log-in are bound to.
    pub(crate) browser: Option<String>,
    headers: HeaderMap,
    logins: Arc<Logins>,
}

impl Context {
    /// Takes a step of a log-in down; `keys` are completed with who sends this request.
    pub(crate) fn saw(&self, step: impl FnOnce(Keys) -> (Keys, Step)) {
        let agent = self.header("user-agent").unwrap_or_default();
        self.logins.saw(|| {
            step(Keys {
                sender: Some((self.peer, Agent::of(agent))),
                ..Keys::default()
            })
        });
    }

    /// Takes a refusal at an endpoint for programs down; one of no log-in is none.
    pub(crate) fn refused(&self, keys: impl FnOnce(Keys) -> Keys, rule: impl Into<Rule>) {
        if let Some(point) = self.point {
            self.saw(|sender| (keys(sender), Refused::at(point, rule).into()));
        }
    }

    /// Where the browser comes from.
    pub(crate) fn navigation(&self) -> Navigation {
        Navigation::from_header(self.header("sec-fetch-site"))
    }

    /// Whether a form that changes something was sent by a page of another origin. A browser that does not tell is
    /// caught by the seal of the form.
    pub(crate) fn is_foreign_post(&self) -> bool {
        self.header("sec-fetch-site")
            .is_some_and(|site| !matches!(site, "same-origin" | "none"))
    }

    /// The `Authorization` header; an error if it is there more than once or is no text.
    pub(crate) fn authorization(&self) -> Result<Option<&str>, ()> {
        let mut values = self.headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => one.to_str().map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// The `DPoP` header (RFC 9449 §4.1); an error if it is there more than once or is no text.
    pub(crate) fn proof(&self) -> Result<Option<&str>, ()> {
        let mut values = self.headers.get_all("dpop").iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => one.to_str().map(Some).map_err(|_| ()),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// The media type of the body, in lower case, without parameters.
    pub(crate) fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    }

    pub(crate) fn https(&self) -> bool {
        self.settings.is_https()
    }

    /// An audit event of this request.
    pub(crate) fn event(&self, action: Action, outcome: Outcome) -> Event {
        Event {
            request: self.request,
            peer: Some(self.peer),
            ..Event::new(action, outcome)
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl FromRequestParts<Shared> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Infallible> {
        let settings = app.parts.settings.load_full();
        let https = settings.is_https();
        Ok(Self {
            now: app.now(),
            // Requests without a peer share one bucket, which is the strict side.
            peer: parts
                .extensions
                .get::<Peer>()
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0),
            request: parts.extensions.get::<RequestId>().copied(),
            point: match parts.uri.path() {
                "/token" => Some(Point::Token),
                "/par" => Some(Point::Pushed),
                "/device_authorization" => Some(Point::Device),
                _ => None,
            },
            query: parts.uri.query().unwrap_or_default().to_owned(),
            session: Cookie::Session.read(&parts.headers, https),
            browser: Cookie::Browser.read(&parts.headers, https),
            headers: parts.headers.clone(),
            logins: Arc::clone(&app.parts.logins),
            settings,
        })
    }
}
