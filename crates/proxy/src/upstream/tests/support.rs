//! What the tests share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sallyport_core::audit::{Audit, AuditUnavailable, Entry, Event, Pending};
use sallyport_core::fault::Fault;
use sallyport_core::{PrincipalKey, Random, Secret, ServerName};
use sallyport_mcp::Revision;
use sallyport_net::Worker;
use sallyport_net::egress::{Egress, EgressPolicy};
use tokio::time::timeout;

use crate::exchange::{ClientView, Downstream, Message, OutboundCall, Question, Reply};
use crate::spec::{HttpForm, Processes, Protocol, ServerLimits, ServerSpec, Transport};
use crate::upstream::{Launcher, Link, ServerState, Upstream, UpstreamDeps, Upstreams};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chance without chance.
#[derive(Default)]
pub(super) struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill(self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0]);
    }
}

/// A trail in memory.
#[derive(Default)]
pub(super) struct Trail(pub(super) Mutex<Vec<Event>>);

impl Audit for Trail {
    fn record_durably(&self, event: Event) -> Pending<'_, Result<(), AuditUnavailable>> {
        let done = self.record(&event);
        Box::pin(async move { done })
    }

    fn enter(&self, entry: &Entry<'_>) -> Result<(), AuditUnavailable> {
        self.0
            .lock()
            .expect("no panic while recording")
            .push(entry.to_event());
        Ok(())
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub(super) struct Ear {
    pub(super) told: Mutex<Vec<String>>,
    pub(super) asked: Mutex<Vec<Question>>,
    /// Whether it has a stream of its own.
    pub(super) hears: AtomicBool,
    news: tokio::sync::Notify,
}

impl Downstream for Ear {
    fn notify(&self, _: &ServerName, message: Bytes) {
        let text = String::from_utf8_lossy(&message).into_owned();
        self.told.lock().expect("no panic").push(text);
        self.news.notify_one();
    }

    fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    fn ask(&self, _: &ServerName, question: Question) {
        self.asked.lock().expect("no panic").push(question);
        self.news.notify_one();
    }
}

impl Ear {
    /// Waits until something was told or asked.
    pub(super) async fn hear(&self) {
        timeout(PATIENCE, self.news.notified())
            .await
            .expect("somebody speaks");
    }
}

/// A gateway's upstreams, ended with the test.
pub(super) struct House {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) worker: Arc<Worker>,
    pub(super) trail: Arc<Trail>,
    pub(super) ear: Arc<Ear>,
    pub(super) dir: tempfile::TempDir,
}

impl House {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let trail = Arc::new(Trail::default());
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", "/tmp"),
            ("SALLYPORT_MASTER_KEY", "canary-of-the-vault"),
            ("DATABASE_URL", "canary-of-the-store"),
        ];
        let deps = UpstreamDeps {
            sessions: None,
            accounts: Arc::new(sallyport_core::account::NoAccounts),
            clock: Arc::new(sallyport_core::clock::SystemClock),
            random: Arc::new(Counting::default()),
            audit: Arc::clone(&trail) as Arc<dyn Audit>,
            egress: Egress::new(EgressPolicy::default()),
            control: tokio::runtime::Handle::current(),
            run_dir: dir.path().to_owned(),
            launcher: Launcher::Direct,
            environment: Arc::new(
                environment
                    .map(|(k, v)| (k.into(), v.into()))
                    .into_iter()
                    .collect(),
            ),
        };
        Self {
            upstreams: Upstreams::start(deps),
            worker: Worker::new(0),
            trail,
            ear: Arc::default(),
            dir,
        }
    }

    /// Only this server; waits until the supervisor has made up its mind.
    pub(super) async fn with(&self, spec: ServerSpec) -> Arc<Upstream> {
        let name = spec.name.clone();
        self.upstreams.apply(vec![spec]);
        self.state(|state| state.status != crate::upstream::Status::Connecting)
            .await;
        self.upstreams.get(&name).expect("it was just applied")
    }

    /// Waits for a state of the one server.
    pub(super) async fn state(&self, fits: impl Fn(&ServerState) -> bool) -> Arc<ServerState> {
        let mut fleet = self.upstreams.watch();
        let settled = fleet.wait_for(|fleet| fleet.servers.values().any(|state| fits(state)));
        let fleet = timeout(PATIENCE, settled)
            .await
            .expect("in time")
            .expect("watched")
            .clone();
        fleet.servers.values().next().cloned().expect("there is one")
    }

    pub(super) async fn link(&self, upstream: &Arc<Upstream>, view: &ClientView) -> Arc<Link> {
        let ear = Arc::clone(&self.ear) as Arc<dyn Downstream>;
        upstream.link(&self.worker, view, ear).await.expect("a link")
    }

    /// One call of one tool, to its end.
    pub(super) async fn call(&self, link: &Arc<Link>, id: &str, arguments: &str) -> Result<String, Fault> {
        let reply = link.call(&self.worker, tool_call(id, arguments)).await?;
        timeout(PATIENCE, last(reply)).await.expect("in time")
    }
}

/// The terminal message.
pub(super) async fn last(reply: Reply) -> Result<String, Fault> {
    let (_, terminal) = all(reply).await?;
    Ok(terminal)
}

/// The notifications and the terminal message.
pub(super) async fn all(reply: Reply) -> Result<(Vec<String>, String), Fault> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let mut messages = match reply {
        Reply::Whole(bytes) => return Ok((Vec::new(), text(bytes))),
        Reply::Long(long) => return long.whole().await.map(|bytes| (Vec::new(), text(bytes))),
        Reply::Stream(messages) => messages,
    };
    let mut before = Vec::new();
    while let Some(message) = messages.next().await {
        match message? {
            Message::Terminal(bytes) => return Ok((before, text(bytes))),
            Message::Notification(bytes) => before.push(text(bytes)),
            Message::Progress(together) => before.extend(together.into_iter().map(|step| text(step.message))),
            Message::Question(question) => before.push(format!("? {}", question.method)),
        }
    }
    Err(Fault::gateway(
        "test",
        "the stream ended without a terminal message",
    ))
}

pub(super) fn name() -> ServerName {
    ServerName::parse("srv").expect("a name")
}

/// `tools/call` of the tool `t`.
pub(super) fn tool_call(id: &str, arguments: &str) -> OutboundCall {
    OutboundCall {
        server: name(),
        method: "tools/call",
        target: "t".into(),
        params: format!("{{\"name\":\"t\",\"arguments\":{arguments}}}").into(),
        id: Bytes::copy_from_slice(id.as_bytes()),
        progress_token: None,
        log_level: None,
        is_of_task: false,
        flows: false,
    }
}

/// The same with a progress token.
pub(super) fn with_token(id: &str, token: &str) -> OutboundCall {
    OutboundCall {
        params: format!("{{\"name\":\"t\",\"_meta\":{{\"progressToken\":{token}}}}}").into(),
        progress_token: Some(Bytes::copy_from_slice(token.as_bytes())),
        ..tool_call(id, "{}")
    }
}

pub(super) fn legacy(session: &str) -> ClientView {
    ClientView {
        principal: PrincipalKey::gateway(),
        session: Some(session.into()),
        lasting: None,
        revision: Revision::V2025_06_18,
        info: None,
        capabilities: Bytes::from_static(b"{\"elicitation\":{}}"),
    }
}

pub(super) fn modern(capabilities: &'static str) -> ClientView {
    ClientView {
        principal: PrincipalKey::gateway(),
        session: None,
        lasting: None,
        revision: Revision::V2026_07_28,
        info: None,
        capabilities: Bytes::from_static(capabilities.as_bytes()),
    }
}

/// One of several principals.
pub(super) fn principal(client: &str) -> sallyport_core::PrincipalKey {
    use sallyport_core::*;
    Principal {
        user: UserId::new("u"),
        client: ClientId::new(client),
        grant: GrantId::new("g"),
        token: TokenId::new("t"),
        scopes: ScopeSet::default(),
        audience: Resource::parse("http://h/mcp").expect("a resource"),
        expires: Timestamp::EPOCH,
    }
    .key()
}

/// Short deadlines, so that what must run out does.
pub(super) fn quick() -> ServerLimits {
    ServerLimits {
        connect: Duration::from_secs(5),
        handshake: Duration::from_secs(5),
        idle: Duration::from_millis(300),
        ..ServerLimits::default()
    }
}

pub(super) fn http(port: u16) -> ServerSpec {
    ServerSpec {
        name: name(),
        transport: Transport::Http {
            url: url::Url::parse(&format!("http://127.0.0.1:{port}/mcp")).expect("a URL"),
            headers: vec![("X-Api-Key".to_owned(), Secret::from("configured-key"))],
            form: HttpForm::Auto,
        },
        protocol: Protocol::Auto,
        shared: false,
        login: crate::spec::Login::Never,
        processes: Processes::default(),
        limits: ServerLimits::default(),
        fingerprint: [1; 32],
    }
}

pub(super) fn stdio(command: &str, args: &[&str]) -> ServerSpec {
    ServerSpec {
        transport: Transport::Stdio {
            command: command.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::from([("CONFIGURED".to_owned(), Secret::from("configured-value"))]),
            cwd: None,
        },
        ..http(1)
    }
}

/// A legacy server as a shell script: `on_call` runs for each `tools/call` with its id in `$id`, `first` at the start.
pub(super) fn script(first: &str, on_call: &str) -> ServerSpec {
    let script = format!(
        r#"
answer() {{ printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$1"; }}
say() {{ printf '%s\n' "$1"; }}
text() {{ answer "{{\"content\":[{{\"type\":\"text\",\"text\":\"$1\"}}]}}"; }}
{first}
while IFS= read -r line; do
  id=${{line#*'"id":'}}; id=${{id%%,*}}
  case $line in
    *'"method":"initialize"'*)
      answer '{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"sh","version":"1"}}}}' ;;
    *'"method":"tools/list"'*) answer '{{"tools":[{{"name":"t","inputSchema":{{"type":"object"}}}}]}}' ;;
    *'"method":"tools/call"'*) {on_call} ;;
    *'"method":"server/discover"'*)
      printf '{{"jsonrpc":"2.0","id":%s,"error":{{"code":-32601,"message":"no"}}}}\n' "$id" ;;
  esac
done"#
    );
    stdio("sh", &["-c", &script])
}

/// Waits until a condition that nobody announces holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let looked = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, looked)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"));
}
