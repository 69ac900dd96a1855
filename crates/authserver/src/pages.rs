//! The pages, and the headers that every one of them carries.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::pages;

/// The log-in page.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login<'a> {
    /// Who the person is logging in for; a name that the client chose itself.
    pub(crate) client: Option<&'a str>,
    /// The identity providers: what each is called, and where its button leads.
    pub(crate) ways: &'a [(String, String)],
    pub(crate) username: &'a str,
    pub(crate) transaction: &'a str,
    pub(crate) message: Option<&'a str>,
    /// Nobody has an account yet.
    pub(crate) unset: bool,
}

/// The consent page.
#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct Consent<'a> {
    pub(crate) client: Option<&'a str>,
    /// The host at which the client describes itself.
    pub(crate) publisher: Option<&'a str>,
    /// Whether the answer goes to that host.
    pub(crate) is_publishers: bool,
    pub(crate) user: &'a str,
    pub(crate) destination: &'a str,
    pub(crate) kind: Destination,
    pub(crate) resource: &'a str,
    pub(crate) label: &'a str,
    pub(crate) permissions: &'a [String],
    /// What it was allowed before and keeps.
    pub(crate) kept: &'a [String],
    pub(crate) lifetime: &'a str,
    pub(crate) transaction: &'a str,
    /// Where another person logs in for the same request.
    pub(crate) switch: &'a str,
}

/// What a person has to know about the place that the answer goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Web,
    Computer,
    App,
}

/// The page that makes the first administrator.
#[derive(Template)]
#[template(path = "setup.html")]
pub(crate) struct Setup<'a> {
    pub(crate) username: &'a str,
    pub(crate) transaction: &'a str,
    pub(crate) message: Option<&'a str>,
}

/// The front page.
#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct Home<'a> {
    pub(crate) endpoints: &'a [(&'a str, &'a str)],
    pub(crate) main: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) admin: bool,
    pub(crate) logout: &'a str,
    /// Whom to tell about a security problem.
    pub(crate) contact: Option<&'a str>,
    pub(crate) unset: bool,
}

/// The account page.
#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct Account<'a> {
    pub(crate) user: &'a str,
    pub(crate) admin: bool,
    pub(crate) apps: &'a [AccountApp],
    pub(crate) sessions: &'a [AccountSession],
    /// For the button that logs out here.
    pub(crate) logout: &'a str,
    /// For the button that logs out everywhere.
    pub(crate) leave: &'a str,
}

/// An app or token that acts for the person.
pub(crate) struct AccountApp {
    pub(crate) name: Option<String>,
    /// Whether the name is the app's own word for itself.
    pub(crate) unverified: bool,
    pub(crate) destinations: String,
    pub(crate) label: String,
    pub(crate) resource: String,
    pub(crate) scopes: String,
    pub(crate) began: String,
    pub(crate) left: String,
    pub(crate) transaction: String,
}

/// A browser in which the person is logged in.
pub(crate) struct AccountSession {
    pub(crate) began: String,
    pub(crate) seen: String,
    pub(crate) is_own: bool,
    pub(crate) transaction: String,
}

/// The accounts at servers.
#[derive(Template)]
#[template(path = "connect.html")]
pub(crate) struct Connect<'a> {
    pub(crate) user: &'a str,
    pub(crate) servers: &'a [ConnectServer],
    /// The name that a new account gets unless the person types another.
    pub(crate) name: &'a str,
    /// Whether the list is longer than what is shown.
    pub(crate) is_part: bool,
}

/// A server at which there can be accounts.
pub(crate) struct ConnectServer {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) shared: bool,
    pub(crate) accounts: Vec<ConnectAccount>,
    /// For the button that connects another one; nothing for those who may not.
    pub(crate) connect: Option<String>,
}

/// An account at a server.
pub(crate) struct ConnectAccount {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) scopes: String,
    pub(crate) problem: Option<String>,
    pub(crate) in_use: bool,
    /// The buttons' transactions; nothing for those who may not press them.
    pub(crate) buttons: Option<ConnectButtons>,
}

/// What the buttons of an account carry.
pub(crate) struct ConnectButtons {
    pub(crate) again: String,
    pub(crate) choose: String,
    pub(crate) end: String,
}

/// The page that asks before the browser leaves for a server's authorization server.
#[derive(Template)]
#[template(path = "connect_confirm.html")]
pub(crate) struct ConnectConfirm<'a> {
    pub(crate) server: &'a str,
    pub(crate) url: &'a str,
    pub(crate) name: &'a str,
    pub(crate) user: &'a str,
    pub(crate) destination: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) moved_from: Option<&'a str>,
    pub(crate) transaction: &'a str,
}

/// The page on which a device's code is entered.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct Device<'a> {
    pub(crate) code: &'a str,
    pub(crate) message: Option<&'a str>,
}

/// The page that asks about a device.
#[derive(Template)]
#[template(path = "device_confirm.html")]
pub(crate) struct DeviceConfirm<'a> {
    pub(crate) client: Option<&'a str>,
    /// The host at which the client describes itself.
    pub(crate) publisher: Option<&'a str>,
    pub(crate) code: &'a str,
    pub(crate) user: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) label: &'a str,
    pub(crate) permissions: &'a [String],
    pub(crate) lifetime: &'a str,
    pub(crate) transaction: &'a str,
}

/// The page that asks about a call.
#[derive(Template)]
#[template(path = "approve.html")]
pub(crate) struct Approve<'a> {
    pub(crate) client: &'a str,
    pub(crate) tool: &'a str,
    pub(crate) server: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) user: &'a str,
    pub(crate) transaction: &'a str,
}

/// What a person sees who has answered about a call.
#[derive(Template)]
#[template(path = "approve_done.html")]
pub(crate) struct ApproveDone {
    pub(crate) allowed: bool,
}

/// What a person sees who has answered about a device.
#[derive(Template)]
#[template(path = "device_done.html")]
pub(crate) struct DeviceDone {
    pub(crate) allowed: bool,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    status: u16,
    title: &'a str,
    why: &'a str,
    mend: &'a str,
}

/// An error page.
pub(crate) fn problem(status: StatusCode, title: &str, why: &str, mend: &str) -> Response {
    page(
        status,
        &ProblemPage {
            status: status.as_u16(),
            title,
            why,
            mend,
        },
        None,
    )
}

/// A page. `leads_to` is the place outside that the answer to the page's form can redirect to, as a CSP source: browsers
/// block a form's redirect to anything that `form-action` does not name.
pub(crate) fn page(status: StatusCode, template: &impl Template, leads_to: Option<&str>) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy(leads_to));
    harden(headers);
    response
}

/// The headers of everything that a browser shows or follows here, besides those of every answer. Pages add a `meta` element with the referrer policy
/// `same-origin`, because browsers send `Origin: null` with the forms of a page that sends no referrer at all.
pub(crate) fn harden(headers: &mut axum::http::HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let name = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(name, HeaderValue::from_static("same-origin"));
}

fn policy(leads_to: Option<&str>) -> HeaderValue {
    let form_action = leads_to.map_or_else(|| "'self'".to_owned(), |place| format!("'self' {place}"));
    let text = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'; form-action 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn co_04_co_10_every_page_refuses_frames_scripts_and_strangers() {
        let response = problem(StatusCode::BAD_REQUEST, "<script>", "\"'&", "mend");
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
        };
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; \
             base-uri 'none'"
        );
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-store");
    }

    #[test]
    fn az_12_pages_load_nothing_from_elsewhere() {
        let page = ProblemPage {
            status: 400,
            title: "<b>",
            why: "&",
            mend: "'",
        }
        .render()
        .unwrap();
        assert!(!page.contains("<b>") && !page.contains("<script"));
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for (_, rest) in page
                .match_indices(attribute)
                .map(|(at, _)| page.split_at(at + attribute.len()))
            {
                assert!(
                    rest.starts_with('/') && !rest.starts_with("//"),
                    "{attribute}{rest}"
                );
            }
        }
    }
}
