//! The authorization server of MCP servers: it registers clients, logs in whom the test says, and rotates refresh tokens
//! strictly: none counts twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json as object};

use super::oidc::changed;
use super::{Asked, Fields, Provider, Response, back, json, lock, page, start};
use crate::http::{Answer, Request};
use crate::oauth::challenge;

/// What it does otherwise than it should, or than it usually does.
#[derive(Clone, Default)]
pub struct Habits {
    /// Members of its metadata that are other ones; null removes one.
    pub metadata: Map<String, Value>,
    /// `iss` of the authorization response: another one, or (empty) none.
    pub iss: Option<String>,
    /// Members of its token answers that are other ones.
    pub tokens: Map<String, Value>,
    /// The error with which authorization ends.
    pub refuses: Option<&'static str>,
}

/// What was granted to somebody.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) person: String,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    family: usize,
}

/// The redirect URI of whoever may come back anywhere.
const ANYWHERE: &str = "*";

/// An authorization server.
pub struct LoginServer {
    url: String,
    person: Mutex<String>,
    /// What it does otherwise.
    pub habits: Mutex<Habits>,
    /// How long access tokens live, in seconds, as it says.
    pub lifetime: AtomicU64,
    clients: Mutex<HashMap<String, Value>>,
    codes: Mutex<HashMap<String, Fields>>,
    pub(super) access: Mutex<HashMap<String, Grant>>,
    refresh: Mutex<HashMap<String, Grant>>,
    count: AtomicUsize,
    /// Every token request, as it came.
    pub requests: Mutex<Vec<HashMap<String, String>>>,
    /// Every authorization request, as it came.
    pub visits: Mutex<Vec<HashMap<String, String>>>,
    /// Every registration.
    pub registrations: Mutex<Vec<Value>>,
    /// Everything that was sent to it but for its metadata being read, in the order in which it came.
    pub told: Mutex<Vec<String>>,
}

impl LoginServer {
    /// Starts it; `ada` logs in next, and access tokens live for an hour.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> anyhow::Result<Provider<Self>> {
        start(
            |address: SocketAddr| Self {
                url: format!("http://{address}"),
                person: Mutex::new("ada".to_owned()),
                habits: Mutex::default(),
                lifetime: AtomicU64::new(3600),
                clients: Mutex::default(),
                codes: Mutex::default(),
                access: Mutex::default(),
                refresh: Mutex::default(),
                count: AtomicUsize::new(1),
                requests: Mutex::default(),
                visits: Mutex::default(),
                registrations: Mutex::default(),
                told: Mutex::default(),
            },
            Self::answer,
        )
        .await
    }

    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.url.clone()
    }

    /// Tells it what to do otherwise from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Habits)) {
        let mut habits = Habits::default();
        change(&mut habits);
        *lock(&self.habits) = habits;
    }

    /// Who logs in next.
    pub fn log_in_next(&self, person: &str) {
        person.clone_into(&mut lock(&self.person));
    }

    /// Every access token that was given out ends now.
    pub fn end_access(&self) {
        lock(&self.access).clear();
    }

    /// Every refresh token that was given out ends now.
    pub fn end_refresh(&self) {
        lock(&self.refresh).clear();
    }

    /// Clients are forgotten.
    pub fn forget_clients(&self) {
        lock(&self.clients).clear();
    }

    /// How many requests there were at the token endpoint with this grant type.
    #[must_use]
    pub fn count(&self, grant: &str) -> usize {
        let is = |request: &&HashMap<String, String>| request.get("grant_type").is_some_and(|g| g == grant);
        lock(&self.requests).iter().filter(is).count()
    }

    /// Registers a client as an operator would: with a secret, or for statements of its own. It may come back anywhere.
    pub fn enrol(&self, id: &str, secret: Option<&str>) {
        let client = object!({ "client_secret": secret, "client_id": id, "redirect_uris": [ANYWHERE] });
        lock(&self.clients).insert(id.to_owned(), client);
    }

    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    fn answer(&self, asked: &Asked) -> Response {
        if !asked.path.starts_with("/.well-known/") {
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            let told = format!("{} {} {:?} {body}", asked.method, asked.path, asked.headers);
            lock(&self.told).push(told);
        }
        match (&asked.method, asked.path.as_str()) {
            (&Method::GET, "/.well-known/oauth-authorization-server") => self.metadata(),
            (&Method::POST, "/register") => self.register(&asked.body),
            (&Method::GET, "/authorize") => self.authorize(&asked.query),
            (&Method::POST, "/token") => self.exchange(asked),
            _ => page(StatusCode::NOT_FOUND, "Not Found", ""),
        }
    }

    fn metadata(&self) -> Response {
        let url = &self.url;
        let document = object!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "registration_endpoint": format!("{url}/register"),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
            "authorization_response_iss_parameter_supported": true,
        });
        json(StatusCode::OK, &changed(document, &lock(&self.habits).metadata))
    }

    fn register(&self, body: &[u8]) -> Response {
        let Ok(sent) = serde_json::from_slice::<Value>(body) else {
            return json(
                StatusCode::BAD_REQUEST,
                &object!({ "error": "invalid_client_metadata" }),
            );
        };
        let id = format!("client-{}-of-{}", self.next(), self.url);
        let mut client = sent.clone();
        lock(&self.registrations).push(sent);
        if let Some(members) = client.as_object_mut() {
            members.insert("client_id".to_owned(), id.clone().into());
            if members.get("token_endpoint_auth_method") != Some(&"none".into()) {
                members.insert("client_secret".to_owned(), format!("secret of {id}").into());
            }
        }
        lock(&self.clients).insert(id, client.clone());
        json(StatusCode::CREATED, &client)
    }

    fn authorize(&self, query: &Fields) -> Response {
        lock(&self.visits).push(query.0.clone());
        let known = lock(&self.clients).get(query.get("client_id")).cloned();
        let redirects = known
            .as_ref()
            .and_then(|client| client.get("redirect_uris")?.as_array());
        let fits = |uri: &Value| uri == ANYWHERE || uri == query.get("redirect_uri");
        let is_known = redirects.is_some_and(|uris| uris.iter().any(fits));
        if !is_known || query.get("response_type") != "code" || query.get("code_challenge_method") != "S256" {
            return page(StatusCode::BAD_REQUEST, "Bad request", "");
        }
        let habits = lock(&self.habits).clone();
        let iss = habits.iss.unwrap_or_else(|| self.url.clone());
        let mut pairs = vec![("state", query.get("state"))];
        if !iss.is_empty() {
            pairs.push(("iss", &iss));
        }
        let code = format!("code-{}", self.next());
        match habits.refuses {
            Some(error) => pairs.push(("error", error)),
            None => {
                let mut fields = query.clone();
                fields.0.insert("person".to_owned(), lock(&self.person).clone());
                lock(&self.codes).insert(code.clone(), fields);
                pairs.push(("code", &code));
            }
        }
        back(query.get("redirect_uri"), &pairs)
    }

    fn exchange(&self, asked: &Asked) -> Response {
        let form = &asked.form;
        lock(&self.requests).push(form.0.clone());
        let refused = |error: &str| json(StatusCode::BAD_REQUEST, &object!({ "error": error }));
        let client = lock(&self.clients).get(form.get("client_id")).cloned();
        let secret = client
            .as_ref()
            .and_then(|client| client.get("client_secret")?.as_str());
        let redirect = client
            .as_ref()
            .and_then(|client| client.pointer("/redirect_uris/0"));
        // Whoever has registered itself may be public, and a statement of another authority is proof enough.
        let proves = redirect == Some(&ANYWHERE.into()) && secret.is_none();
        let granted = form.get("grant_type").ends_with(":jwt-bearer");
        if proves && !granted && !self.is_statement(form) {
            return json(StatusCode::UNAUTHORIZED, &object!({ "error": "invalid_client" }));
        }
        if client.is_none() || secret.unwrap_or_default() != form.get("client_secret") {
            return json(StatusCode::UNAUTHORIZED, &object!({ "error": "invalid_client" }));
        }
        match form.get("grant_type") {
            "authorization_code" => {
                let request = lock(&self.codes).remove(form.get("code"));
                let right = |request: &Fields| {
                    ["redirect_uri", "client_id", "resource"]
                        .iter()
                        .all(|name| request.get(name) == form.get(name))
                        && request.get("code_challenge") == challenge(form.get("code_verifier"))
                };
                let Some(request) = request.filter(right) else {
                    return refused("invalid_grant");
                };
                self.give(Grant {
                    person: request.get("person").to_owned(),
                    resource: request.get("resource").to_owned(),
                    scopes: request
                        .get("scope")
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                    family: self.next(),
                })
            }
            "refresh_token" => {
                let found = lock(&self.refresh).remove(form.get("refresh_token"));
                match found.filter(|grant| grant.resource == form.get("resource")) {
                    Some(grant) => self.give(grant),
                    None => refused("invalid_grant"),
                }
            }
            "client_credentials" | "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.give(Grant {
                person: form.get("client_id").to_owned(),
                resource: form.get("resource").to_owned(),
                scopes: form.get("scope").split_whitespace().map(str::to_owned).collect(),
                family: self.next(),
            }),
            _ => refused("unsupported_grant_type"),
        }
    }

    /// Whether the form bears a statement of its client that is meant for this server and did not come before. Its signature
    /// is not looked at.
    fn is_statement(&self, form: &Fields) -> bool {
        let payload = form.get("client_assertion").split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        let same = |request: &&HashMap<String, String>| {
            request.get("client_assertion").map(String::as_str) == Some(form.get("client_assertion"))
        };
        // This one is among them already.
        let is_first = lock(&self.requests).iter().filter(same).count() == 1;
        let id = form.get("client_id");
        is_first && is("iss", id) && is("sub", id) && is("aud", &self.url)
    }

    fn give(&self, grant: Grant) -> Response {
        let (number, family) = (self.next(), grant.family);
        let (access, refresh) = (
            format!("at-{number}-{family}-{}", grant.person),
            format!("rt-{number}-{family}"),
        );
        let answer = object!({
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.lifetime.load(Ordering::SeqCst),
            "scope": grant.scopes.join(" "),
        });
        lock(&self.access).insert(access, grant.clone());
        lock(&self.refresh).insert(refresh, grant);
        json(StatusCode::OK, &changed(answer, &lock(&self.habits).tokens))
    }
}

impl Provider<LoginServer> {
    /// What the browser gets when it brings `target` here.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn visit(&self, target: &str) -> anyhow::Result<Answer> {
        let url = url::Url::parse(target)?;
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        self.ask(&Request::get(&path)).await
    }
}
