//! The path from an inbound request to the answer, over real upstreams: the demo server, and small servers of both eras
//! on loopback.

mod at_servers;
mod bounds;
mod bridge;
mod doors;
mod duplex;
mod eras;
mod extensions;
mod fake;
mod follows;
mod inflight;
mod levels;
mod lists;
mod long;
mod modern;
mod records;
mod resume;
mod scopes;
mod sessions;
mod sessions_end;
mod sse;
mod standing;
pub(crate) mod support;
mod tasks;
mod untouched;
mod visits;
mod wishes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use sallyport_core::audit::Audit;
use sallyport_core::policy::{Rules, Selection};
use sallyport_core::{Clock, ProfileSlug, RequestId, Resource, ServerName};
use sallyport_net::egress::{Egress, EgressPolicy};
use sallyport_net::{Body, Inbound, Memo, RequestBody, Worker};
use serde_json::{Value, json};

use self::support::{Counting, Hand, Keys, Shelf, Trail, Wax};
use crate::metrics::Metrics;
use crate::spec::{
    EndpointKind, EndpointSpec, HttpForm, Naming, Processes, Protocol, ProxyConfig, ProxyLimits,
    ServerLimits, ServerSpec, Spoken, Transport,
};
use crate::upstream::{Launcher, UpstreamDeps, Upstreams};
use crate::{Proxy, ProxyDeps, ServerSessions};

const PUBLIC: &str = "http://127.0.0.1:8717";

/// A proxy with everything that it needs.
struct Gate {
    proxy: Arc<Proxy>,
    worker: Arc<Worker>,
    trail: Arc<Trail>,
    clock: Arc<Hand>,
    keys: Arc<Keys>,
    shelf: Arc<Shelf>,
    upstreams: Arc<Upstreams>,
}

fn name(text: &str) -> ServerName {
    ServerName::parse(text).expect("a server's name")
}

fn server(text: &str, transport: Transport) -> ServerSpec {
    ServerSpec {
        name: name(text),
        transport,
        protocol: Protocol::Auto,
        shared: false,
        login: crate::spec::Login::Never,
        processes: Processes::default(),
        limits: ServerLimits::default(),
        fingerprint: [text.len() as u8; 32],
    }
}

/// A server of ours on loopback.
fn http(text: &str, at: SocketAddr, protocol: Protocol) -> ServerSpec {
    let url = format!("http://{at}/mcp").parse().expect("a URL");
    ServerSpec {
        protocol,
        ..server(
            text,
            Transport::Http {
                url,
                headers: Vec::new(),
                form: HttpForm::Auto,
            },
        )
    }
}

fn resource(path: &str) -> Resource {
    Resource::parse(&format!("{PUBLIC}{path}")).expect("a resource")
}

fn profile(slug: &str, servers: &[&str]) -> EndpointSpec {
    let mut paths = vec![format!("/mcp/{slug}")];
    if slug == "default" {
        paths.push("/mcp".to_owned());
    }
    EndpointSpec {
        kind: EndpointKind::Profile(ProfileSlug::parse(slug).expect("a slug")),
        resources: paths.iter().map(|path| resource(path)).collect(),
        paths,
        servers: servers.iter().map(|text| name(text)).collect(),
        naming: Naming::OnCollision,
        rules: Rules::open(),
        asks: Vec::new(),
        spoken: Spoken::ALL,
    }
}

fn config(servers: Vec<ServerSpec>, endpoints: Vec<EndpointSpec>) -> ProxyConfig {
    ProxyConfig {
        servers,
        endpoints,
        limits: ProxyLimits::default(),
        public_url: PUBLIC.to_owned(),
        anonymous: None,
        names: Arc::default(),
        curator: None,
    }
}

/// The demo server behind the profile `default`.
fn demo() -> ProxyConfig {
    config(
        vec![server("demo", Transport::Demo)],
        vec![profile("default", &["demo"])],
    )
}

impl Gate {
    fn new(config: ProxyConfig) -> Self {
        Self::on(config, Arc::default(), 1_000_000)
    }

    /// The same after a restart, so many milliseconds later.
    fn again(&self, config: ProxyConfig, later: i64) -> Self {
        let now = self.clock.0.load(Ordering::Relaxed) + later;
        Self::on(config, Arc::clone(&self.shelf), now)
    }

    fn on(config: ProxyConfig, shelf: Arc<Shelf>, now: i64) -> Self {
        let clock = Arc::new(Hand::default());
        clock.0.store(now, Ordering::Relaxed);
        let trail = Arc::new(Trail::default());
        let keys = Arc::new(Keys::default());
        let random = Arc::new(Counting::default());
        let control = tokio::runtime::Handle::current();
        let sessions = ServerSessions::new(Arc::clone(&shelf) as _, Arc::new(Wax));
        let upstreams = Upstreams::start(UpstreamDeps {
            sessions: Some(sessions),
            accounts: Arc::new(sallyport_core::account::NoAccounts),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::clone(&random) as _,
            audit: Arc::clone(&trail) as Arc<dyn Audit>,
            egress: Egress::new(EgressPolicy::default()),
            control: control.clone(),
            run_dir: std::env::temp_dir(),
            launcher: Launcher::Direct,
            environment: Arc::new(BTreeMap::new()),
        });
        let deps = ProxyDeps {
            approvals: Arc::new(sallyport_core::approval::SaidAlready),
            verifier: Arc::clone(&keys) as _,
            proofs: Arc::clone(&keys) as _,
            sealer: Arc::new(Wax),
            sessions: Arc::clone(&shelf) as _,
            audit: Arc::clone(&trail) as Arc<dyn Audit>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random,
            upstreams: Arc::clone(&upstreams),
            metrics: Arc::new(Metrics::new()),
            logins: Arc::new(sallyport_core::watch::Nobody),
            control,
        };
        Self {
            proxy: Proxy::new(deps, config),
            worker: Worker::new(0),
            trail,
            clock,
            keys,
            shelf,
            upstreams,
        }
    }

    async fn send(&self, ask: Ask) -> Answer {
        self.send_again(ask, &Memo::default()).await
    }

    /// Sends a request over a connection that keeps what was made of the same head.
    async fn send_again(&self, ask: Ask, memo: &Memo) -> Answer {
        let mut inbound = ask.inbound();
        inbound.memo = memo.clone();
        let response = self.proxy.handle(&self.worker, inbound).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            rest: String::new(),
        }
    }

    /// Opens a session and returns its id.
    async fn session(&self, who: &str, capabilities: Value) -> String {
        self.session_of("2025-06-18", who, capabilities).await
    }

    async fn session_of(&self, revision: &str, who: &str, capabilities: Value) -> String {
        let params = json!({"protocolVersion": revision, "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"}});
        let answer = self.send(Ask::legacy(who, None, "initialize", params)).await;
        assert_eq!(answer.status, 200);
        let id = answer.header("mcp-session-id").expect("a session id").to_owned();
        assert_eq!(answer.json().await["result"]["protocolVersion"], revision);
        id
    }
}

/// A request.
struct Ask {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Ask {
    fn post(who: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut ask = Self::bare("POST");
        ask.headers = vec![
            ("authorization", format!("Bearer {who}")),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
        ];
        ask.body = body.into();
        ask
    }

    fn bare(method: &'static str) -> Self {
        Self {
            method,
            path: "/mcp",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn get(who: &str, session: &str) -> Self {
        Self::bare("GET")
            .with("authorization", &format!("Bearer {who}"))
            .with("accept", "text/event-stream")
            .with("mcp-session-id", session)
    }

    /// A request of a legacy client.
    fn legacy(who: &str, session: Option<&str>, method: &str, params: Value) -> Self {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let ask = Self::post(who, body.to_string());
        match session {
            Some(session) => ask.with("mcp-session-id", session),
            None => ask,
        }
    }

    /// A request of a modern client, with everything that it needs.
    fn modern(who: &str, method: &str, params: Value) -> Self {
        Self::modern_with(who, method, params, json!({}))
    }

    fn modern_with(who: &str, method: &str, mut params: Value, capabilities: Value) -> Self {
        let mut meta = params["_meta"].take();
        if meta.is_null() {
            meta = json!({});
        }
        meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        params["_meta"] = meta;
        let target = params.get("name").or(params.get("uri")).and_then(Value::as_str);
        let target = target
            .filter(|_| method != "completion/complete")
            .map(str::to_owned);
        let body = json!({"jsonrpc": "2.0", "id": "m1", "method": method, "params": params});
        let ask = Self::post(who, body.to_string())
            .with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", method);
        match target {
            Some(target) => ask.with("mcp-name", &target),
            None => ask,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn inbound(self) -> Inbound {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Inbound {
            parts: Arc::new(parts),
            body: RequestBody::from_bytes(self.body),
            peer: "127.0.0.1:40000".parse().expect("an address"),
            id: RequestId(7),
            memo: Memo::default(),
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    fn at(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }
}

/// An answer whose body is still to come.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Body,
    /// Events that came with one that was read.
    rest: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn is_events(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    async fn text(self) -> String {
        let bytes = self.body.collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The code of the error that it is.
    async fn code(self) -> i64 {
        let value = self.json().await;
        value["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("no error: {value}"))
    }

    /// The next event of a stream as it is written; comments are left out. `None` at the end.
    async fn frame(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.find("\n\n") {
                let later = self.rest.split_off(end + 2);
                return Some(std::mem::replace(&mut self.rest, later));
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame())
                .await
                .expect("an event in time")?
                .expect("a body");
            let data = frame.into_data().expect("data");
            let text = String::from_utf8(data.to_vec()).expect("text");
            if !text.starts_with(':') {
                self.rest = text;
            }
        }
    }

    /// The next event of a stream that says something. `None` at the end.
    async fn event(&mut self) -> Option<Value> {
        loop {
            let text = self.frame().await?;
            let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let message: String = lines.collect();
            if !message.is_empty() {
                return Some(serde_json::from_str(&message).expect("JSON in an event"));
            }
        }
    }

    /// The last event: the response.
    async fn last(mut self) -> Value {
        let mut last = Value::Null;
        while let Some(event) = self.event().await {
            last = event;
        }
        last
    }
}

/// Rules that admit only these tools.
fn only_tools(names: &[&str]) -> Rules {
    let glob = |text: &&str| sallyport_core::policy::Glob::parse(text).expect("a pattern");
    Rules {
        tools: Selection {
            allow: names.iter().map(glob).collect(),
            deny: Vec::new(),
        },
        ..Rules::open()
    }
}
