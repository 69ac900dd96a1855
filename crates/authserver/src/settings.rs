//! What the operator decides about the authorization server.

use std::sync::Arc;
use std::time::Duration;

use sallyport_core::policy::Selection;
use sallyport_core::{Resource, Scope, ScopeSet};
use sallyport_oauth::Resources;
use sallyport_oauth::metadata::Server;
use sallyport_oauth::rate::Rate;
use sallyport_oauth::redirect::DEFAULT_PRIVATE_SCHEMES;

use crate::people::People;

/// The settings in force. They may be swapped while requests run; each request sees one state of them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `public_url` without a trailing slash: `iss`, and the start of every URL that is told.
    pub issuer: String,
    /// The protected resources, the default one among them.
    pub resources: Vec<ResourceInfo>,
    /// The resource of requests that name none.
    pub default_resource: Resource,
    /// How long an access token lives; default 15 minutes.
    pub access_ttl: Duration,
    /// How long a refresh token lives unused; default 30 days.
    pub refresh_ttl: Duration,
    /// How long a grant lives however often it is refreshed; default 30 days.
    pub refresh_absolute: Duration,
    /// How long an authorization code lives; default 60 s.
    pub code_ttl: Duration,
    /// How long a rotated refresh token still gets its successor; default 30 s.
    pub reuse_grace: Duration,
    /// How long the setup link is good; default 24 hours.
    pub setup_ttl: Duration,
    /// How long a browser stays logged in without being seen; default 24 hours.
    pub browser_idle: Duration,
    /// How long a browser stays logged in at most; default 7 days.
    pub browser_absolute: Duration,
    /// Private-use redirect schemes that may be registered, in lower case.
    pub private_schemes: Vec<String>,
    /// Whether clients may register themselves (RFC 7591); default yes.
    pub dynamic_registration: bool,
    /// Whether a `client_id` may be the URL of a document that describes the client; default yes.
    pub client_documents: bool,
    /// The hosts whose documents count, each with its port where that is not 443; default all.
    pub document_hosts: Option<Vec<String>>,
    /// The most registered clients; default 10 000.
    pub max_clients: u64,
    /// After what time a client that never got a token is forgotten; default 24 hours.
    pub unused_client_ttl: Duration,
    /// How long a client that registered itself is kept after it was used last, and how long the token of its registration
    /// is good; default 90 days, `None` is for ever.
    pub client_lifetime: Option<Duration>,
    /// Whom to tell about a security problem: a `mailto:` or `https:` URI (RFC 9116 §2.5.3); the front page otherwise.
    pub security_contact: Option<String>,
    /// The identity providers, and who of their people comes in; default none.
    pub people: Arc<People>,
    /// How often things may be tried. Read once, at start.
    pub throttle: Throttle,
}

/// One protected resource.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// Its identifier: the public URL of the endpoint.
    pub resource: Resource,
    /// The path of the endpoint, such as `/mcp/team`, without a trailing slash.
    pub path: String,
    /// What a person reads.
    pub label: String,
    /// Which people it admits.
    pub users: Selection,
}

/// How often things may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// Registrations of one peer; default 10 a minute, 20 at once.
    pub registrations: Rate,
    /// Authorization requests that one peer pushes (RFC 9126); default 60 a minute, 60 at once: more than a person logs in,
    /// and far from what is kept at once.
    pub pushed: Rate,
    /// Documents of clients that are fetched for one peer; default 20 a minute, 20 at once.
    pub documents_per_peer: Rate,
    /// Documents that are fetched from one host, so that nobody makes us a burden for it; default 30 a minute, 30 at once.
    pub documents_per_host: Rate,
    /// Log-ins of one person from one peer; default 4 a minute, 6 at once.
    pub logins_per_user_and_peer: Rate,
    /// Log-ins of one person from anywhere; default 10 a minute, 60 at once, so that many peers gain little and
    /// nobody is locked out for longer than seconds.
    pub logins_per_user: Rate,
    /// Log-ins of one peer; default 20 a minute, 40 at once.
    pub logins_per_peer: Rate,
    /// Codes of devices that one peer tries and nobody waits with; default 6 a minute, 10 at once.
    pub user_codes: Rate,
    /// Failed client authentications and grants of one peer; default 60 a minute, 120 at once.
    pub token_failures: Rate,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            registrations: Rate::per_minute(10, 20),
            pushed: Rate::per_minute(60, 60),
            documents_per_peer: Rate::per_minute(20, 20),
            documents_per_host: Rate::per_minute(30, 30),
            logins_per_user_and_peer: Rate::per_minute(4, 6),
            logins_per_user: Rate::per_minute(10, 60),
            logins_per_peer: Rate::per_minute(20, 40),
            user_codes: Rate::per_minute(6, 10),
            token_failures: Rate::per_minute(60, 120),
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Settings {
    /// The defaults for an issuer and its resources; `default_resource` has to be among them.
    #[must_use]
    pub fn new(issuer: impl Into<String>, resources: Vec<ResourceInfo>, default_resource: Resource) -> Self {
        Self {
            issuer: issuer.into().trim_end_matches('/').to_owned(),
            resources,
            default_resource,
            access_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: DAY * 30,
            refresh_absolute: DAY * 30,
            code_ttl: Duration::from_secs(60),
            reuse_grace: Duration::from_secs(30),
            setup_ttl: DAY,
            browser_idle: DAY,
            browser_absolute: DAY * 7,
            private_schemes: DEFAULT_PRIVATE_SCHEMES.iter().map(|s| (*s).to_owned()).collect(),
            dynamic_registration: true,
            client_documents: true,
            document_hosts: None,
            max_clients: 10_000,
            unused_client_ttl: DAY,
            client_lifetime: Some(DAY * 90),
            security_contact: None,
            people: Arc::default(),
            throttle: Throttle::default(),
        }
    }

    /// The scopes that contain every other one of ours: what clients register for unless they ask for less.
    #[must_use]
    pub fn scopes() -> ScopeSet {
        Scope::parse(Scope::MCP).into_iter().collect()
    }

    pub(crate) fn targets(&self) -> Resources {
        Resources::new(
            self.default_resource.clone(),
            self.resources.iter().map(|r| r.resource.clone()),
        )
    }

    /// Every resource that tokens are for.
    pub(crate) fn audiences(&self) -> Vec<Resource> {
        self.resources.iter().map(|info| info.resource.clone()).collect()
    }

    pub(crate) fn server<'a>(&'a self, scopes: &'a ScopeSet) -> Server<'a> {
        Server {
            issuer: &self.issuer,
            scopes,
            registration: self.dynamic_registration,
            documents: self.client_documents,
            vouchers: self.people.has_vouchers(),
        }
    }

    pub(crate) fn info(&self, resource: &Resource) -> Option<&ResourceInfo> {
        self.resources.iter().find(|info| info.resource == *resource)
    }

    /// Whether browsers reach the gateway by https: only then can cookies be `Secure`.
    pub(crate) fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }
}
