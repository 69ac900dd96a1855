//! The proxy as a whole.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use sallyport_core::approval::AskPerson;
use sallyport_core::audit::Audit;
use sallyport_core::capability::{SealState, VerifyProof, VerifyToken};
use sallyport_core::session::KeepSessions;
use sallyport_core::watch::WatchLogins;
use sallyport_core::{Clock, ProfileSlug, Random, Timestamp};
use sallyport_mcp::merge::CollisionError;
use sallyport_net::{Inbound, Response, Worker};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::call;
use crate::exchange::ClientView;
use crate::front::sse::Streams;
use crate::hub::Hub;
use crate::limits::Usage;
use crate::metrics::Metrics;
use crate::park::Lot;
use crate::pulse::Pulse;
use crate::record::Books;
use crate::session::Sessions;
use crate::session::kept::{self, Kept};
use crate::spec::ProxyConfig;
use crate::state::Used;
use crate::strangers::Strangers;
use crate::sync::lock;
use crate::tasks::{Hears, Tasks};
use crate::turnout::{self, Turnout};
use crate::upstream::Upstreams;
use crate::world::{self, Builder, World};

/// How often what has grown too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Half of the time after which a silent call becomes a stream, for clients that can resume it before it has said
/// anything (2025-11-25). Quick calls, which are nearly all, stay one JSON document.
const QUIET: Duration = Duration::from_millis(500);

/// What the proxy needs of the rest.
#[derive(Clone)]
pub struct ProxyDeps {
    /// Turns tokens into principals.
    pub verifier: Arc<dyn VerifyToken>,
    /// Believes that whoever shows a bound token holds its key.
    pub proofs: Arc<dyn VerifyProof>,
    /// Seals sessions, cursors and states.
    pub sealer: Arc<dyn SealState>,
    /// Remembers which sessions may be used.
    pub sessions: Arc<dyn KeepSessions>,
    /// Where calls and refusals are recorded.
    pub audit: Arc<dyn Audit>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// The servers behind.
    pub upstreams: Arc<Upstreams>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Knows what people said of calls that need a yes.
    pub approvals: Arc<dyn AskPerson>,
    /// Who follows log-ins.
    pub logins: Arc<dyn WatchLogins>,
    /// Where the snapshot is rebuilt and old things are looked for: never a data thread.
    pub control: Handle,
}

/// The MCP data path: every endpoint, every session, every running call.
pub struct Proxy {
    pub(crate) verifier: Arc<dyn VerifyToken>,
    pub(crate) proofs: Arc<dyn VerifyProof>,
    pub(crate) sealer: Arc<dyn SealState>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) books: Books,
    pub(crate) world: ArcSwap<World>,
    pub(crate) builder: Mutex<Builder>,
    pub(crate) rebuilt: watch::Sender<u64>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) lot: Lot,
    pub(crate) used: Used,
    pub(crate) usage: Usage,
    pub(crate) strangers: Strangers,
    pub(crate) approvals: Arc<dyn AskPerson>,
    pub(crate) logins: Arc<dyn WatchLogins>,
    /// The open streams of HTTP+SSE.
    pub(crate) streams: Streams,
    /// The tick of keep-alive comments.
    pub(crate) pulse: Pulse,
    /// The shorter tick after two of which a silent call becomes a stream that its client can leave and resume.
    pub(crate) quiet: Pulse,
    /// What calls long requests to look whether their callers may stay.
    pub(crate) turnout: Turnout,
    /// Cancelled when streams are to end in good order.
    pub(crate) closing: CancellationToken,
}

impl Proxy {
    /// Starts with a configuration: the servers are told of it, the snapshot is built, its upkeep runs on the control
    /// runtime until the proxy is dropped.
    #[must_use]
    pub fn new(deps: ProxyDeps, config: ProxyConfig) -> Arc<Self> {
        let books = Books::new(deps.audit, deps.metrics, deps.clock);
        let (gone, left) = mpsc::unbounded_channel();
        let hears = Hears {
            tasks: Arc::new(Tasks::new(books.clone())),
            hub: Arc::default(),
        };
        let sessions = Sessions::new(
            Arc::clone(&deps.sealer),
            Arc::clone(&deps.random),
            books.clone(),
            hears.clone(),
            (Kept::new(deps.sessions, deps.upstreams.sessions()), gone),
        );
        deps.upstreams.apply(config.servers.clone());
        let fleet = deps.upstreams.watch();
        let keep_alive = config.limits.keep_alive;
        let mut builder = Builder::new(config);
        let now = books.clock.now();
        let built = builder.build(&Arc::clone(&fleet.borrow()), None, now);
        let proxy = Arc::new(Self {
            verifier: deps.verifier,
            proofs: deps.proofs,
            sealer: deps.sealer,
            upstreams: deps.upstreams,
            books,
            world: ArcSwap::new(built.world),
            builder: Mutex::new(builder),
            rebuilt: watch::Sender::new(0),
            sessions: Arc::new(sessions),
            hub: hears.hub,
            tasks: hears.tasks,
            lot: Lot::new(&*deps.random),
            random: deps.random,
            used: Used::default(),
            usage: Usage::new(),
            strangers: Strangers::default(),
            approvals: deps.approvals,
            logins: deps.logins,
            streams: Streams::default(),
            pulse: Pulse::new(),
            quiet: Pulse::new(),
            turnout: Turnout::new(),
            closing: CancellationToken::new(),
        });
        let weak = Arc::downgrade(&proxy);
        deps.control.spawn(world::watch(Weak::clone(&weak), fleet));
        deps.control
            .spawn(beat(Weak::clone(&weak), keep_alive, |proxy| &proxy.pulse));
        deps.control
            .spawn(beat(Weak::clone(&weak), QUIET, |proxy| &proxy.quiet));
        deps.control.spawn(turnout::watch(Weak::clone(&weak)));
        deps.control.spawn(sweep(Weak::clone(&weak)));
        deps.control.spawn(look(Weak::clone(&weak)));
        deps.control.spawn(let_go(weak, left));
        proxy
    }

    /// Goes on with another configuration. Servers that did not change are left alone, sessions stay; clients whose
    /// lists change are told.
    pub fn apply(&self, config: ProxyConfig) {
        let servers = config.servers.clone();
        lock(&self.builder).apply(config);
        self.upstreams.apply(servers);
        world::rebuild(self);
        self.call_to_look();
    }

    /// Has everybody who waits look whether they may stay.
    pub(crate) fn call_to_look(&self) {
        self.turnout.call([&self.pulse, &self.quiet]);
    }

    /// Whether a path may be one of an MCP endpoint: `/mcp`, `/mcp/…` (also those of HTTP+SSE) or `/servers/…/mcp`, with or
    /// without a slash at its end.
    #[must_use]
    pub fn owns(path: &str) -> bool {
        let path = path.strip_suffix('/').unwrap_or(path);
        path == "/mcp" || path.starts_with("/mcp/") || is_servers(path)
    }

    /// Answers one request to an MCP endpoint. `Host` and `Origin` have been checked by the caller. Dropping the future, or
    /// the body of the answer, cancels a modern client's request and leaves a legacy client's running.
    pub async fn handle(self: &Arc<Self>, worker: &Arc<Worker>, inbound: Inbound) -> Response {
        call::serve(self, worker, inbound).await
    }

    /// Writes what the next process is to know of sessions.
    pub async fn keep_sessions(&self) {
        let limits = self.world.load().limits;
        self.sessions.look(&limits).await;
    }

    /// Ends the streams that would stay open, in good order, and gives up on calls that wait for their client; running
    /// calls go on.
    pub fn close_streams(&self) {
        self.closing.cancel();
        self.lot.sweep(Timestamp::from_millis(i64::MAX));
    }

    /// Who hears of tasks.
    pub(crate) fn hears(&self) -> Hears {
        Hears {
            tasks: Arc::clone(&self.tasks),
            hub: Arc::clone(&self.hub),
        }
    }

    /// The names that two servers of a profile claim, and that are left out of both because it changes none
    /// ([`Naming::Never`](crate::spec::Naming::Never)). Waits until each server has introduced itself, or had its time to.
    pub async fn collisions(&self, profile: &ProfileSlug) -> Vec<CollisionError> {
        let endpoint = self.world.load().endpoint(&format!("profile/{profile}")).cloned();
        match endpoint {
            Some(endpoint) => world::settle(self, &endpoint).await.collisions().to_vec(),
            None => Vec::new(),
        }
    }

    /// Whether every server of every endpoint has introduced itself, or had its time to.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.world.load().is_settled(self.books.clock.now())
    }
}

fn is_servers(path: &str) -> bool {
    let name = path
        .strip_prefix("/servers/")
        .and_then(|rest| rest.strip_suffix("/mcp"));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

async fn beat(proxy: Weak<Proxy>, every: Duration, pulse: fn(&Proxy) -> &Pulse) {
    loop {
        tokio::time::sleep(every.max(Duration::from_millis(10))).await;
        let Some(proxy) = proxy.upgrade() else { return };
        pulse(&proxy).beat();
    }
}

async fn sweep(proxy: Weak<Proxy>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(proxy) = proxy.upgrade() else { return };
        let now = proxy.books.clock.now();
        let limits = proxy.world.load().limits;
        proxy.sessions.sweep(&limits);
        proxy.lot.sweep(now);
        proxy.used.sweep(now);
        proxy.hub.expected.sweep(now);
        proxy.usage.sweep();
        proxy.tasks.sweep(now);
    }
}

async fn look(proxy: Weak<Proxy>) {
    loop {
        tokio::time::sleep(kept::LOOK).await;
        let Some(proxy) = proxy.upgrade() else { return };
        let limits = proxy.world.load().limits;
        tokio::select! {
            () = proxy.closing.cancelled() => return,
            () = proxy.sessions.look(&limits) => {}
        }
    }
}

/// Lets go of what servers hold for sessions that have ended.
async fn let_go(proxy: Weak<Proxy>, mut left: mpsc::UnboundedReceiver<ClientView>) {
    while let Some(view) = left.recv().await {
        let Some(proxy) = proxy.upgrade() else { return };
        let servers: Vec<_> = proxy.upstreams.watch().borrow().servers.keys().cloned().collect();
        for server in servers {
            if let Some(upstream) = proxy.upstreams.get(&server) {
                upstream.drop_session(&view).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_the_endpoints() {
        for (path, owned) in [
            ("/mcp", true),
            ("/mcp/", true),
            ("/mcp/default", true),
            ("/mcp/default/", true),
            ("/mcp/sse", true),
            ("/mcp/default/messages", true),
            ("/servers/docs/mcp", true),
            ("/servers/docs/mcp/", true),
            ("/servers//mcp", false),
            ("/servers/a/b/mcp", false),
            ("/mcpx", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(Proxy::owns(path), owned, "{path}");
        }
    }
}
