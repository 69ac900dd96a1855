//! What is done wrong on purpose, and the verdict that it has to get.

use url::Url;

use super::fixture::Fixture;
use super::play::{Document, Plan, Stop};

/// A change of a client's log-in, and the name of the verdict.
pub(super) struct Mutation {
    pub(super) name: &'static str,
    pub(super) change: fn(&mut Plan),
    pub(super) verdict: &'static str,
}

const fn row(name: &'static str, change: fn(&mut Plan), verdict: &'static str) -> Mutation {
    Mutation {
        name,
        change,
        verdict,
    }
}

const CONNECTED: &str = "connected";
const REDIRECT: &str = "redirect-not-registered";
const DOCUMENT: &str = "document-wrong";

pub(super) const MUTATIONS: &[Mutation] = &[
    row("as it is", |_| {}, CONNECTED),
    // The endpoint.
    row("slash at the endpoint", |plan| plan.endpoint = "/mcp/", CONNECTED),
    row(
        "default profile",
        |plan| plan.endpoint = "/mcp/default",
        CONNECTED,
    ),
    // The redirect URI. The port of a loopback address does not count, everything else does.
    row("port", |plan| plan.redirect = port(&plan.redirect), "port"),
    row("slash", |plan| plan.redirect = slash(&plan.redirect), REDIRECT),
    row("path", |plan| plan.redirect.push_str("elsewhere"), REDIRECT),
    row("query", |plan| plan.redirect.push_str("?a=b"), REDIRECT),
    row("scheme", |plan| plan.redirect = scheme(&plan.redirect), REDIRECT),
    row("host", |plan| plan.redirect = host(&plan.redirect), REDIRECT),
    row(
        "no redirect",
        |plan| plan.drop("redirect_uri"),
        "redirect-missing",
    ),
    // The rest of the authorization request.
    row("no state", |plan| plan.drop("state"), CONNECTED),
    row("no resource", |plan| plan.drop("resource"), CONNECTED),
    row(
        "resource with a slash",
        |plan| plan.add("resource", "/"),
        CONNECTED,
    ),
    row(
        "another resource",
        |plan| plan.set("resource", "https://other.test/mcp"),
        "resource-unknown",
    ),
    row("no scope", |plan| plan.drop("scope"), CONNECTED),
    row(
        "foreign scopes",
        |plan| plan.set("scope", "openid email repo:write"),
        CONNECTED,
    ),
    row(
        "no challenge",
        |plan| plan.drop("code_challenge"),
        "challenge-missing",
    ),
    row(
        "plain challenge",
        |plan| plan.set("code_challenge_method", "plain"),
        "challenge-method",
    ),
    row(
        "no method",
        |plan| plan.drop("code_challenge_method"),
        "challenge-method",
    ),
    row(
        "implicit",
        |plan| plan.set("response_type", "token"),
        "response-type",
    ),
    row(
        "another client",
        |plan| plan.set("client_id", "nobody"),
        "client-unknown",
    ),
    row("prompt=none", |plan| plan.set("prompt", "none"), "person-needed"),
    // What is at the client's own URL.
    row("no document", |plan| plan.document = Document::Gone, DOCUMENT),
    row(
        "the document of another",
        |plan| plan.document = Document::OfAnother,
        DOCUMENT,
    ),
    row(
        "a document with a secret",
        |plan| plan.document = Document::WithSecret,
        DOCUMENT,
    ),
    // The person.
    row("no", |plan| plan.decision = "deny", "person-said-no"),
    // The tokens.
    row(
        "nobody redeems",
        |plan| plan.stop = Stop::BeforeRedeeming,
        "code-unused",
    ),
    row(
        "nobody calls",
        |plan| plan.stop = Stop::BeforeCalling,
        "token-unused",
    ),
    row(
        "no redirect on redeeming",
        |plan| plan.drop_token("redirect_uri"),
        CONNECTED,
    ),
    row(
        "another redirect on redeeming",
        |plan| plan.set_token("redirect_uri", "http://127.0.0.1:1/"),
        "code-redirect",
    ),
    row(
        "no verifier",
        |plan| plan.drop_token("code_verifier"),
        "verifier-missing",
    ),
    row(
        "another verifier",
        |plan| plan.set_token("code_verifier", &"x".repeat(43)),
        "verifier-wrong",
    ),
    row("another code", |plan| plan.set_token("code", "x"), "code-unknown"),
    row(
        "another client redeems",
        |plan| plan.set_token("client_id", "somebody-else"),
        "client-refused",
    ),
    row(
        "another resource on redeeming",
        |plan| plan.set_token("resource", "https://other.test/mcp"),
        "resource-changed",
    ),
    row(
        "no resource on redeeming",
        |plan| plan.drop_token("resource"),
        CONNECTED,
    ),
    row(
        "another grant",
        |plan| plan.set_token("grant_type", "password"),
        "grant-type",
    ),
    row(
        "without its token",
        |plan| plan.stop = Stop::CallWithout,
        "token-not-sent",
    ),
    // Refreshing.
    row(
        "another refresh token",
        |plan| plan.set_refresh("refresh_token", "x"),
        "refresh-unknown",
    ),
    row(
        "more scopes on refreshing",
        |plan| plan.set_refresh("scope", "mcp admin"),
        "refresh-scope",
    ),
    row(
        "no scope on refreshing",
        |plan| plan.drop_refresh("scope"),
        CONNECTED,
    ),
    row(
        "no resource on refreshing",
        |plan| plan.drop_refresh("resource"),
        CONNECTED,
    ),
    row(
        "another resource on refreshing",
        |plan| plan.set_refresh("resource", "https://other.test/mcp"),
        "resource-changed",
    ),
];

/// The verdict that the client has to get: another port counts unless the address is a loopback one, and only who has a
/// document can have a wrong one.
pub(super) fn verdict(mutation: &Mutation, fixture: &Fixture) -> &'static str {
    match mutation.verdict {
        "port" if fixture.redirect.starts_with("http://") => CONNECTED,
        "port" => REDIRECT,
        DOCUMENT if fixture.document.is_none() => CONNECTED,
        other => other,
    }
}

fn changed(uri: &str, change: impl FnOnce(&mut Url)) -> String {
    let Ok(mut url) = Url::parse(uri) else {
        return uri.to_owned();
    };
    change(&mut url);
    url.to_string()
}

fn port(uri: &str) -> String {
    changed(uri, |url| {
        let _ = url.set_port(Some(50_999));
    })
}

fn slash(uri: &str) -> String {
    uri.strip_suffix('/')
        .map_or_else(|| format!("{uri}/"), str::to_owned)
}

fn scheme(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or_default();
    let other = match scheme {
        "http" => "https",
        "https" => "http",
        _ => "vscode",
    };
    format!("{other}://{rest}")
}

fn host(uri: &str) -> String {
    if uri.contains("//localhost") {
        return uri.replace("//localhost", "//127.0.0.1");
    }
    if uri.contains("//127.0.0.1") {
        return uri.replace("//127.0.0.1", "//localhost");
    }
    changed(uri, |url| {
        let _ = url.set_host(Some("evil.test"));
    })
}
