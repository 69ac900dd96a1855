//! The servers behind: how each is reached, started, watched and spoken to.
//!
//! [`Upstreams`] holds one [`Upstream`] for each configured server. A client's use of a server is a [`Link`]: a legacy
//! session, a child process, or a handle for stateless calls. Nothing of the client's request but the permitted call
//! itself crosses: heads and environments start empty.

mod account;
mod activity;
mod backoff;
mod changes;
mod comeback;
mod control;
mod conversation;
mod counters;
mod demo;
mod detect;
mod form;
mod ground;
mod http;
mod ids;
mod inbox;
mod lanes;
mod legacy;
mod link;
mod links;
mod listen;
mod lists;
mod mailbox;
mod modern;
mod outgoing;
mod pace;
mod params;
mod pools;
mod presented;
pub(crate) mod reply;
mod request;
mod server;
mod slot;
mod stale;
mod state;
pub(crate) mod stdio;
mod supervise;
#[cfg(test)]
mod tests;
mod told;
mod union;
mod wire;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sallyport_core::account::UseAccounts;
use sallyport_core::audit::Audit;
use sallyport_core::{Clock, Random, ServerName};
use sallyport_net::Worker;
use sallyport_net::egress::Egress;
use tokio::sync::watch;

use crate::at_servers::ServerSessions;
use crate::exchange::ClientView;
use crate::spec::ServerSpec;
use ground::Ground;
use supervise::{Publish, supervise};

pub(crate) use account::connect_first;
pub use counters::{Count, Counters};
pub(crate) use link::Hold;
pub use link::Link;
pub use listen::{ListenFilter, Listening};
pub use server::Upstream;
pub use state::{Fleet, ServerState, Speaks, Status};

/// How long the calls of a removed server may go on.
const REMOVAL_GRACE: Duration = Duration::from_secs(10);

/// How long a stop of the gateway waits for its servers: children get 2 s to end, then their guard up to 6.5 s to end
/// everything that they started.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The number under which the control runtime keeps its connections; data threads count from 0.
const CONTROL_WORKER: usize = usize::MAX;

/// What the upstreams need of the rest.
#[derive(Clone)]
pub struct UpstreamDeps {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Chance: jitter.
    pub random: Arc<dyn Random>,
    /// Every start of a child process is recorded.
    pub audit: Arc<dyn Audit>,
    /// The one way out over the network.
    pub egress: Arc<Egress>,
    /// Where supervisors, children and event streams live: never a data thread.
    pub control: tokio::runtime::Handle,
    /// The working directory of children that configure none: absolute, and there.
    pub run_dir: PathBuf,
    /// How children are started.
    pub launcher: Launcher,
    /// The credentials of people's accounts at servers.
    pub accounts: Arc<dyn UseAccounts>,
    /// The sessions at servers that outlive the process; none where nothing does.
    pub sessions: Option<Arc<ServerSessions>>,
    /// The gateway's own environment, read once at start; a child gets the few variables of it that any program needs.
    pub environment: Arc<BTreeMap<OsString, OsString>>,
}

/// How a child process is started.
#[derive(Clone, Debug)]
pub enum Launcher {
    /// Through a program that makes sure that the child's whole process group ends with the gateway. It is called with
    /// these arguments, then `--cwd DIR -- COMMAND ARGS…`, as the leader of a process group of its own.
    Guard(Vec<OsString>),
    /// Directly, in a process group of its own: for tests.
    Direct,
}

/// All servers behind the gateway.
pub struct Upstreams {
    deps: UpstreamDeps,
    worker: Arc<Worker>,
    servers: ArcSwap<BTreeMap<ServerName, Arc<Upstream>>>,
    fleet: watch::Sender<Arc<Fleet>>,
    /// Held while the servers change; whether they have ended for good.
    ended: Mutex<bool>,
}

impl Upstreams {
    /// Without any server yet.
    #[must_use]
    pub fn start(deps: UpstreamDeps) -> Arc<Self> {
        let worker = Worker::new(CONTROL_WORKER);
        Arc::new(Self {
            deps,
            worker,
            servers: ArcSwap::default(),
            fleet: watch::Sender::new(Arc::default()),
            ended: Mutex::new(false),
        })
    }

    /// Makes the servers those of `specs`. A server whose fingerprint is unchanged notices nothing; a changed one is
    /// replaced; a removed one is shut down once its calls have ended, at the latest after 10 s. After
    /// [`Upstreams::shutdown`] nothing starts any more.
    pub fn apply(self: &Arc<Self>, specs: Vec<ServerSpec>) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended {
            return;
        }
        let mut before = (**self.servers.load()).clone();
        let mut after = BTreeMap::new();
        let (mut started, mut removed) = (Vec::new(), Vec::new());
        for spec in specs {
            let name = spec.name.clone();
            let upstream = match before.remove(&name) {
                Some(same) if same.ground.spec.fingerprint == spec.fingerprint => same,
                other => {
                    removed.extend(other);
                    let ground = Ground::new(spec, self.deps.clone(), Arc::clone(&self.worker));
                    let upstream = Upstream::new(ground);
                    started.push(Arc::clone(&upstream));
                    upstream
                }
            };
            after.insert(name, upstream);
        }
        removed.extend(before.into_values());
        let servers = after
            .iter()
            .map(|(name, upstream)| (name.clone(), upstream.state()));
        let fleet = Fleet {
            servers: servers.collect(),
        };
        self.servers.store(Arc::new(after));
        self.fleet.send_replace(Arc::new(fleet));
        for upstream in started {
            let publish: Arc<dyn Publish> = Arc::clone(self) as Arc<dyn Publish>;
            let tasks = upstream.ground.tasks.clone();
            tasks.spawn(supervise(Arc::clone(&upstream), publish));
            tasks.spawn(upstream.sweep());
        }
        for upstream in removed {
            // From now on it opens nothing new.
            upstream.ground.close();
            self.deps
                .control
                .spawn(async move { upstream.close(REMOVAL_GRACE).await });
        }
    }

    /// A server.
    #[must_use]
    pub fn get(&self, name: &ServerName) -> Option<Arc<Upstream>> {
        self.servers.load().get(name).cloned()
    }

    /// A client's use of a server, if there is one that needs nothing more before it can be called through.
    pub(crate) fn ready(&self, name: &ServerName, view: &ClientView) -> Option<Arc<Link>> {
        self.servers.load().get(name)?.ready(view)
    }

    /// All servers.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Upstream>> {
        self.servers.load().values().cloned().collect()
    }

    /// Accounts at servers have come or gone: what is out of contact for want of one is tried again at once.
    pub fn accounts_changed(&self) {
        for upstream in self.servers.load().values() {
            upstream.ground.door.wake();
        }
    }

    /// What is known of all servers now.
    #[must_use]
    pub fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.borrow())
    }

    /// What is known of all servers, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Fleet>> {
        self.fleet.subscribe()
    }

    /// The sessions at servers that outlive the process.
    pub(crate) fn sessions(&self) -> Option<Arc<ServerSessions>> {
        self.deps.sessions.clone()
    }

    /// Ends all processes, and all sessions but those that the next process goes on with, and waits until they have ended, at
    /// most 10 s.
    pub async fn shutdown(&self) {
        let servers = {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            *ended = true;
            self.servers.swap(Arc::default())
        };
        for upstream in servers.values() {
            upstream.ground.stop();
        }
        let closing = servers.values().map(|upstream| upstream.close(Duration::ZERO));
        let all = futures_util::future::join_all(closing);
        if tokio::time::timeout(SHUTDOWN, all).await.is_err() {
            tracing::warn!("some servers did not end in time");
        }
    }
}

impl Publish for Upstreams {
    fn publish(&self, upstream: &Upstream, state: Arc<ServerState>) {
        self.fleet.send_if_modified(|fleet| {
            // A server that was replaced meanwhile has nothing to say any more.
            if upstream.ground.is_closed() || !fleet.servers.contains_key(upstream.name()) {
                return false;
            }
            let mut next = (**fleet).clone();
            next.servers.insert(upstream.name().clone(), state);
            *fleet = Arc::new(next);
            true
        });
    }
}
