//! The gateway without its listeners, for commands: the same proxy, the same rules, the same servers, and one MCP client
//! in the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, Method, StatusCode};
use http_body_util::BodyExt as _;
use sallyport_authserver::Proofs;
use sallyport_core::audit::Audit;
use sallyport_core::policy::Selection;
use sallyport_core::session::NothingKept;
use sallyport_core::{ProfileSlug, RequestId, ServerName, UserId};
use sallyport_net::egress::Egress;
use sallyport_net::{Inbound, Memo, RequestBody, Worker};
use sallyport_proxy::spec::EndpointKind;
use sallyport_proxy::upstream::{Launcher, ServerState, Speaks, Status, UpstreamDeps, Upstreams};
use sallyport_proxy::{Metrics, Proxy, ProxyDeps};
use sallyport_store::AuditTrail;
use sallyport_vault::verifier::Verifier;
use serde_json::{Value, json};

use super::live::{plan_now, run_dir};
use super::plan::OPERATOR;
use crate::base::{Base, StartError, public_origin};
use crate::environment::Environment;
use crate::lock::Lock;
use crate::{child, keys};

/// The revision that this client speaks.
const REVISION: &str = "2025-11-25";
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A client of one profile.
pub struct Local {
    proxy: Arc<Proxy>,
    upstreams: Arc<Upstreams>,
    trail: Arc<AuditTrail>,
    worker: Arc<Worker>,
    path: String,
    session: Option<String>,
    next_id: u64,
}

/// The eras in words.
fn spoken(speaks: Speaks) -> &'static str {
    match (speaks.legacy, speaks.modern) {
        (true, true) => "in contact; speaks revisions with `initialize`, and 2026-07-28",
        (false, true) => "in contact; speaks 2026-07-28",
        (true, false) | (false, false) => "in contact; speaks revisions with `initialize`",
    }
}

impl Local {
    /// Connects the servers of a profile, and waits until each has answered or had its time to.
    ///
    /// # Errors
    /// [`StartError`], above all where there is no such profile.
    pub async fn connect(
        base: &Base,
        environment: &Environment,
        profile: &ProfileSlug,
    ) -> Result<Self, StartError> {
        let origin = public_origin(&base.config, base.config.root.listen.value.0);
        let mut plan = plan_now(base, &base.config, &origin).await?.proxy;
        let trail = Arc::new(base.trail().await?);
        let wanted = EndpointKind::Profile(profile.clone());
        plan.endpoints.retain(|endpoint| endpoint.kind == wanted);
        let no_profile = || StartError::Other(format!("there is no profile `{profile}`"));
        let endpoint = plan.endpoints.first_mut().ok_or_else(no_profile)?;
        // Who can run this command can read every key; the lists of tools hold all the same.
        endpoint.rules.users = Selection::all();
        let audit: Arc<dyn Audit> = trail.clone();
        let lock = Lock::open(&base.config, audit).map_err(|error| StartError::Other(error.to_string()))?;
        plan.curator = lock.curator();
        plan.anonymous = Some(UserId::new(OPERATOR));
        let path = endpoint.paths.first().cloned().ok_or_else(no_profile)?;
        let servers = endpoint.servers.clone();
        plan.servers.retain(|server| servers.contains(&server.name));
        let patience: Duration = plan
            .servers
            .iter()
            .map(|server| server.limits.connect + server.limits.handshake)
            .max()
            .unwrap_or_default();
        let (signer, _) = keys::signer(base, &origin).await?;
        let control = tokio::runtime::Handle::current();
        let upstreams = Upstreams::start(UpstreamDeps {
            accounts: Arc::new(sallyport_core::account::NoAccounts),
            sessions: None,
            clock: Arc::clone(&base.clock),
            random: Arc::clone(&base.random),
            audit: trail.clone(),
            egress: Egress::new((&base.config.root.egress).into()),
            control: control.clone(),
            run_dir: run_dir(&base.config.data_dir)?,
            launcher: Launcher::Guard(child::guard_command()),
            environment: environment.all(),
        });
        let deps = ProxyDeps {
            // Who runs the command is the person who would be asked.
            approvals: Arc::new(sallyport_core::approval::SaidAlready),
            verifier: Arc::new(Verifier::new(&origin, &signer.verifying_keys(), 0)?),
            proofs: Arc::new(Proofs::new(base.vault.clone(), &*base.random)),
            sealer: base.vault.clone(),
            sessions: Arc::new(NothingKept),
            audit: trail.clone(),
            clock: Arc::clone(&base.clock),
            random: Arc::clone(&base.random),
            upstreams: Arc::clone(&upstreams),
            metrics: Arc::new(Metrics::new()),
            logins: Arc::new(sallyport_core::watch::Nobody),
            control,
        };
        let proxy = Proxy::new(deps, plan);
        let local = Self {
            proxy,
            upstreams,
            trail,
            worker: Worker::new(0),
            path,
            session: None,
            next_id: 1,
        };
        local.settle(patience).await;
        Ok(local)
    }

    async fn settle(&self, patience: Duration) {
        let mut fleet = self.upstreams.watch();
        let known = fleet.wait_for(|fleet| {
            fleet
                .servers
                .values()
                .all(|server| server.status != Status::Connecting)
        });
        // Who is late is named as such by `trouble`.
        let _ = tokio::time::timeout(patience, known).await;
    }

    /// The servers that are not in contact, and why.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let fleet = self.upstreams.fleet();
        let words = fleet
            .servers
            .iter()
            .filter_map(|(name, state)| match &state.status {
                Status::Ready => None,
                Status::Connecting => Some(format!("server `{name}` does not answer")),
                Status::Failed { reason } => Some(format!("server `{name}`: {reason}")),
            });
        words.collect()
    }

    /// Each server: which eras it speaks, or why there is no contact.
    #[must_use]
    pub fn contacts(&self) -> Vec<(ServerName, Result<String, String>)> {
        let fleet = self.upstreams.fleet();
        let of = |state: &ServerState| match &state.status {
            Status::Ready => Ok(spoken(state.speaks).to_owned()),
            Status::Connecting => Err("it does not answer".to_owned()),
            Status::Failed { reason } => Err(reason.clone()),
        };
        fleet
            .servers
            .iter()
            .map(|(name, state)| (name.clone(), of(state)))
            .collect()
    }

    /// Opens the session.
    ///
    /// # Errors
    /// What the proxy answered.
    pub async fn open(&mut self) -> Result<(), String> {
        let client = json!({ "name": "sallyport", "version": env!("CARGO_PKG_VERSION") });
        let params = json!({ "protocolVersion": REVISION, "capabilities": {}, "clientInfo": client });
        self.ask("initialize", params).await?;
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.send(&note).await.map(drop)
    }

    /// Asks one request and returns its result.
    ///
    /// # Errors
    /// The error's message.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.next_id;
        self.next_id += 1;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answers = self.send(&message).await?;
        let mut answer = answers
            .into_iter()
            .find(|answer| answer.get("id") == Some(&json!(id)) && answer.get("method").is_none())
            .ok_or("no answer came")?;
        if let Some(error) = answer.get("error") {
            let text = error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("an error without a message");
            return Err(text.to_owned());
        }
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// Sends one message; what comes back, one answer or a stream of messages.
    async fn send(&mut self, message: &Value) -> Result<Vec<Value>, String> {
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header(SESSION, session).header(VERSION, REVISION);
        }
        let (parts, ()) = request.body(()).map_err(|error| error.to_string())?.into_parts();
        let inbound = Inbound {
            parts: Arc::new(parts),
            body: RequestBody::from_bytes(message.to_string()),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            id: RequestId(self.next_id),
            memo: Memo::default(),
        };
        let response = Box::pin(self.proxy.handle(&self.worker, inbound)).await;
        let status = response.status();
        if let Some(session) = response
            .headers()
            .get(SESSION)
            .and_then(|session| session.to_str().ok())
        {
            self.session = Some(session.to_owned());
        }
        let is_stream = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        let text = String::from_utf8_lossy(&body);
        let messages: Vec<Value> = if is_stream {
            // Our own frames: one line of data an event.
            text.lines()
                .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
                .collect()
        } else {
            serde_json::from_str(&text).into_iter().collect()
        };
        if messages.is_empty() && !status.is_success() {
            return Err(format!("{}: {}", status.as_u16(), text.trim()));
        }
        debug_assert!(status != StatusCode::UNAUTHORIZED);
        Ok(messages)
    }

    /// Ends the servers' processes and the trail.
    pub async fn close(self) {
        self.upstreams.shutdown().await;
        self.trail.shutdown().await;
    }
}
