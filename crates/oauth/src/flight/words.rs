//! Each rule in words: what happened, with `{who}` for the client, and the mend.

use super::rule::Rule;
use super::shape::Place;
use super::step::{Document, Point, Step};

const CONNECT_AGAIN: &str = "Connect again from the client.";
const FORGET: &str = "Remove the saved sign-in from the client (often called log out or clear authentication) and connect \
                      again: it then registers anew.";
const UPDATE: &str = "Update the client; if it is the newest, tell its maker.";
const WAIT: &str = "Wait a minute and connect again; behind a proxy, set `trusted_proxies`, so that its clients are not taken \
                    for one.";

/// The words of a rule.
pub(super) fn of(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::RegistrationClosed
        | Rule::RegistrationThrottled
        | Rule::RegistrationForm
        | Rule::RegistrationMember
        | Rule::RedirectsMissing
        | Rule::RedirectPlainHttp
        | Rule::RedirectScheme
        | Rule::RedirectConfidential
        | Rule::RedirectForm
        | Rule::SoftwareStatement
        | Rule::DocumentRefused
        | Rule::DocumentUnreachable
        | Rule::DocumentThrottled
        | Rule::DocumentWrong => becoming_known(rule),
        Rule::RequestUnreadable
        | Rule::ClientMissing
        | Rule::RedirectMissing
        | Rule::ClientUnknown
        | Rule::RedirectNotRegistered
        | Rule::ParameterRepeated
        | Rule::ResponseType
        | Rule::ResponseMode
        | Rule::RequestObject
        | Rule::ChallengeMissing
        | Rule::ChallengeMethod
        | Rule::ChallengeForm
        | Rule::ResourceUnknown
        | Rule::Prompt
        | Rule::PersonNeeded
        | Rule::PersonSaidNo
        | Rule::PasswordWrong
        | Rule::LoginThrottled => asking(rule),
        Rule::PushedThrottled
        | Rule::DeviceThrottled
        | Rule::DeviceNotRegistered
        | Rule::ProviderDenied
        | Rule::ProviderFailed
        | Rule::ProviderForeign
        | Rule::PersonUnlisted => beside(rule),
        _ => redeeming(rule),
    }
}

fn becoming_known(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::RegistrationClosed => (
            "{who} tried to register itself, which is not allowed here.",
            "Set `auth.dynamic_registration: true`, or make a client with `sallyport client create` and give its client_id to \
             the program.",
        ),
        Rule::RegistrationThrottled => (
            "{who} could not register: too many registrations came from its address.",
            WAIT,
        ),
        Rule::RegistrationForm => ("{who} sent a registration that is no JSON object.", UPDATE),
        Rule::RegistrationMember => (
            "{who} sent a registration with a member that cannot be served; the answer has named it.",
            UPDATE,
        ),
        Rule::RedirectsMissing => (
            "{who} sent a registration without redirect URIs.",
            "Some clients do so when a token has ended and they cannot renew it: log in again from the client.",
        ),
        Rule::RedirectPlainHttp => (
            "{who} tried to register a redirect URI in plain http that is not on its own machine.",
            "Use https, or http on 127.0.0.1, [::1] or localhost.",
        ),
        Rule::RedirectScheme => (
            "{who} tried to register a redirect URI with a scheme that is not accepted here.",
            "Add the scheme to `auth.private_schemes`, if you trust the app that owns it.",
        ),
        Rule::RedirectConfidential => (
            "{who} tried to register an app's own scheme together with a secret, which an app cannot keep.",
            "Have it register as a public client: `token_endpoint_auth_method` none.",
        ),
        Rule::RedirectForm => (
            "{who} tried to register a redirect URI that is none, or has a fragment or user information.",
            UPDATE,
        ),
        Rule::SoftwareStatement => (
            "{who} sent a software statement, and none are trusted here.",
            UPDATE,
        ),
        Rule::DocumentRefused => (
            "{who} names a document that describes it, which does not count here.",
            "Set `auth.client_metadata_documents: true`, and name the document's host in `auth.client_metadata_hosts` if that is set.",
        ),
        Rule::DocumentUnreachable => (
            "The document that describes {who} cannot be fetched.",
            "The gateway needs a way to the document's host; without one, let the client register itself.",
        ),
        Rule::DocumentThrottled => (
            "Too many documents of clients were fetched for this address, or from that host.",
            WAIT,
        ),
        _ => (
            "The document that describes {who} describes no client that is accepted here; the log says why.",
            "Tell the maker of the client, or let it register itself.",
        ),
    }
}

fn asking(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::ClientMissing => ("A browser came without a client_id.", CONNECT_AGAIN),
        Rule::RedirectMissing => (
            "{who} did not say where to return to: redirect_uri is missing.",
            UPDATE,
        ),
        Rule::ClientUnknown => (
            "A client came with a client_id that does not exist here, or no longer.",
            FORGET,
        ),
        Rule::ParameterRepeated => ("{who} sent a parameter twice.", UPDATE),
        Rule::ResponseType => ("{who} asked for another response_type than code.", UPDATE),
        Rule::ResponseMode => ("{who} asked for another response_mode than query.", UPDATE),
        Rule::RequestObject => (
            "{who} sent a request object or a registration, which are not read here.",
            UPDATE,
        ),
        Rule::ChallengeMissing => (
            "{who} sent no code_challenge: without PKCE nobody is let in.",
            "Use a client that does PKCE with S256, as OAuth 2.1 and MCP demand.",
        ),
        Rule::ChallengeMethod => (
            "{who} wants another code_challenge_method than S256.",
            "Use a client that does PKCE with S256, as OAuth 2.1 and MCP demand.",
        ),
        Rule::ChallengeForm => ("{who} sent a code_challenge that is no SHA-256 hash.", UPDATE),
        Rule::ResourceUnknown => (
            "{who} asked for a resource that is none of this gateway's.",
            "Give the client the endpoint's URL exactly as the gateway prints it; if that is another host, set `public_url`.",
        ),
        Rule::Prompt => ("{who} sent a prompt that contradicts itself.", UPDATE),
        Rule::PersonNeeded => (
            "{who} wanted to log in without showing a page, and a person is needed.",
            CONNECT_AGAIN,
        ),
        Rule::PersonSaidNo => (
            "The person said no to {who}.",
            "Connect again, if that was a mistake.",
        ),
        Rule::PasswordWrong => (
            "Somebody tried to log in for {who} with a name and password that do not belong together.",
            "Try again; `sallyport user list` shows the names.",
        ),
        Rule::LoginThrottled => ("Too many tries to log in.", WAIT),
        _ => ("{who} sent an authorization request that cannot be read.", UPDATE),
    }
}

/// What is not on the way of every log-in: pushed requests, devices, identity providers.
fn beside(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::PushedThrottled => (
            "{who} pushed more requests than may wait, or its address did.",
            WAIT,
        ),
        Rule::DeviceThrottled => (
            "{who} asked for more codes for devices than may wait, or its address did.",
            WAIT,
        ),
        Rule::DeviceNotRegistered => (
            "{who} asked for a code for a device, and has not registered that grant type.",
            "Have it register `urn:ietf:params:oauth:grant-type:device_code`.",
        ),
        Rule::ProviderDenied => (
            "The identity provider, or the person there, said no to the log-in for {who}.",
            "Try again; if the provider said no, look at who may use this application there.",
        ),
        Rule::ProviderFailed => (
            "The identity provider could not be asked during the log-in for {who}, or its answer does not count.",
            "The gateway's log says why; `sallyport doctor` reads the provider's documents.",
        ),
        Rule::ProviderForeign => (
            "A log-in came back from the identity provider that was not begun in this browser, or more than ten minutes before.",
            "Allow cookies for this address and connect again, in one browser and with one window.",
        ),
        _ => (
            "Somebody logged in at the identity provider for {who} who is not on the list.",
            "Add the person to `auth.allow_users`; the log and the page name them as the list does.",
        ),
    }
}

fn redeeming(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::TokenThrottled => (
            "Too many requests for tokens failed from the address of {who}.",
            WAIT,
        ),
        Rule::TokenForm => (
            "{who} sent a token request that lacks a parameter, or has one twice.",
            UPDATE,
        ),
        Rule::GrantType => (
            "{who} asked for tokens with a grant_type that is not served.",
            UPDATE,
        ),
        Rule::ClientRefused => (
            "A client could not prove who it is at the token endpoint, or does not exist.",
            FORGET,
        ),
        Rule::ProofRefused => (
            "The DPoP proof of {who} is none, or is missing; the log says why.",
            "Compare the client's clock with the gateway's, and `public_url` with the address that the client uses.",
        ),
        Rule::StatementRefused => (
            "The signed statement of {who} does not prove who it is; the log says why.",
            "Compare the client's key with its registration, and its clock with the gateway's.",
        ),
        Rule::CodeUnknown => (
            "{who} came with a code that was not given out here.",
            "Connect again. If it happens every time, several gateways stand behind one address without one store.",
        ),
        Rule::CodeReplayed => (
            "{who} used a code twice, so what was granted with it was ended.",
            "Connect again. If it happens every time, something between client and gateway repeats requests.",
        ),
        Rule::CodeOtherClient => (
            "{who} came with a code that was given to another client.",
            CONNECT_AGAIN,
        ),
        Rule::CodeExpired => (
            "{who} came too late with its code: it counts for a minute.",
            CONNECT_AGAIN,
        ),
        Rule::CodeRedirect => (
            "{who} named another redirect_uri at the token endpoint than when it asked.",
            UPDATE,
        ),
        Rule::VerifierMissing => ("{who} sent no code_verifier.", UPDATE),
        Rule::VerifierWrong => (
            "{who} sent a code_verifier that does not belong to its code_challenge.",
            "Connect again, with one log-in at a time: several copies of a client can mix up their files.",
        ),
        Rule::ResourceChanged => (
            "{who} asked at the token endpoint for another resource than was granted.",
            "Give the client one URL, spelled as the gateway prints it, and connect again.",
        ),
        _ => lasting(rule),
    }
}

fn lasting(rule: Rule) -> (&'static str, &'static str) {
    match rule {
        Rule::GrantRevoked => ("What was granted to {who} has been revoked.", CONNECT_AGAIN),
        Rule::RefreshUnknown => (
            "{who} came with a refresh token that is not known here.",
            CONNECT_AGAIN,
        ),
        Rule::RefreshOtherClient => (
            "{who} came with a refresh token of another client: it has registered anew and kept its old tokens.",
            CONNECT_AGAIN,
        ),
        Rule::RefreshExpired => ("The refresh token of {who} has expired.", CONNECT_AGAIN),
        Rule::RefreshReused => (
            "{who} used a refresh token long after it was replaced, so everything that came of it was ended.",
            "Connect again. If it happens again, several copies of the client share one file of tokens.",
        ),
        Rule::RefreshScope => (
            "{who} asked for more scopes on refreshing than were granted.",
            CONNECT_AGAIN,
        ),
        Rule::RefreshNotRegistered => (
            "{who} has not registered the grant type refresh_token.",
            "Have it register refresh_token, or log in again each time.",
        ),
        Rule::TokenScope => (
            "The token of {who} has not the scope that the endpoint needs.",
            CONNECT_AGAIN,
        ),
        Rule::PersonNotAdmitted => (
            "{who} has logged in somebody whom the profile does not admit.",
            "Name the person in the profile's `users`, or use another profile.",
        ),
        _ => ("{who} was refused; the log says why.", CONNECT_AGAIN),
    }
}

impl Step {
    /// What was seen, for a person who reads the steps one after the other.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Challenged { endpoint, rule } => {
                let why = match rule {
                    Rule::TokenMissing => "no token",
                    Rule::TokenExpired => "an expired token",
                    Rule::TokenAudience => "a token for another endpoint",
                    Rule::TokenRevoked => "a revoked token",
                    Rule::ProofRefused => "a DPoP proof that was not accepted",
                    _ => "a token that is none of this gateway's",
                };
                format!(
                    "came to {} with {why}, and was told where to log in (401)",
                    endpoint.as_str()
                )
            }
            Self::Discovery { document, found } => {
                let what = match document {
                    Document::ProtectedResource => "the resource's document (RFC 9728)",
                    Document::AuthorizationServer => "the server's document (RFC 8414)",
                    Document::OpenidConfiguration => "the server's document (OpenID Connect)",
                    Document::Unknown => "a document that there is not",
                };
                let how = if *found { "read" } else { "looked in vain for" };
                format!("{how} {what}")
            }
            Self::Registered { redirects, .. } => {
                format!("registered, to return to {}", listed(redirects))
            }
            Self::Asked {
                redirect,
                state,
                resource,
                scope,
            } => {
                let left_out = [("state", state), ("resource", resource), ("scope", scope)];
                let left_out: Vec<&str> = left_out
                    .iter()
                    .filter(|(_, given)| !**given)
                    .map(|(name, _)| *name)
                    .collect();
                let without = if left_out.is_empty() {
                    String::new()
                } else {
                    format!(", without {}", left_out.join(" and "))
                };
                format!(
                    "asked for authorization, to return to {}{without}",
                    redirect.as_str()
                )
            }
            Self::LoginShown => "was shown the log-in page".to_owned(),
            Self::LoggedIn => "logged in".to_owned(),
            Self::ConsentShown => "was asked for consent".to_owned(),
            Self::Allowed { remembered: true } => "had said yes before".to_owned(),
            Self::Allowed { remembered: false } => "said yes".to_owned(),
            Self::Issued { renewable: true } => "got an access token and a refresh token".to_owned(),
            Self::Issued { renewable: false } => "got an access token".to_owned(),
            Self::Renewed => "renewed its tokens".to_owned(),
            Self::Used => "used its access token for the first time".to_owned(),
            Self::Refused(refused) => format!("was refused {}: {}", at(refused.point), refused.rule.name()),
        }
    }
}

fn at(point: Point) -> &'static str {
    match point {
        Point::Mcp => "at the MCP endpoint",
        Point::Registration => "at registration",
        Point::Document => "for its document",
        Point::Authorization => "at authorization",
        Point::Person => "on the pages",
        Point::Token => "at the token endpoint",
        Point::Pushed => "at /par",
        Point::Device => "at /device_authorization",
        Point::Provider => "on the way through the identity provider",
    }
}

fn listed(places: &[Place]) -> String {
    let places: Vec<&str> = places.iter().map(Place::as_str).collect();
    places.join(" and ")
}
