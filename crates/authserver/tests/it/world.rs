//! A gateway's authorization server in memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use sallyport_authserver::{Approvals, Logins, Parts, Proofs, ResourceInfo, Settings, router};
use sallyport_core::audit::{Action, Audit, AuditUnavailable, Entry, Event, Outcome, Pending};
use sallyport_core::capability::{Passwords as _, TokenError, VerifyToken as _};
use sallyport_core::{Clock, Random as _, Resource, Secret, Timestamp, UserId};
use sallyport_net::Peer;
use sallyport_net::egress::{Egress, EgressPolicy};
use sallyport_oauth::model::User;
use sallyport_store::{Store, StoreOptions};
use sallyport_vault::password::Argon2id;
use sallyport_vault::signing::{Alg, Signer, SigningKey};
use sallyport_vault::verifier::Verifier;
use sallyport_vault::{SystemRandom, Vault};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8717";
pub(crate) const MCP: &str = "http://127.0.0.1:8717/mcp";
pub(crate) const TEAM: &str = "http://127.0.0.1:8717/mcp/team";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:33418/cb";
pub(crate) const WEB_REDIRECT: &str = "https://c.test/cb";
/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An audit trail that keeps events in memory and can be broken.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    broken: AtomicBool,
}

impl Recorder {
    fn push(&self, event: Event) -> Result<(), AuditUnavailable> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(AuditUnavailable);
        }
        self.events.lock().unwrap().push(event);
        Ok(())
    }
}

impl Audit for Recorder {
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>> {
        Box::pin(async move { self.push(event) })
    }

    fn enter(&self, entry: &Entry<'_>) -> Result<(), AuditUnavailable> {
        self.push(entry.to_event())
    }
}

pub(crate) struct World {
    router: Router,
    pub(crate) parts: Parts,
    pub(crate) store: Store,
    verifier: Arc<Verifier>,
    clock: Arc<ManualClock>,
    audit: Arc<Recorder>,
    pub(crate) dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|v| v.to_str().unwrap())
            .unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn error(&self) -> (u16, String) {
        (
            self.status.as_u16(),
            self.json()["error"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// A parameter of the place that the answer redirects to.
    pub(crate) fn redirected(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(ISSUER)
            .unwrap()
            .join(self.header("location"))
            .unwrap();
        url.query_pairs()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.into_owned())
    }

    /// An error page that sends nobody anywhere.
    pub(crate) fn is_page(&self, status: u16) -> bool {
        self.status.as_u16() == status
            && self.header("location").is_empty()
            && self.header("content-type").starts_with("text/html")
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::reaching(Egress::new(EgressPolicy::default()), change).await
    }

    /// A world with another way out.
    pub(crate) async fn reaching(egress: Arc<Egress>, change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data"), StoreOptions::default())
            .await
            .unwrap();
        let random = Arc::new(SystemRandom);
        let mut master = [0; 32];
        random.fill(&mut master);
        let master = sallyport_vault::MasterKey::from_bytes(master).unwrap();
        let vault = Arc::new(Vault::new(&master, random.clone()).unwrap());
        let clock = Arc::new(ManualClock(AtomicI64::new(1_790_000_000_000)));
        let key = SigningKey::generate(Alg::Es256, clock.now()).unwrap();
        let signer = Arc::new(Signer::new(ISSUER, &key, &[]).unwrap());
        let verifier = Arc::new(Verifier::new(ISSUER, &signer.verifying_keys(), 100).unwrap());
        let audit = Arc::new(Recorder::default());
        let info = |url: &str, path: &str, label: &str| ResourceInfo {
            resource: Resource::parse(url).unwrap(),
            path: path.into(),
            label: label.into(),
            users: sallyport_core::policy::Selection::all(),
        };
        let resources = vec![info(MCP, "/mcp", "All servers"), info(TEAM, "/mcp/team", "Team")];
        let mut settings = Settings::new(ISSUER, resources, Resource::parse(MCP).unwrap());
        change(&mut settings);
        let parts = Parts {
            accounts: Arc::new(sallyport_core::account::NoAccounts),
            store: store.clone(),
            signer,
            sealer: vault.clone(),
            derive: vault.clone(),
            passwords: passwords(),
            verify: verifier.clone(),
            revoke: verifier.clone(),
            proofs: Arc::new(Proofs::new(vault.clone(), &*random)),
            approvals: Arc::new(Approvals::new(random.clone())),
            audit: audit.clone(),
            clock: clock.clone(),
            random,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            egress,
            metrics: Arc::new(|_| {}),
            logins: Logins::start(
                store.clone(),
                clock.clone(),
                Arc::new(SystemRandom),
                &tokio::runtime::Handle::current(),
            ),
        };
        Self {
            router: router(parts.clone()),
            parts,
            store,
            verifier,
            clock,
            audit,
            dir,
        }
    }

    /// The same store and clock in a new process.
    pub(crate) fn restarted(self) -> Self {
        let mut parts = self.parts;
        parts.logins = Logins::start(
            self.store.clone(),
            self.clock.clone(),
            Arc::new(SystemRandom),
            &tokio::runtime::Handle::current(),
        );
        Self {
            router: router(parts.clone()),
            parts,
            ..self
        }
    }

    /// A world with the administrator `ada`.
    pub(crate) async fn settled() -> Self {
        let world = Self::new().await;
        world.add_user("ada", true).await;
        world
    }

    pub(crate) async fn add_user(&self, name: &str, admin: bool) -> UserId {
        static HASH: OnceLock<String> = OnceLock::new();
        let hash = HASH.get_or_init(|| {
            passwords()
                .hash(&Secret::from(PASSWORD))
                .unwrap()
                .expose()
                .clone()
        });
        let id = UserId::generate(&SystemRandom);
        let password = Secret::from(hash.as_str());
        let user = User {
            id: id.clone(),
            name: name.into(),
            admin,
            password,
            created: self.clock.now(),
        };
        self.store.create_user(&user).await.unwrap();
        id
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock
            .0
            .fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn break_audit(&self, broken: bool) {
        self.audit.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn recorded(&self, action: Action, outcome: Outcome) -> usize {
        let events = self.audit.events.lock().unwrap();
        events
            .iter()
            .filter(|e| e.action == action && e.outcome == outcome)
            .count()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await
    }

    pub(crate) async fn send_from(&self, peer: IpAddr, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// A form without cookies, as programs send it.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.form_as(path, fields, None).await
    }

    pub(crate) async fn form_as(&self, path: &str, fields: &[(&str, &str)], basic: Option<&str>) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        if let Some(basic) = basic {
            request = request.header("authorization", basic);
        }
        self.send(request.body(Body::from(encode(fields))).unwrap()).await
    }

    pub(crate) async fn register(&self, body: &Value) -> Answer {
        let request = Request::post("/register").header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// The id of a new public client with one redirect URI.
    pub(crate) async fn client(&self, redirect_uri: &str) -> String {
        let body = json!({ "redirect_uris": [redirect_uri], "client_name": "Test client" });
        self.register(&body).await.json()["client_id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Whether an access token is good for a resource now.
    pub(crate) fn verify(&self, token: &str, resource: &str) -> Result<Timestamp, TokenError> {
        let audience = [Resource::parse(resource).unwrap()];
        self.verifier
            .verify(token, &audience, self.clock.now())
            .map(|principal| principal.expires)
    }
}

fn passwords() -> Arc<Argon2id> {
    static PASSWORDS: OnceLock<Arc<Argon2id>> = OnceLock::new();
    Arc::clone(PASSWORDS.get_or_init(|| Arc::new(Argon2id::new(Arc::new(SystemRandom)).unwrap())))
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// The path of an authorization request; `changes` replace parameters, add them, or remove them by an empty value.
pub(crate) fn authorize(client: &str, redirect_uri: &str, changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("state", "st-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", MCP),
        ("scope", "mcp"),
    ];
    for change in changes {
        fields.retain(|(name, _)| name != &change.0);
        if !change.1.is_empty() {
            fields.push(*change);
        }
    }
    format!("/authorize?{}", encode(&fields))
}
